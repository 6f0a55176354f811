/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See hv/vm/readers.h.
 *
 * The race at the gate. A reader counts itself in, then looks at the hold; a pause raises the hold,
 * then looks at the counts; each with a full fence in between. Either the pause sees the reader
 * counted and waits for it, or the reader sees the hold, counts itself out and waits outside.
 *
 * The race of the grace period. A section that reads the phase, is delayed, and counts itself in
 * after the phase was changed is missed by the wait for its phase. That does no harm to this grace
 * period: it counted itself in after the waiter had looked, so it sees the slots that were
 * published before. But it would be missed by the next grace period too, which waits for the other
 * phase: so each waits for what is left of the other phase first, and then changes over.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/timer.h"
#include "hv/vm/internal.h"

bool slots_read_try(struct vm *vm, unsigned int *phase)
{
	return section_try(vm, phase);
}

unsigned int slots_read_begin(struct vm *vm)
{
	unsigned int phase;

	while (!slots_read_try(vm, &phase))
		gate_wait(vm);
	return phase;
}

void slots_read_end(struct vm *vm, unsigned int phase)
{
	section_end(vm, phase);
}

static u32 is_open(struct vm_readers *r, u32 cpu, unsigned int phase)
{
	return atomic_load_explicit(&r->cpu[cpu].open[phase], memory_order_seq_cst);
}

bool readers_drained(struct vm *vm, u32 *cpu)
{
	struct vm_readers *r = &vm->readers;

	for (u32 i = 0; i < nr_cpus; i++) {
		if (unlikely(is_open(r, i, 0) | is_open(r, i, 1))) {
			*cpu = i;
			return false;
		}
	}
	return true;
}

static int wait_phase(struct vm_readers *r, unsigned int phase, u64 deadline, u32 *cpu)
{
	for (u32 i = 0; i < nr_cpus; i++) {
		while (is_open(r, i, phase)) {
			if (ticks_now() > deadline) {
				*cpu = i;
				return -ETIMEDOUT;
			}
			cpu_relax();
		}
	}
	return 0;
}

/* Changing over from one phase to the other, so that new sections do not keep us waiting. */
static noinline int wait_phases(struct vm_readers *r, u64 deadline, u32 *cpu)
{
	unsigned int old = atomic_load_explicit(&r->phase, memory_order_relaxed) & 1;
	int err = wait_phase(r, !old, deadline, cpu);

	if (err)
		return err;
	atomic_fetch_xor_explicit(&r->phase, 1, memory_order_seq_cst);
	race_point();
	return wait_phase(r, old, deadline, cpu);
}

/*
 * What the caller has published, by a sequentially consistent store, comes before the looks at the
 * counts. Mostly nobody is in a section: then it is over at once.
 */
int readers_wait(struct vm *vm, u64 deadline, u32 *cpu)
{
	u32 busy;
	int err;

	if (likely(readers_drained(vm, &busy)))
		return 0;
	err = wait_phases(&vm->readers, deadline, &busy);
	if (cpu)
		*cpu = busy;
	return err;
}
