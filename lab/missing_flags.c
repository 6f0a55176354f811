/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: asking for memory-fault exits, being refused, and what the VMM's own
 * accesses come to.
 */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/missing.h"

#define PAGES 4

static struct missing_vm m;

static bool create(enum missing_way way)
{
	const struct missing_config c = { .way = way, .vcpus = 1, .pages = PAGES };

	return !missing_failed(way, missing_create(&m, &c));
}

static void destroy(void)
{
	vcpu_unload(m.v[0].vcpu);
	missing_destroy(&m);
}

/* --- flags ----------------------------------------------------------------------------------- */

/* Returns the error, but 0 also if there was one without a reason. */
static int give(u32 flags, struct userfault *bitmap)
{
	struct slot_change c = missing_slot(&m, SLOT_FLAGS, flags);
	struct slot_report r = { .why = "" };
	int err;

	c.userfault = bitmap;
	err = vm_change_slots(m.vm, &c, 1, SLOTS_ATOMIC, &r);
	return err && !r.why[0] ? 0 : err;
}

static bool query_is_right(void)
{
	u32 offered = vm_slot_flags(m.vm), accepted = 0, wrong = 0;

	for (u32 flag = 1; flag; flag <<= 1) {
		int err = give(flag, flag == SLOT_USERFAULT ? m.hidden : NULL);

		if (!err)
			accepted |= flag;
		else if (err != -EOPNOTSUPP)
			wrong |= flag;
	}
	if (accepted != offered || wrong)
		ktap_note("offered %#x, accepted %#x, refused otherwise %#x", offered, accepted,
			  wrong);
	return accepted == offered && !wrong;
}

void missing_test_flags(void)
{
	if (!create(WAY_BITMAP))
		return;
	ktap_result((vm_slot_flags(m.vm) & (SLOT_EXIT_ON_MISSING | SLOT_USERFAULT)) ==
			    (SLOT_EXIT_ON_MISSING | SLOT_USERFAULT),
		    "both kinds of memory-fault exits are among the flags that a VM offers");
	ktap_result(query_is_right(),
		    "each flag that is offered is accepted, each other one refused with a reason");
	ktap_result(give(SLOT_READONLY | SLOT_EXIT_ON_MISSING, NULL) == -EPERM,
		    "a read-only slot with exits on missing pages is refused");
	ktap_result(give(SLOT_EXIT_ON_MISSING | SLOT_USERFAULT, m.hidden) == -EPERM,
		    "both kinds of exits at once are refused");
	ktap_result(give(SLOT_USERFAULT, NULL) == -EINVAL && give(0, m.hidden) == -EPERM,
		    "so are exits by a bitmap without one, and a bitmap without them");
	destroy();
}

/* --- the VMM's own accesses ------------------------------------------------------------------ */

/* Across two pages of which the second one is missing. */
static bool crosses(void)
{
	u64 word = 0;

	return vm_read(m.vm, MISSING_BASE + PAGE_SIZE - 4, &word, 8) == -EAGAIN &&
	       vm_write(m.vm, MISSING_BASE + PAGE_SIZE - 4, &word, 8) == -EAGAIN &&
	       !missing_bring(&m, PAGE_SIZE) &&
	       !vm_read(m.vm, MISSING_BASE + PAGE_SIZE - 4, &word, 8) &&
	       word == ((u64)(MISSING_VALUE + 1) << 32 | MISSING_VALUE);
}

static void test_told(enum missing_way way)
{
	const char *name = missing_way_name[way];
	u32 word = 0;
	bool ok;

	if (!create(way))
		return;
	ok = vm_read(m.vm, MISSING_BASE, &word, 4) == -EAGAIN &&
	     vm_write(m.vm, MISSING_BASE, &word, 4) == -EAGAIN &&
	     vm_fill(m.vm, MISSING_BASE, 0, 4) == -EAGAIN;
	ktap_result(ok && !missing_bring(&m, 0) && !vm_read(m.vm, MISSING_BASE, &word, 4) &&
			    word == MISSING_VALUE,
		    "%s: the VMM's own access to a missing page is told so, and does nothing",
		    name);
	ktap_result(crosses(), "%s: also where only a part of it is missing", name);
	ok = !vm_populate(m.vm) && vm_read(m.vm, MISSING_BASE + 2 * PAGE_SIZE, &word, 4) == -EAGAIN;
	ktap_result(ok, "%s: populating memory brings no page that is missing", name);
	ok = backing_read(m.mem, 2 * PAGE_SIZE, &word, 4) == (way == WAY_BITMAP ? 0 : -EAGAIN);
	ktap_result(ok && missing_bring(&m, 0) == -EEXIST && !missing_take(&m, 0, PAGE_SIZE) &&
			    vm_read(m.vm, MISSING_BASE, &word, 4) == -EAGAIN,
		    "%s: a page can be taken away again, and its owner sees what a bitmap hides",
		    name);
	destroy();
}

static void test_waits(void)
{
	u32 words[2] = { 0, 0 };
	bool ok;

	if (!create(WAY_QUEUE))
		return;
	ok = !missing_serve(&m, nr_cpus - 1) &&
	     !vm_read(m.vm, MISSING_BASE + PAGE_SIZE - 4, words, 8) && words[0] == MISSING_VALUE &&
	     words[1] == MISSING_VALUE + 1 &&
	     !vm_write(m.vm, MISSING_BASE + 2 * PAGE_SIZE, words, 4);
	ktap_result(ok && atomic_load(&m.served) == 3,
		    "queue: the VMM's own accesses wait for each missing page");
	destroy();
}

void missing_test_own(const struct missing_options *o)
{
	if (o->ways & BIT(WAY_QUEUE))
		test_waits();
	for (enum missing_way way = WAY_EXIT; way < NR_MISSING_WAYS; way++)
		if (o->ways & BIT(way))
			test_told(way);
}
