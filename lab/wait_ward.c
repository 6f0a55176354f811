/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM of experiment `wait`, and calls that sleep: see lab/wait.h. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/paging.h"
#include "hv/host/string.h"
#include "hv/vm/backing.h"
#include "lab/wait.h"

extern const u8 wait_guest_start[], wait_guest_handler[], wait_guest_end[];
extern const u8 wait_startup_start[], wait_startup_end[];

#define RAM MIB(2)

/* Memory is one block that nobody moves, so the VMM may keep a pointer, as one with mmap(). */
static int map_memory(struct vm *vm, u8 **out)
{
	unsigned int phase = slots_read_begin(vm);
	struct vm_slot *slot = slot_find(vm, 0);
	struct backing_page page;
	int err = slot ? backing_find(slot->backing, slot->offset, &page) : -ENOENT;

	slots_read_end(vm, phase);
	if (!err)
		*out = phys_to_virt(page.hpa);
	return err;
}

static int add_vcpu(struct ward *w, u8 *ram, u32 what)
{
	u32 n = w->nr, box = WAIT_BOXES + n * WAIT_BOX_SIZE;
	int err = vcpu_create(&w->vcpu[n], w->vm);

	if (err)
		return err;
	vcpu_set_flat32(w->vcpu[n], WAIT_CODE, box, what);
	vcpu_set_mp_state(w->vcpu[n], MP_RUNNABLE);
	err = lapic_start(w->vcpu[n], LAPIC_X2APIC);
	if (err)
		return err;
	w->box[n] = (struct wait_box *)(void *)(ram + box);
	w->nr++;
	return 0;
}

static int fill(struct ward *w, u32 nr, u32 what)
{
	u8 *ram;
	int err = vm_add_ram(w->vm, 0, RAM);

	if (!err)
		err = map_memory(w->vm, &ram);
	if (err)
		return err;
	memcpy(ram + WAIT_CODE, wait_guest_start, (size_t)(wait_guest_end - wait_guest_start));
	memcpy(ram + WAIT_STARTUP, wait_startup_start,
	       (size_t)(wait_startup_end - wait_startup_start));
	while (!err && w->nr < nr)
		err = add_vcpu(w, ram, what);
	return err;
}

bool ward_create(struct ward *w, enum wait_way way, u32 nr, u32 what)
{
	int err;

	*w = (struct ward){ .vm = NULL };
	err = vm_create(&w->vm);
	if (!err) {
		vm_set_wait(w->vm, way == WAY_POSTED ? WAIT_POSTED : WAIT_SEQUENCE);
		vm_expect_events(w->vm);
		err = fill(w, nr, what);
	}
	if (err) {
		ktap_result(false, "a VM with %u vCPUs can be created (%s)", nr, errno_name(err));
		ward_destroy(w);
	}
	return !err;
}

void ward_destroy(struct ward *w)
{
	if (w->vm)
		vm_destroy(w->vm);
	*w = (struct ward){ .vm = NULL };
}

bool ward_run_until_out(struct ward *w, u32 n)
{
	int err = vcpu_run(w->vcpu[n]);

	vcpu_unload(w->vcpu[n]);
	return !err && w->vcpu[n]->run.reason == RUN_EXIT_IO;
}

bool ward_warm_up(struct ward *w, u32 n)
{
	return ward_run_until_out(w, n) && atomic_load(&w->box[n]->beats) == 1;
}

bool ward_write_msr(struct ward *w, u32 n, u32 msr, u64 value)
{
	struct wait_box *box = w->box[n];

	atomic_store(&box->low, (u32)value);
	atomic_store(&box->high, (u32)(value >> 32));
	atomic_store(&box->msr, msr);
	return ward_run_until_out(w, n);
}

u64 ward_handler(void)
{
	return WAIT_CODE + (u64)(wait_guest_handler - wait_guest_start);
}

/* Posted, or in the register page: what is above the lowest priority class is all there can be. */
bool ward_pending(struct vcpu *vcpu)
{
	return atomic_load(&vcpu->lapic.pending) || lapic_above(vcpu, 0);
}

/* --- calls ----------------------------------------------------------------------------------- */

int call_wait(struct call *c)
{
	return vcpu_wait(c->set, c->n, ~0ull);
}

int call_run(struct call *c)
{
	int ret = vcpu_run(c->vcpu);

	vcpu_unload(c->vcpu);
	return ret;
}

static void make_call(void *arg)
{
	struct call *c = arg;

	c->ret = c->fn(c);
	c->at = ticks_now();
	atomic_store(&c->returned, true);
}

bool call_start(struct call *c)
{
	atomic_store(&c->returned, false);
	return !thread_create(&c->thread, nr_cpus > 1, "call", make_call, c);
}

static bool sleeps(struct call *c)
{
	return (c->n && wait_queue_active(&c->set[0].vcpu->pollers)) ||
	       (c->vcpu && wait_queue_active(&c->vcpu->wq));
}

bool call_asleep(struct call *c)
{
	bool slept = WAIT_FOR(sleeps(c) || atomic_load(&c->returned), SOON);

	/* From the queue it is not far to the sleep; a yield, when it is on this CPU. */
	thread_yield();
	spin_ticks(500);
	return slept && !atomic_load(&c->returned);
}

bool call_returned(struct call *c, u64 ticks)
{
	return WAIT_FOR(atomic_load(&c->returned), ticks);
}

void call_join(struct call *c)
{
	thread_join(c->thread);
}
