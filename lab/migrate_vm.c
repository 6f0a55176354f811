/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `migrate`: the two VMs. The guest's memory is one backing on each side, the RAM first
 * and then the memory of the board's test device, so that all of it moves.
 */
#include "guest/embed.h"
#include "guest/migrate.h"
#include "hv/dev/multiboot.h"
#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/migrate.h"

#define SLOT_RAM   0
#define SLOT_IORAM 1
#define INTERVAL   50000 /* ticks, of the guest's timer */

u64 migrate_patience(const struct migration *m)
{
	return 60 * tsc_hz + m->pages * 40000;
}

bool migrate_page_of(const struct migration *m, gpa_t gpa, u64 *page)
{
	if (gpa < m->ram)
		*page = gpa / PAGE_SIZE;
	else if (gpa - TESTDEV_IORAM < TESTDEV_IORAM_SIZE)
		*page = (m->ram + gpa - TESTDEV_IORAM) / PAGE_SIZE;
	else
		return false;
	return true;
}

bool migrate_wait(struct migration *m, bool (*cond)(struct migration *m), u64 ticks)
{
	u64 end = ticks_now() + ticks;
	bool ok, late = false;
	struct waiter w;

	for (;;) {
		wait_prepare(&m->event, &w);
		ok = cond(m);
		if (ok || late)
			break;
		late = wait_sleep_until(&w, end);
	}
	wait_finish(&m->event, &w);
	return ok;
}

bool migrate_ended(struct migration *m)
{
	return ending_is_set(&m->board.ending);
}

/* --- memory ---------------------------------------------------------------------------------- */

static int show_memory(struct migration *m, struct migrate_side *s, u32 flags)
{
	struct slot_change list[] = {
		{ .op = SLOT_CREATE, .id = SLOT_RAM, .size = m->ram },
		{ .op = SLOT_CREATE,
		  .id = SLOT_IORAM,
		  .base = TESTDEV_IORAM,
		  .size = TESTDEV_IORAM_SIZE,
		  .offset = m->ram },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
		list[i].backing = s->mem;
		list[i].flags = flags;
		list[i].userfault = s->hidden;
	}
	return vm_change_slots(s->vm, list, ARRAY_SIZE(list), SLOTS_ATOMIC, NULL);
}

static int create_vcpus(struct migration *m, struct migrate_side *s)
{
	int err = 0;

	for (u32 i = 0; i < m->config.vcpus && !err; i++) {
		struct migrate_runner *r = &s->runner[i];

		r->m = m;
		wait_queue_init(&r->event);
		atomic_store(&r->ended, true);
		err = vcpu_create(&r->vcpu, s->vm);
	}
	return err;
}

static int start_threads(struct migration *m, struct migrate_side *s, void (*run)(void *arg))
{
	int err = 0;

	for (u32 i = 0; i < m->config.vcpus && !err; i++) {
		struct migrate_runner *r = &s->runner[i];

		atomic_store(&r->ended, false);
		err = thread_create(&r->thread, 1 + i % (nr_cpus - 1), "vcpu", run, r);
		if (err)
			atomic_store(&r->ended, true);
	}
	return err;
}

static void end_side(struct migration *m, struct migrate_side *s)
{
	for (u32 i = 0; i < MIGRATE_MAX_VCPUS; i++) {
		if (s->runner[i].thread)
			thread_join(s->runner[i].thread);
		s->runner[i].thread = NULL;
	}
	if (s->vm)
		vm_destroy(s->vm);
	if (s->hidden)
		userfault_put(s->hidden);
	if (s->mem)
		backing_put(s->mem);
	*s = (struct migrate_side){ .vm = NULL };
}

/* --- the source ------------------------------------------------------------------------------ */

/* The board brings the test device's memory itself: ours takes its place. */
static int board_with_memory(struct migration *m)
{
	const struct board_config config = { .name = "guest" };
	const struct slot_change list[] = {
		{ .op = SLOT_DELETE, .id = SLOT_IORAM },
		{ .op = SLOT_CREATE,
		  .id = SLOT_IORAM,
		  .base = TESTDEV_IORAM,
		  .size = TESTDEV_IORAM_SIZE,
		  .backing = m->source.mem,
		  .offset = m->ram },
	};
	const struct slot_change ram = {
		.op = SLOT_CREATE, .id = SLOT_RAM, .size = m->ram, .backing = m->source.mem
	};
	int err = vm_change_slots(m->source.vm, &ram, 1, SLOTS_ATOMIC, NULL);

	if (!err)
		err = create_vcpus(m, &m->source);
	if (!err)
		err = board_init(&m->board, m->source.vm, &config);
	if (!err)
		err = vm_change_slots(m->source.vm, list, ARRAY_SIZE(list), SLOTS_ATOMIC, NULL);
	return err;
}

static int load_guest(struct migration *m, char *why, size_t size)
{
	const struct guest_image *g = guest_image_find("migrate");
	struct multiboot_image image = { .name = "migrate" };
	struct multiboot_entry entry;
	struct load_error error;
	char append[80];
	int err;

	if (!g)
		return -ENOENT;
	/* Where an exit takes its time, as the timer's and a report's, others leave some for the
	 * work. */
	fmt_print(append, sizeof(append), "lines=%llu interval=%llu stall=%llu",
		  (unsigned long long)m->config.lines, (unsigned long long)patient(INTERVAL),
		  (unsigned long long)patient(MIGRATE_STALL));
	image.file = g->start;
	image.size = (size_t)((const u8 *)g->end - (const u8 *)g->start);
	image.append = append;
	err = multiboot_load(m->source.vm, &image, &entry, &error);
	if (err)
		str_copy(why, error.text, size);
	else
		vcpu_set_flat32(m->source.runner[0].vcpu, entry.eip, entry.eax, entry.ebx);
	return err;
}

static int create_source(struct migration *m, char *why, size_t size)
{
	struct migrate_side *s = &m->source;
	int err = vm_create(&s->vm);

	if (!err)
		err = backing_create(&s->mem, m->pages * PAGE_SIZE, BACKING_RESERVE);
	if (!err)
		err = board_with_memory(m);
	if (!err)
		err = vm_populate(s->vm);
	return err ? err : load_guest(m, why, size);
}

static u64 *new_map(struct migration *m, int *err)
{
	u64 *map = kzalloc(m->words * sizeof(u64));

	if (!map)
		*err = -ENOMEM;
	return map;
}

int migrate_create(struct migration **out, const struct migrate_config *c, char *why, size_t size)
{
	struct migration *m = kzalloc(sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->config = *c;
	m->ram = MIB(c->mib);
	m->pages = (m->ram + TESTDEV_IORAM_SIZE) / PAGE_SIZE;
	m->words = ALIGN_UP(m->pages, 64) / 64;
	wait_queue_init(&m->event);
	err = link_create(&m->link, &c->link);
	m->sent = new_map(m, &err);
	m->moved = new_map(m, &err);
	m->dirty = new_map(m, &err);
	m->here = new_map(m, &err);
	m->result.max_stalls = (u32)min_u64(m->pages, MIGRATE_MAX_STALLS);
	m->result.stall = kzalloc(m->result.max_stalls * sizeof(u64));
	if (!m->result.stall)
		err = -ENOMEM;
	if (!err)
		err = create_source(m, why, size);
	if (err)
		migrate_destroy(m);
	else
		*out = m;
	return err;
}

/* --- the target ------------------------------------------------------------------------------ */

static u32 target_flags(enum migrate_way way)
{
	static const u32 flags[MIGRATE_WAYS] = {
		[MIGRATE_EXIT] = SLOT_EXIT_ON_MISSING,
		[MIGRATE_BITMAP] = SLOT_USERFAULT,
	};

	return flags[way] | SLOT_LOG_DIRTY; /* for migrate_compare() */
}

/* With a CPU to spare the pages are received there. */
static u32 receiver_cpu(const struct migration *m)
{
	return nr_cpus > m->config.vcpus + 1 ? nr_cpus - 1 : 0;
}

int migrate_create_target(struct migration *m)
{
	struct migrate_side *t = &m->target;
	enum migrate_way way = m->config.way;
	int err = vm_create(&t->vm);

	if (!err)
		err = backing_create(&t->mem, m->pages * PAGE_SIZE,
				     way == MIGRATE_BITMAP ? BACKING_RESERVE : BACKING_MISSING);
	/* Or a block would be zeroed when its first page arrives. */
	if (!err && way == MIGRATE_BITMAP)
		err = backing_populate(t->mem);
	if (!err && way == MIGRATE_BITMAP)
		err = userfault_create(&t->hidden, t->mem, true);
	if (!err)
		err = show_memory(m, t, target_flags(way));
	if (!err)
		err = create_vcpus(m, t);
	if (!err)
		err = thread_create(&m->receiver, receiver_cpu(m), "receiver", migrate_receive, m);
	if (!err && way == MIGRATE_QUEUE)
		err = thread_create(&m->handler, receiver_cpu(m), "handler", migrate_handle, m);
	return err ? err : start_threads(m, t, migrate_run_target);
}

/* --- both ------------------------------------------------------------------------------------ */

static void port(struct migration *m, struct vcpu_run *run)
{
	struct migrate_result *res = &m->result;
	u32 n;

	if (run->io.in) {
		run->io.data = run->io.port == MIGRATE_PORT_COMMAND ? atomic_load(&m->command) : 0;
		return;
	}
	switch (run->io.port) {
	case MIGRATE_PORT_EVENT:
		if (run->io.data == MIGRATE_WRITTEN)
			atomic_store(&m->written, true);
		else
			atomic_fetch_add(&m->guest_wrong, 1);
		migrate_wake(m);
		break;
	case MIGRATE_PORT_STALL:
		if (!atomic_load(&m->measuring))
			break;
		/* By vCPUs at once. */
		n = __atomic_fetch_add(&res->stalls, 1, __ATOMIC_RELAXED);
		if (n < res->max_stalls)
			res->stall[n] = run->io.data;
		break;
	case MIGRATE_PORT_GAP:
		if (atomic_load(&m->measuring))
			res->number[NUMBER_GAP] = max_u64(res->number[NUMBER_GAP], run->io.data);
		break;
	}
}

bool migrate_serve(struct migration *m, struct vcpu *vcpu)
{
	struct vcpu_run *run = &vcpu->run;

	if (run->reason == RUN_EXIT_IO && run->io.port >= MIGRATE_PORT_COMMAND &&
	    run->io.port < MIGRATE_PORTS_END) {
		port(m, run);
		return false;
	}
	if (!board_handle(&m->board, vcpu))
		return false;
	migrate_wake(m);
	return true;
}

static bool has_written(struct migration *m)
{
	return atomic_load(&m->written) || migrate_ended(m);
}

int migrate_start(struct migration *m)
{
	int err = start_threads(m, &m->source, migrate_run_source);

	if (!err && !migrate_wait(m, has_written, migrate_patience(m)))
		err = -ETIMEDOUT;
	if (err || migrate_ended(m))
		return err ? err : -EIO;
	return 0;
}

int migrate_finish(struct migration *m)
{
	atomic_store(&m->command, MIGRATE_FINISH);
	if (!migrate_wait(m, migrate_ended, migrate_patience(m)))
		board_end(&m->board, RUN_HANG, "the guest does not come to its end");
	str_copy(m->result.why, m->board.ending.why, sizeof(m->result.why));
	return m->board.ending.status;
}

void migrate_end_source(struct migration *m)
{
	if (!m->source.vm)
		return;
	atomic_store(&m->source_over, true);
	migrate_wake(m);
	vm_stop(m->source.vm);
	end_side(m, &m->source);
	m->hold.vm = NULL;
}

void migrate_end_target(struct migration *m)
{
	atomic_store(&m->stop, true);
	if (m->target.vm)
		vm_stop(m->target.vm);
	for (u32 i = 0; i < MIGRATE_MAX_VCPUS; i++)
		if (m->target.runner[i].vcpu)
			wake_all(&m->target.runner[i].event);
	wake_all(&m->link.event[LINK_B]);
	if (m->receiver)
		thread_join(m->receiver);
	if (m->handler)
		thread_join(m->handler);
	m->receiver = m->handler = NULL;
	end_side(m, &m->target);
}

void migrate_destroy(struct migration *m)
{
	if (m->receiver || m->target.vm)
		migrate_end_target(m);
	migrate_end_source(m);
	if (m->board.vm) {
		board_destroy(&m->board);
		board_report(&m->board);
	}
	link_destroy(&m->link);
	kfree(m->sent);
	kfree(m->moved);
	kfree(m->dirty);
	kfree(m->here);
	kfree(m->result.stall);
	kfree(m);
}
