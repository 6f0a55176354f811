/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that move to other frames while guests of two VMs and the hypervisor use them: nobody uses
 * a frame that was left, and no write is lost.
 *
 * Each vCPU and each thread has a word of its own in every page, which nobody else writes: what it
 * reads there is what it last wrote, or the access went to the wrong frame or the copy missed it.
 * Frames that were left are filled with another pattern and freed.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "tests/stress/guests.h"

#define VMS	2
#define VCPUS	2 /* in the first; the second VM has one */
#define USERS	4 /* the vCPUs, and the thread that reads and writes */
#define PAGES	4
#define SIZE	(PAGES * PAGE_SIZE)
#define MOVES	60
#define PATTERN 0xee

static struct vm *vms[VMS];
static struct guest guests[VCPUS + 1], idler;
static struct backing *backing;
static _Atomic bool over;
static u64 last[USERS][PAGES]; /* what each has written */

struct user {
	unsigned int nr;
};

static struct user users[USERS];

static gpa_t base_of(unsigned int v)
{
	return v ? MIB(6) : MIB(2);
}

static gpa_t word_of(unsigned int user, unsigned int i)
{
	return base_of(user == VCPUS) + i * PAGE_SIZE + 8 * user;
}

static void expect(unsigned int user, unsigned int i, u64 value)
{
	stress_check(value == last[user][i], "user %u reads %#llx in page %u after writing %#llx",
		     user, (unsigned long long)value, i, (unsigned long long)last[user][i]);
}

static int use(struct guest *g)
{
	unsigned int user = ((struct user *)g->arg)->nr, i = (unsigned int)stress_random(PAGES);
	struct hw_vcpu *hw = hw_of(g->vcpu);
	u64 value;
	int exit;

	if (stress_random(2)) {
		exit = hw_read(hw, word_of(user, i), &value);
		if (exit == HW_GOES_ON)
			expect(user, i, value);
		return exit;
	}
	exit = hw_write(hw, word_of(user, i), last[user][i] + 1);
	if (exit == HW_GOES_ON)
		last[user][i]++;
	return exit;
}

static bool left(struct guest *g, int err)
{
	stress_check(err == -EINTR, "a vCPU leaves with %d, reason %u", err, g->vcpu->run.reason);
	return false; /* the VM was stopped */
}

static void access(void *arg)
{
	unsigned int user = ((struct user *)arg)->nr;

	while (!atomic_load(&over)) {
		unsigned int i = (unsigned int)stress_random(PAGES);
		u64 value = last[user][i] + 1;

		if (stress_random(2)) {
			stress_check(!vm_read(vms[0], word_of(user, i), &value, 8), "vm_read()");
			expect(user, i, value);
		} else {
			stress_check(!vm_write(vms[0], word_of(user, i), &value, 8), "vm_write()");
			last[user][i] = value;
		}
		spin_ticks(stress_random(100));
	}
}

static void move_all(void)
{
	for (unsigned int i = 0; i < MOVES; i++) {
		u64 from = stress_random(PAGES), n = 1 + stress_random(PAGES - from);
		int err = backing_move(backing, from * PAGE_SIZE, n * PAGE_SIZE,
				       stress_random(2) ? PATTERN : -1);

		stress_check(!err, "backing_move(): %d", err);
		spin_ticks(stress_random(500));
	}
}

/* The slots that show the pages are split and merged meanwhile. */
static void reshape(void *arg)
{
	const struct slot_change parted = { .op = SLOT_SPLIT, .other = 1, .size = SIZE / 2 };
	const struct slot_change merged = { .op = SLOT_MERGE, .other = 1 };
	int err = 0;

	while (!atomic_load(&over) && !err) {
		err = vm_change_slots(vms[1], &parted, 1, SLOTS_ATOMIC, NULL);
		spin_ticks(stress_random(1000));
		if (!err)
			err = vm_change_slots(vms[1], &merged, 1, SLOTS_ATOMIC, NULL);
	}
	stress_check(!err, "vm_change_slots(): %d", err);
}

static void make(unsigned int v)
{
	const struct slot_change ram = {
		.op = SLOT_CREATE, .base = base_of(v), .size = SIZE, .backing = backing
	};

	stress_check(!vm_create(&vms[v]), "a VM cannot be created");
	stress_check(!vm_change_slots(vms[v], &ram, 1, SLOTS_ATOMIC, NULL), "no slot");
}

static void run(void)
{
	struct thread *accessor, *reshaper;

	atomic_store(&over, false);
	stress_check(!backing_create(&backing, SIZE, 0) && !backing_populate(backing), "no memory");
	for (unsigned int u = 0; u < USERS; u++) {
		users[u].nr = u;
		for (unsigned int i = 0; i < PAGES; i++)
			last[u][i] = 0;
	}
	for (unsigned int v = 0; v < VMS; v++)
		make(v);
	for (unsigned int i = 0; i <= VCPUS; i++) {
		guests[i] = (struct guest){ .work = use, .left = left, .arg = &users[i] };
		guest_create(&guests[i], vms[i == VCPUS]);
		guest_start(&guests[i], "vCPU");
	}
	/* One that touches nothing: only a kick brings it out for a flush. */
	idler = (struct guest){ .left = left };
	guest_create(&idler, vms[0]);
	guest_start(&idler, "idler");
	accessor = stress_spawn("accessor", access, &users[USERS - 1]);
	reshaper = stress_spawn("reshaper", reshape, NULL);
	move_all();
	atomic_store(&over, true);
	stress_wait(accessor);
	stress_wait(reshaper);
	for (unsigned int v = 0; v < VMS; v++)
		vm_stop(vms[v]);
	for (unsigned int i = 0; i <= VCPUS; i++)
		guest_end(&guests[i]);
	guest_end(&idler);
	for (unsigned int v = 0; v < VMS; v++)
		vm_destroy(vms[v]);
	backing_put(backing);
}

const struct stress_test stress_test = { .name = "invalidate",
					 .run = run,
					 .threads = 1 + VCPUS + 1 + 1 + 2,
					 .seeds = 40,
					 .free_runs = 40 };
