/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `migrate`: the source.
 *
 * Rounds of pre-copy while the guest runs: first every page, then those of the dirty log. The
 * switch: hold the VM; each vCPU's own thread writes its state down and sends it; the pages that
 * the next instructions need; GO. What the guest waits for is over with that. Only then the last of
 * the dirty log is read, from a VM that will not run any more, and sent; and pages, those that are
 * asked for first.
 *
 * From the hold on the memory does not change, so pages are sent from where they lie.
 */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "lab/migrate.h"

/* Between two looks at whether the guest still lives. */
#define LOOK_EVERY 1000000

#define AHEAD_UNTIL  300 /* pages, when the link breaks */
#define DEMAND_UNTIL 5
#define PUSH_UNTIL   100

/* --- sending --------------------------------------------------------------------------------- */

/* Not yet sent to the end; there is always another look. */
static void wait_at_source(struct migration *m, u64 until)
{
	link_wait(&m->link, LINK_A, min_u64(until, ticks_now() + LOOK_EVERY));
}

static int send(struct migration *m, struct link_message *msg, enum migrate_kind kind, u64 where,
		bool urgent)
{
	msg->kind = kind;
	msg->where = where;
	return link_send(&m->link, msg, LINK_B, urgent);
}

/* With a long latency all of them are on their way at times, until the target has taken one. */
static struct link_message *unused(struct migration *m)
{
	return link_message_wait(&m->link, ticks_now() + migrate_patience(m));
}

/* One without contents. */
static int send_word(struct migration *m, enum migrate_kind kind, const void *data, u32 bytes)
{
	struct link_message *msg = unused(m);

	if (!msg)
		return -ETIMEDOUT;
	msg->data = data;
	msg->bytes = bytes;
	return send(m, msg, kind, 0, true);
}

static void count_page(struct migration *m, u64 page)
{
	if (migrate_bit(m->moved, page))
		m->result.number[NUMBER_TWICE]++;
	migrate_set_bit(m->moved, page);
}

bool migrate_send_page(struct migration *m, u64 page, bool urgent)
{
	struct link_message *msg = unused(m);
	struct backing_page at;

	if (!msg)
		return false;
	if (backing_find(m->source.mem, page * PAGE_SIZE, &at)) {
		link_put(&m->link, msg);
		return false;
	}
	msg->data = phys_to_virt(at.hpa);
	msg->bytes = PAGE_SIZE;
	if (send(m, msg, KIND_PAGE, page, urgent))
		return false;
	count_page(m, page);
	migrate_set_bit(m->sent, page);
	return true;
}

/* --- pre-copy -------------------------------------------------------------------------------- */

static int log_dirty(struct migration *m, bool on)
{
	struct slot_change list[] = {
		{ .op = SLOT_FLAGS, .id = 0 },
		{ .op = SLOT_FLAGS, .id = 1 },
	};

	list[0].flags = list[1].flags = on ? SLOT_LOG_DIRTY : 0;
	return vm_change_slots(m->source.vm, list, ARRAY_SIZE(list), SLOTS_ATOMIC, NULL);
}

/* RAM is a multiple of 64 pages, so each slot's log has words of its own. */
static int read_dirty(struct migration *m, struct vm *vm, u64 *map,
		      int (*read)(struct vm *vm, u32 id, u64 *bitmap, u64 *n))
{
	int err = read(vm, 0, map, NULL);

	return err ? err : read(vm, 1, map + m->ram / PAGE_SIZE / 64, NULL);
}

/* Wait until nothing of what was sent ahead waits to be sent. */
static int wait_idle(struct migration *m)
{
	u64 when;

	while (!link_idle(&m->link, LINK_B, &when)) {
		if (migrate_ended(m))
			return -EIO;
		wait_at_source(m, when);
	}
	return link_is_broken(&m->link) ? -EPIPE : 0;
}

static int send_ahead(struct migration *m, u64 page)
{
	struct link_message *msg;
	int err = wait_idle(m);

	if (err)
		return err;
	msg = unused(m);
	if (!msg)
		return -ETIMEDOUT;
	err = backing_read(m->source.mem, page * PAGE_SIZE, msg->buffer, PAGE_SIZE);
	if (err) {
		link_put(&m->link, msg);
		return err;
	}
	msg->bytes = PAGE_SIZE;
	err = send(m, msg, KIND_AHEAD, page, false);
	if (!err) {
		count_page(m, page);
		m->result.number[NUMBER_AHEAD]++;
	}
	return err;
}

static int round_ahead(struct migration *m)
{
	int err = 0;

	for (u64 page = 0; page < m->pages && !err; page++)
		if (migrate_bit(m->dirty, page))
			err = send_ahead(m, page);
	return err;
}

static int precopy(struct migration *m)
{
	int err = log_dirty(m, true);

	memset(m->dirty, 0xff, m->words * sizeof(u64));
	for (u32 i = 0; i < m->config.rounds && !err; i++) {
		if (i)
			err = read_dirty(m, m->source.vm, m->dirty, vm_dirty_read);
		if (!err)
			err = round_ahead(m);
	}
	/* The states must not overtake a page that was sent ahead of them. */
	return err ? err : wait_idle(m);
}

/* --- the switch ------------------------------------------------------------------------------ */

static bool is_decided(struct migration *m)
{
	return !atomic_load(&m->switching) || atomic_load(&m->source_over);
}

/*
 * A vCPU's own thread, after it has left the guest because the VM is held. It holds it too, or it
 * would wait at the gate for whoever does. Returns whether the vCPU is given away for good.
 */
static bool give_away(struct migrate_runner *r)
{
	struct migration *m = r->m;
	struct vcpu_state *s = &m->state[r->vcpu->id];
	struct vm_hold h = { .vm = NULL };
	int err = vm_pause(m->source.vm, &h, 0, NULL);

	if (!err)
		err = vcpu_get_state(r->vcpu, s);
	vm_resume(&h);
	vcpu_unload(r->vcpu);
	if (!err) {
		struct link_message *msg = unused(m);

		err = -ETIMEDOUT;
		if (msg) {
			if (m->config.refuse)
				s->layout = ~0u;
			msg->data = s;
			msg->bytes = (u32)vcpu_state_bytes(s);
			err = send(m, msg, KIND_STATE, r->vcpu->id, true);
		}
	}
	if (err)
		atomic_store(&m->error, err);
	atomic_fetch_add(&m->states_sent, 1);
	migrate_wake(m);
	/* Given away is not over: it may come back. */
	while (!migrate_wait(m, is_decided, migrate_patience(m)))
		;
	return atomic_load(&m->source_over);
}

void migrate_run_source(void *arg)
{
	struct migrate_runner *r = arg;
	struct migration *m = r->m;
	bool over = false;

	while (!over) {
		int err = vcpu_run(r->vcpu);

		if (!err)
			over = migrate_serve(m, r->vcpu);
		else if (err != -EINTR)
			atomic_store(&m->error, err);
		else if (atomic_load(&m->switching))
			over = give_away(r);
		else
			over = vm_wait_resumed(m->source.vm);
		over |= err && err != -EINTR;
	}
	vcpu_unload(r->vcpu);
	atomic_store(&r->ended, true);
	migrate_wake(m);
}

static bool all_sent(struct migration *m)
{
	return atomic_load(&m->states_sent) == m->config.vcpus || migrate_ended(m);
}

static void break_now(struct migration *m, enum migrate_break at, bool urgent, u64 n)
{
	if (m->config.breaks == at)
		link_break_after(&m->link, urgent, n);
}

static int switch_over(struct migration *m)
{
	int err;

	break_now(m, BREAK_STATE, true, 0);
	atomic_store(&m->states_sent, 0);
	atomic_store(&m->switching, true);
	m->paused = ticks_now();
	err = vm_pause(m->source.vm, &m->hold, 0, NULL);
	migrate_part_done(m, PART_HELD);
	if (!err && !migrate_wait(m, all_sent, migrate_patience(m)))
		err = -ETIMEDOUT;
	migrate_part_done(m, PART_TAKEN);
	if (!err && migrate_ended(m))
		err = -EIO;
	if (!err)
		err = atomic_load(&m->error);
	if (err)
		return err;
	migrate_send_hot(m);
	atomic_store(&m->measuring, true);
	err = send_word(m, KIND_GO, NULL, 0);
	/* Taken by the link or lost on it: nobody can say. Unless it was not taken. */
	atomic_store(&m->gone, !err);
	migrate_part_done(m, PART_GIVEN);
	if (m->config.breaks == BREAK_GO)
		link_break(&m->link);
	break_now(m, BREAK_DEMAND, true, DEMAND_UNTIL);
	break_now(m, BREAK_PUSH, false, PUSH_UNTIL);
	migrate_wake(m);
	return err;
}

/* --- after the switch ------------------------------------------------------------------------ */

/* The target has everything that was sent ahead, but for what the log says. */
static int send_dirty(struct migration *m)
{
	int err = read_dirty(m, m->source.vm, m->dirty, vm_dirty_read_last);

	if (err)
		return err;
	for (u64 i = 0; i < m->words; i++)
		m->sent[i] |= ~m->dirty[i];
	return send_word(m, KIND_DIRTY, m->dirty, (u32)(m->words * sizeof(u64)));
}

static bool take_answers(struct migration *m)
{
	struct link_message *msg;
	bool any = false;

	while (!link_receive(&m->link, LINK_A, &msg) && msg) {
		u64 page = msg->where;

		switch (msg->kind) {
		case KIND_WANTED:
			if (!migrate_bit(m->sent, page) && migrate_send_page(m, page, true))
				m->result.number[NUMBER_DEMANDED]++;
			break;
		case KIND_RUNNING: m->running = true; break;
		case KIND_COMPLETE: m->complete = true; break;
		case KIND_REFUSED: m->refused = true; break;
		}
		link_put(&m->link, msg);
		any = true;
	}
	return any;
}

static bool next_to_push(struct migration *m, u64 *page)
{
	for (; *page < m->pages; ++*page) {
		if (m->sent[*page / 64] == ~0ull)
			*page |= 63;
		else if (!migrate_bit(m->sent, *page))
			return true;
	}
	return false;
}

/* Until the target runs everything else has time. */
static int push(struct migration *m, u64 *page, u64 *when, bool *busy)
{
	int err = 0;

	if (m->running && m->config.rounds && !m->log_sent) {
		m->log_sent = *busy = true;
		err = send_dirty(m);
	} else if (m->running && link_idle(&m->link, LINK_B, when)) {
		*when = UINT64_MAX;
		if (next_to_push(m, page) && migrate_send_page(m, *page, false)) {
			m->result.number[NUMBER_PUSHED]++;
			*busy = true;
		}
	}
	return err;
}

static int serve(struct migration *m)
{
	u64 page = 0, end = ticks_now() + migrate_patience(m);
	int err = 0;

	while (!err) {
		bool busy = take_answers(m);
		u64 when = UINT64_MAX;

		if (m->complete || m->refused)
			break;
		if (link_is_broken(&m->link))
			err = -EPIPE;
		else if (ticks_now() > end)
			err = -ETIMEDOUT;
		else if (migrate_ended(m))
			err = -EIO;
		else
			err = push(m, &page, &when, &busy);
		if (!err && !busy)
			wait_at_source(m, when);
	}
	return m->refused ? -EINVAL : err;
}

int migrate_move(struct migration *m)
{
	int err = 0;

	m->start = ticks_now();
	break_now(m, BREAK_PRECOPY, false, AHEAD_UNTIL);
	if (m->config.rounds)
		err = precopy(m);
	if (!err)
		err = switch_over(m);
	if (!err)
		err = serve(m);
	m->result.number[NUMBER_BYTES] = m->link.bytes;
	return err;
}

void migrate_stay(struct migration *m)
{
	atomic_store(&m->gone, false);
	atomic_store(&m->switching, false);
	atomic_store(&m->measuring, false);
	board_move(&m->board, m->source.vm);
	if (m->config.rounds)
		log_dirty(m, false);
	vm_resume(&m->hold);
	migrate_wake(m);
}
