/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `wait`: several threads that wait, several vCPUs to wait for. */
#include "hv/host/errno.h"
#include "lab/wait.h"

#define POLLERS 6
#define FOUR	4

static bool start_asleep(struct call *c, unsigned int n)
{
	bool ok = true;

	for (unsigned int i = 0; i < n && ok; i++)
		ok = call_start(&c[i]);
	for (unsigned int i = 0; i < n && ok; i++)
		ok = call_asleep(&c[i]);
	return ok;
}

static unsigned int nr_returned(struct call *c, unsigned int n)
{
	unsigned int returned = 0;

	for (unsigned int i = 0; i < n; i++)
		returned += atomic_load(&c[i].returned);
	return returned;
}

static void test_several_pollers(enum wait_way way)
{
	static struct call c[POLLERS];
	bool all = true;
	struct ward w;

	if (!ward_create(&w, way, 1, WAIT_LEAVES))
		return;
	for (unsigned int i = 0; i < POLLERS; i++)
		c[i] = (struct call){ .fn = call_wait, .n = 1, .set[0].vcpu = w.vcpu[0] };
	if (!start_asleep(c, POLLERS))
		ktap_note("some did not come to sleep");
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	for (unsigned int i = 0; i < POLLERS; i++) {
		all &= call_returned(&c[i], SOON) && c[i].ret == 1;
		call_join(&c[i]);
	}
	ktap_result(all, "%s: %u threads wait for one vCPU: its event wakes every one",
		    wait_way_name[way], POLLERS);
	ward_destroy(&w);
}

static void test_one_for_many(enum wait_way way)
{
	struct call c = { .fn = call_wait, .n = FOUR };
	bool right = true;
	struct ward w;

	if (!ward_create(&w, way, FOUR, WAIT_LEAVES))
		return;
	for (unsigned int i = 0; i < FOUR; i++)
		c.set[i].vcpu = w.vcpu[i];
	for (unsigned int i = 0; i < FOUR; i++) {
		right &= start_asleep(&c, 1);
		lapic_post(w.vcpu[i], WAIT_VECTOR);
		right &= call_returned(&c, SOON) && c.ret == 1;
		call_join(&c);
		for (unsigned int j = 0; j < FOUR; j++)
			right &= c.set[j].ready == (i == j ? WAIT_EVENT : 0);
		right &= ward_run_until_out(&w, i);
	}
	ktap_result(right, "%s: one thread waits for %u vCPUs, and is told which has an event",
		    wait_way_name[way], FOUR);
	lapic_post(w.vcpu[1], WAIT_VECTOR);
	lapic_post(w.vcpu[3], WAIT_VECTOR);
	ktap_result(vcpu_wait(c.set, FOUR, 0) == 2 && c.set[1].ready && c.set[3].ready,
		    "%s: two of them have one, both are named", wait_way_name[way]);
	ward_destroy(&w);
}

/* Two overlapping sets and one apart: an event wakes the threads that wait for it, no others. */
static void test_overlap(void)
{
	struct call c[3];
	bool right;
	struct ward w;

	if (!ward_create(&w, WAY_SEQUENCE, FOUR, WAIT_LEAVES))
		return;
	c[0] = (struct call){ .fn = call_wait, .n = 2 };
	c[0].set[0].vcpu = w.vcpu[0];
	c[0].set[1].vcpu = w.vcpu[1];
	c[1] = (struct call){ .fn = call_wait, .n = 2 };
	c[1].set[0].vcpu = w.vcpu[2];
	c[1].set[1].vcpu = w.vcpu[1];
	c[2] = (struct call){ .fn = call_wait, .n = 1, .set[0].vcpu = w.vcpu[3] };
	right = start_asleep(c, 3);
	lapic_post(w.vcpu[1], WAIT_VECTOR);
	right &= call_returned(&c[0], SOON) && call_returned(&c[1], SOON);
	right &= !call_returned(&c[2], NOT_AT_ALL) && nr_returned(c, 3) == 2;
	lapic_post(w.vcpu[3], WAIT_VECTOR);
	right &= call_returned(&c[2], SOON);
	ktap_result(right, "several threads wait for several vCPUs: each hears of its own");
	for (unsigned int i = 0; i < 3; i++)
		call_join(&c[i]);
	ward_destroy(&w);
}

void wait_test_several(void)
{
	test_several_pollers(WAY_POSTED);
	test_several_pollers(WAY_SEQUENCE);
	test_one_for_many(WAY_SEQUENCE);
	test_overlap();
}
