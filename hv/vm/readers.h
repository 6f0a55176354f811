/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gate in front of a VM's slots.
 *
 * Whoever looks at the slots, or touches guest memory or vCPU state through them, does so in a read
 * section: a vCPU's thread that handles a fault or emulates an access, a thread that reads the
 * dirty log, one that writes as a device would (DMA) or as an event channel would. A section is
 * short and never sleeps.
 *
 * Two things are done to the sections from outside:
 *   - a slot change that has published new slots waits until every section that may still see the
 *     old ones has ended (readers_wait(): a grace period, as SRCU's);
 *   - a pause closes the gate: it waits until every section has ended, and a section that begins
 *     while the VM is held waits, outside, until the VM is resumed. A thread that holds the pause
 *     passes.
 *
 * Sections are counted per CPU and in two phases: beginning one is one addition to a line of its
 * own, and a waiter need not stop new sections from beginning. A section ends on the CPU where it
 * began, so a CPU's count says whether one is open there. Paul McKenney's SRCU is the source of the
 * idea.
 */
#ifndef HV_VM_READERS_H
#define HV_VM_READERS_H

#include "hv/host/layout.h"
#include "hv/host/types.h"

struct vm;

struct vm_readers {
	_Atomic u32 phase; /* bit 0: which count a new section uses */
	struct {
		_Alignas(64) _Atomic u32 open[2];
	} cpu[MAX_CPUS];
};

/**
 * slots_read_begin - begin a read section
 *
 * Waits while the VM is held by somebody else. Sections do not nest (a pause between the two would
 * wait for ever). Thread context. Returns what slots_read_end() takes.
 */
unsigned int slots_read_begin(struct vm *vm);

/**
 * slots_read_try - the same, without waiting
 * @phase: out: what slots_read_end() takes
 *
 * Returns false, with no section begun, while the VM is held by another thread.
 */
bool slots_read_try(struct vm *vm, unsigned int *phase);

/** slots_read_end - end it. @phase: from its begin. On the same CPU. */
void slots_read_end(struct vm *vm, unsigned int phase);

/**
 * readers_wait - wait until every section has ended that began before the call
 * @deadline: absolute TSC
 *
 * Busy-waits (sections never sleep). The caller holds vm->change_mutex and is in no section.
 * Returns 0 or -ETIMEDOUT with @cpu, when not NULL, set to a CPU that has one open.
 */
int readers_wait(struct vm *vm, u64 deadline, u32 *cpu);

/** readers_drained - whether no section is open at all. For a pause, after it has raised the hold.
 * @cpu: as in readers_wait(). */
bool readers_drained(struct vm *vm, u32 *cpu);

#endif
