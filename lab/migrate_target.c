/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `migrate`: the target. One thread takes what arrives, so nobody else makes pages
 * present. The vCPUs' threads, or the queue's handler, ask for what is missing.
 *
 * No page comes twice: the source knows what it has sent, and the link keeps the order of urgent
 * messages, so a page that was asked for before the news that it is clean comes before the news.
 * One that did would take back what the guest has written since: that ends the guest.
 */
#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "lab/migrate.h"

/* Between two looks at whether it is over. */
#define LOOK_EVERY 1000000

static bool is_over(struct migration *m)
{
	return atomic_load(&m->stop) || migrate_ended(m);
}

/* On a broken link it is lost, which the receiver hears of. */
static void tell(struct migration *m, enum migrate_kind kind, u64 where)
{
	struct link_message *msg;

	do {
		msg = link_message_wait(&m->link, ticks_now() + LOOK_EVERY);
	} while (!msg && !is_over(m));
	if (!msg)
		return;
	msg->kind = kind;
	msg->where = where;
	link_send(&m->link, msg, LINK_A, true);
}

/* --- what arrives ---------------------------------------------------------------------------- */

static void wake_runners(struct migration *m)
{
	for (u32 i = 0; i < m->config.vcpus; i++)
		if (wait_queue_active(&m->target.runner[i].event))
			wake_all(&m->target.runner[i].event);
}

static void wake_for(struct migration *m, u64 page)
{
	for (u32 i = 0; i < m->config.vcpus; i++) {
		struct migrate_runner *r = &m->target.runner[i];

		if (wait_queue_active(&r->event) && atomic_load(&r->wanted) == page)
			wake_all(&r->event);
	}
}

static void fail(struct migration *m, int err)
{
	board_end(&m->board, RUN_PANIC, "a page cannot be received: %s", errno_name(err));
}

static void now_here(struct migration *m, u32 n)
{
	m->nr_here += n;
	if (m->nr_here == m->pages) {
		m->result.number[NUMBER_AFTER_SWITCH] = ticks_now() - m->paused;
		m->result.number[NUMBER_TOTAL] = ticks_now() - m->start;
		tell(m, KIND_COMPLETE, 0);
	}
}

static void take_ahead(struct migration *m, const struct link_message *msg)
{
	u64 offset = msg->where * PAGE_SIZE;
	int err = m->target.hidden ? backing_write(m->target.mem, offset, msg->data, PAGE_SIZE)
				   : backing_stage(m->target.mem, offset, msg->data);

	if (err)
		fail(m, err);
}

static void take_page(struct migration *m, const struct link_message *msg)
{
	u64 page = msg->where, offset = page * PAGE_SIZE;
	int err;

	if (migrate_bit(m->here, page)) {
		err = -EEXIST;
	} else if (m->target.hidden) {
		err = backing_write(m->target.mem, offset, msg->data, PAGE_SIZE);
		if (!err)
			userfault_clear_page(m->target.hidden, offset);
	} else {
		err = backing_fill(m->target.mem, offset, msg->data);
	}
	if (err) {
		fail(m, err);
		return;
	}
	migrate_set_bit(m->here, page);
	wake_for(m, page);
	now_here(m, 1);
}

static u64 pages_of_word(const struct migration *m, u64 word)
{
	u64 n = m->pages - word * 64;

	return n < 64 ? BIT(n) - 1 : ~0ull;
}

static void take_dirty(struct migration *m, const u64 *dirty)
{
	for (u64 i = 0; i < m->words; i++) {
		u64 clean = ~dirty[i] & ~m->here[i] & pages_of_word(m, i);
		u64 offset = i * 64 * PAGE_SIZE;
		u32 n = count_bits(clean);

		if (!clean)
			continue;
		if (m->target.hidden)
			userfault_clear(m->target.hidden, offset, clean);
		else if (backing_publish(m->target.mem, offset, clean) != (int)n)
			fail(m, -EIO);
		m->here[i] |= clean;
		now_here(m, n);
	}
	wake_runners(m);
}

static void take(struct migration *m, const struct link_message *msg)
{
	switch (msg->kind) {
	case KIND_AHEAD: take_ahead(m, msg); break;
	case KIND_PAGE: take_page(m, msg); break;
	case KIND_DIRTY: take_dirty(m, msg->data); break;
	case KIND_STATE:
		atomic_store(&m->target.runner[msg->where].state, msg->data);
		migrate_part_done(m, PART_ARRIVED);
		wake_runners(m);
		break;
	case KIND_GO:
		board_move(&m->board, m->target.vm);
		atomic_store(&m->go, true);
		wake_runners(m);
		migrate_part_done(m, PART_GO);
		break;
	}
}

/* Without the pages that it lacks the guest cannot go on. */
static void broken(struct migration *m)
{
	m->result.missing = m->pages - m->nr_here;
	if (atomic_load(&m->go) && m->result.missing)
		board_end(&m->board, RUN_FAILED, "the link broke: %llu of %llu pages are missing",
			  (unsigned long long)m->result.missing, (unsigned long long)m->pages);
	else
		atomic_store(&m->stop, true);
	wake_runners(m);
}

void migrate_receive(void *arg)
{
	struct migration *m = arg;
	struct link_message *msg;
	int err = 0;

	while (!err && !is_over(m)) {
		err = link_receive(&m->link, LINK_B, &msg);
		if (msg) {
			take(m, msg);
			link_put(&m->link, msg);
		} else if (!err) {
			link_wait(&m->link, LINK_B, ticks_now() + LOOK_EVERY);
		}
	}
	if (err)
		broken(m);
	atomic_store(&m->receiver_ended, true);
	migrate_wake(m);
}

/* --- what is missing ------------------------------------------------------------------------- */

void migrate_handle(void *arg)
{
	struct migration *m = arg;

	while (!is_over(m)) {
		struct fetch f;

		if (vm_next_fetch(m->target.vm, &f, ticks_now() + LOOK_EVERY))
			continue;
		tell(m, KIND_WANTED, f.offset / PAGE_SIZE);
		backing_put(f.backing);
	}
}

static bool is_missing(struct migration *m, u64 page)
{
	struct backing_page at;

	if (m->target.hidden)
		return userfault_hides(m->target.hidden, page * PAGE_SIZE);
	return !backing_look(m->target.mem, page * PAGE_SIZE, &at);
}

/* RUN_EXIT_MEMORY_FAULT: by the vCPU's own thread. */
static bool fetch(struct migrate_runner *r)
{
	struct migration *m = r->m;
	struct waiter w;
	u64 page;

	if (!migrate_page_of(m, r->vcpu->run.memory_fault.gpa, &page)) {
		fail(m, -EFAULT);
		return false;
	}
	atomic_store(&r->wanted, page);
	if (is_missing(m, page))
		tell(m, KIND_WANTED, page);
	for (;;) {
		wait_prepare(&r->event, &w);
		if (!is_missing(m, page) || is_over(m))
			break;
		wait_sleep(&w);
	}
	wait_finish(&r->event, &w);
	return !is_over(m);
}

/* --- the vCPUs ------------------------------------------------------------------------------- */

static bool wait_runner(struct migrate_runner *r, bool (*cond)(struct migrate_runner *r))
{
	struct waiter w;
	bool ok;

	for (;;) {
		wait_prepare(&r->event, &w);
		ok = cond(r);
		if (ok || is_over(r->m))
			break;
		wait_sleep(&w);
	}
	wait_finish(&r->event, &w);
	return ok;
}

static bool has_state(struct migrate_runner *r)
{
	return atomic_load(&r->state);
}

static bool may_run(struct migrate_runner *r)
{
	return atomic_load(&r->m->go) && atomic_load(&r->m->accepted) == r->m->config.vcpus;
}

static bool become(struct migrate_runner *r)
{
	struct migration *m = r->m;
	struct vcpu_state_report report = { .why = "" };
	int err = vcpu_set_state(r->vcpu, atomic_load(&r->state), &report);

	if (err) {
		str_copy(m->result.why, report.why, sizeof(m->result.why));
		tell(m, KIND_REFUSED, r->vcpu->id);
		return false;
	}
	migrate_part_done(m, PART_RESTORED);
	atomic_fetch_add(&m->accepted, 1);
	wake_runners(m);
	return true;
}

static bool lacks_code(struct vcpu *vcpu, int err)
{
	return err || (vcpu->run.reason == RUN_EXIT_MEMORY_FAULT &&
		       vcpu->run.memory_fault.flags & FAULT_FETCH);
}

static void run(struct migrate_runner *r)
{
	u64 start_rip = atomic_load(&r->state)->cpu.rip, before;
	struct migration *m = r->m;
	bool on = true;
	int err = 0;

	m->result.target_ran = true;
	if (!atomic_exchange(&m->told, true))
		tell(m, KIND_RUNNING, 0);
	while (on) {
		before = ticks_now();
		err = vcpu_run(r->vcpu);
		/* What it lacks for an instruction that it has is a stall, and no downtime. */
		if (!r->first && (vcpu_rip(r->vcpu) != start_rip || !lacks_code(r->vcpu, err))) {
			r->first = before;
			m->result.downtime[r->vcpu->id] = before - m->paused;
		}
		if (err == -EINTR)
			on = !vm_wait_resumed(m->target.vm);
		else if (err)
			on = false;
		else if (r->vcpu->run.reason == RUN_EXIT_MEMORY_FAULT)
			on = fetch(r);
		else
			on = !migrate_serve(m, r->vcpu);
	}
	if (err && err != -EINTR)
		board_end(&m->board, RUN_PANIC, "vCPU %u cannot run: %s", r->vcpu->id,
			  errno_name(err));
}

void migrate_run_target(void *arg)
{
	struct migrate_runner *r = arg;
	struct migration *m = r->m;

	if (wait_runner(r, has_state) && become(r) && wait_runner(r, may_run))
		run(r);
	vcpu_unload(r->vcpu);
	atomic_store(&r->ended, true);
	migrate_wake(m);
}
