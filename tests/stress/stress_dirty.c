/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log beside guests that write: as a migration uses it. A thread reads the log and copies
 * the pages that it names; when the guests have stopped and the log has been read once more, the
 * copy is what the memory is, or a write was in no log.
 *
 * With PML and by write protection, with the hypervisor's own writes among the guests', and with a
 * slot that is split and merged, or moved, meanwhile.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "tests/stress/guests.h"

#define VCPUS 2
#define PAGES 6
#define SIZE  (PAGES * PAGE_SIZE)
#define BASE  MIB(2)
#define OTHER MIB(4) /* where it is at other times */
#define READS 40
#define WORDS (VCPUS + 1) /* in each page, one for each who writes */

static struct vm *vm;
static struct guest guests[VCPUS];
static struct backing *backing;
static _Atomic bool over;
static _Atomic gpa_t base; /* where it is, or was just now */
static u64 copy[PAGES][WORDS];

/* Values rise, so that an old copy differs. */
static int write_somewhere(struct guest *g)
{
	unsigned int id = g->vcpu->id;

	return hw_write(hw_of(g->vcpu),
			atomic_load(&base) + stress_random(PAGES) * PAGE_SIZE + 8 * id,
			atomic_load_explicit(&g->steps, memory_order_relaxed));
}

static bool left(struct guest *g, int err)
{
	if (!err && g->vcpu->run.reason == RUN_EXIT_MMIO)
		return true; /* it has been moved */
	stress_check(err == -EINTR, "a vCPU leaves with %d, reason %u", err, g->vcpu->run.reason);
	return vm_wait_resumed(vm) != -ESHUTDOWN;
}

static void write_too(void *arg)
{
	for (u64 n = 1; !atomic_load(&over); n++) {
		gpa_t gpa = atomic_load(&base) + stress_random(PAGES) * PAGE_SIZE + 8 * VCPUS;
		int err = vm_write(vm, gpa, &n, sizeof(n));

		stress_check(!err || err == -EFAULT, "vm_write(): %d", err);
		spin_ticks(stress_random(300));
	}
}

static u64 *frame(unsigned int i, hpa_t *hpa)
{
	struct backing_page p;

	stress_check(!backing_find(backing, i * PAGE_SIZE, &p), "no page");
	*hpa = p.hpa;
	return copy[i];
}

static void copy_slot(u32 id, unsigned int first)
{
	u64 bits[1];
	int err = vm_dirty_read(vm, id, bits, NULL);
	hpa_t hpa;

	stress_check(!err, "vm_dirty_read(): %d", err);
	for (unsigned int i = 0; first + i < PAGES; i++) {
		u64 *to = frame(first + i, &hpa);

		for (unsigned int w = 0; bits[0] & BIT(i) && w < WORDS; w++)
			to[w] = quiet_load(hpa + 8 * w);
	}
}

static void change(enum slot_op op)
{
	const gpa_t to = atomic_load(&base) == BASE ? OTHER : BASE;
	const struct slot_change c = { .op = op, .other = 1, .size = SIZE / 2, .base = to };
	enum slot_way way = stress_random(2) ? SLOTS_ATOMIC : SLOTS_PAUSED;

	stress_check(!vm_change_slots(vm, &c, 1, way, NULL), "vm_change_slots()");
	if (op == SLOT_MOVE)
		atomic_store(&base, to);
}

static void copy_all(void)
{
	for (unsigned int i = 0; i < READS; i++) {
		bool parted = !stress_random(3);

		if (!stress_random(3))
			change(SLOT_MOVE);
		if (parted) {
			change(SLOT_SPLIT);
			copy_slot(1, PAGES / 2);
		}
		copy_slot(0, 0);
		if (parted)
			change(SLOT_MERGE);
		spin_ticks(stress_random(1000));
	}
}

static void compare(void)
{
	hpa_t hpa;

	copy_slot(0, 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		u64 *got = frame(i, &hpa);

		for (unsigned int w = 0; w < WORDS; w++)
			stress_check(got[w] == quiet_load(hpa + 8 * w),
				     "a write of %s to page %u was in no log",
				     w == VCPUS ? "the hypervisor" : "a vCPU", i);
	}
}

static void make(void)
{
	const struct slot_change ram = { .op = SLOT_CREATE,
					 .base = BASE,
					 .size = SIZE,
					 .flags = SLOT_LOG_DIRTY,
					 .backing = backing };

	hw_set_pml(stress_run.seed / 2 % 2);
	stress_check(!vm_create(&vm), "a VM cannot be created");
	stress_check(!vm_change_slots(vm, &ram, 1, SLOTS_ATOMIC, NULL), "no slot");
}

static void run(void)
{
	struct thread *writer;

	atomic_store(&over, false);
	atomic_store(&base, BASE);
	for (unsigned int i = 0; i < PAGES; i++)
		for (unsigned int w = 0; w < WORDS; w++)
			copy[i][w] = 0;
	stress_check(!backing_create(&backing, SIZE, 0) && !backing_populate(backing), "no memory");
	make();
	for (unsigned int i = 0; i < VCPUS; i++) {
		guests[i] = (struct guest){ .work = write_somewhere, .left = left };
		guest_create(&guests[i], vm);
		guest_start(&guests[i], "vCPU");
	}
	writer = stress_spawn("writer", write_too, NULL);
	copy_all();
	atomic_store(&over, true);
	stress_wait(writer);
	vm_stop(vm);
	for (unsigned int i = 0; i < VCPUS; i++)
		guest_end(&guests[i]);
	compare();
	vm_destroy(vm);
	backing_put(backing);
}

const struct stress_test stress_test = {
	.name = "dirty", .run = run, .threads = 1 + VCPUS + 1, .seeds = 40, .free_runs = 40
};
