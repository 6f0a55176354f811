/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `migrate`: a link that breaks. Whose the guest is then is told in lab/migrate.h; here
 * it is tried at every phase, and that the guest, where it goes on, finds its memory as it was.
 */
#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "lab/migrate.h"

#define AWHILE	  patient(300000) /* ticks */
#define BREAK_MIB 4

static const struct break_case {
	enum migrate_break at;
	bool refuse;
	enum migrate_way way;
	u32 rounds;
	int err; /* of migrate_move() */
	bool gone;
	const char *text;
} cases[] = {
	{ BREAK_PRECOPY, false, MIGRATE_BITMAP, 1, -EPIPE, false,
	  "a link that breaks during pre-copy: the guest goes on where it is" },
	{ BREAK_STATE, false, MIGRATE_EXIT, 1, -EPIPE, false,
	  "a link that breaks before the guest was given away: it goes on where it is" },
	{ BREAK_GO, false, MIGRATE_QUEUE, 0, -EPIPE, true,
	  "a link that breaks while the guest is given away: nobody runs it" },
	{ BREAK_DEMAND, false, MIGRATE_EXIT, 1, -EPIPE, true,
	  "a link that breaks at a page that the guest waits for: the target stops and says what "
	  "is missing" },
	{ BREAK_PUSH, false, MIGRATE_QUEUE, 0, -EPIPE, true,
	  "a link that breaks at a page that nobody waits for: the target stops and says what is "
	  "missing" },
	{ BREAK_NEVER, true, MIGRATE_BITMAP, 1, -EINVAL, true,
	  "a target that cannot be the vCPU says so, and gives the guest back" },
};

static bool all_ended(struct migration *m)
{
	for (u32 i = 0; i < m->config.vcpus; i++)
		if (!atomic_load(&m->target.runner[i].ended))
			return false;
	return atomic_load(&m->receiver_ended);
}

static bool never(struct migration *m)
{
	return false;
}

static void rest(struct migration *m)
{
	migrate_wait(m, never, AWHILE);
}

/* The target has run the guest, and stands. */
static void check_stopped(struct migration *m, const char *text)
{
	bool ok = migrate_wait(m, all_ended, migrate_patience(m));
	int err = ok ? migrate_compare(m) : -ETIMEDOUT;

	ktap_result(!err && m->result.target_ran && m->result.missing &&
			    m->board.ending.status == RUN_FAILED,
		    "%s", text);
	ktap_note("the target: %s", m->board.ending.why);
	ktap_result(!err && !migrate_note_wrong(m) && m->result.number[NUMBER_COMPARED],
		    "and until then it has shown the guest no wrong byte");
	ktap_result(vm_is_held(m->source.vm), "and the source does not run it again");
}

/* The source has it, or has it back once the target is gone for good. */
static void check_back(struct migration *m, const struct break_case *c)
{
	int status;

	if (!c->gone)
		migrate_stay(m);
	rest(m);
	ktap_result(!m->result.target_ran && vm_is_held(m->source.vm) == c->gone, "%s", c->text);
	migrate_end_target(m);
	if (c->gone)
		migrate_stay(m);
	rest(m);
	status = migrate_finish(m);
	ktap_result(!status && !migrate_note_wrong(m), "and %s it finds its memory as it was",
		    c->gone ? "given back, the other one gone for good," : "there");
	if (status)
		ktap_note("status %d: %s", status, m->result.why);
}

static void test_case(const struct break_case *c, struct migrate_config config)
{
	struct migration *m = NULL;
	char why[160] = "";
	int err;

	config.breaks = c->at;
	config.refuse = c->refuse;
	config.way = c->way;
	config.rounds = c->rounds;
	err = migrate_create(&m, &config, why, sizeof(why));
	if (!err)
		err = migrate_create_target(m);
	if (!err)
		err = migrate_start(m);
	if (!err)
		err = migrate_move(m);
	if (err != c->err || atomic_load(&m->gone) != c->gone) {
		ktap_result(false, "%s", c->text);
		ktap_note("%d %s %s%s", err, errno_name(err), why, m ? m->board.ending.why : "");
	} else if (c->at == BREAK_DEMAND || c->at == BREAK_PUSH) {
		check_stopped(m, c->text);
	} else {
		check_back(m, c);
	}
	if (m)
		migrate_destroy(m);
}

void migrate_test_breaks(const struct migrate_config *base, u32 only)
{
	struct migrate_config config = *base;

	config.mib = min_u64(config.mib, BREAK_MIB);
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		if (!only || only == i + 1)
			test_case(&cases[i], config);
}
