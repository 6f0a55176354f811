/* SPDX-License-Identifier: GPL-2.0-only */
/* Tiny guests: a few instructions of 32-bit code in a VM of 2 MiB, for measuring one thing. */
#ifndef LAB_TINY_H
#define LAB_TINY_H

#include "hv/vm/vcpu.h"
#include "lab/tiny_box.h"

#define TINY_RAM MIB(2)

struct tiny {
	struct vm *vm;
	struct vcpu *vcpu;
};

struct tiny_code {
	const u8 *start, *end;
};

/* lab/tiny_code.S. These run with interrupts disabled, on any vCPU. */
extern const u8 tiny_cpuid_start[], tiny_cpuid_end[];
extern const u8 tiny_in_start[], tiny_in_end[];
extern const u8 tiny_spin_start[], tiny_spin_end[];
extern const u8 tiny_exits_start[], tiny_exits_end[];

/* EBX batches of 16 CPUIDs each; the ticks per CPUID go to TINY_SAMPLES; then HLT. */
#define TINY_CPUID ((struct tiny_code){ tiny_cpuid_start, tiny_cpuid_end })
/* The same with one IN from a port instead of CPUID. */
#define TINY_IN	   ((struct tiny_code){ tiny_in_start, tiny_in_end })
/* Advances TINY_COUNTER for ever, without an exit. */
#define TINY_SPIN  ((struct tiny_code){ tiny_spin_start, tiny_spin_end })
/* The same, with a CPUID each time. */
#define TINY_EXITS ((struct tiny_code){ tiny_exits_start, tiny_exits_end })

/* --- guests with a box per vCPU: for tiny_create_many() --------------------------------------- */

extern const u8 tiny_beat_start[], tiny_beat_end[];
extern const u8 tiny_touch_start[], tiny_touch_end[];
extern const u8 tiny_halt_start[], tiny_halt_end[];
extern const u8 tiny_keep_start[], tiny_keep_end[];
extern const u8 tiny_open_start[], tiny_open_end[];
extern const u8 tiny_events_start[], tiny_events_end[];

/* What a vCPU and its VMM tell each other, at tiny_box_gpa(). */
struct tiny_box {
	u32 counter;		 /* advances all the time */
	u32 halt;		 /* TINY_EVENTS: HLT instead of spinning */
	u32 base, stride, count; /* TINY_TOUCH: count places, a stride apart */
	u32 errors;		 /* TINY_KEEP: registers that had another value than they should */
	u32 unused[10];
	u32 received[TINY_NR_VECTORS]; /* how often each interrupt's handler ran */
	u32 nmis;
};

_Static_assert(offsetof(struct tiny_box, counter) == TINY_BOX_COUNTER, "as in tiny_box.h");
_Static_assert(offsetof(struct tiny_box, halt) == TINY_BOX_HALT, "as in tiny_box.h");
_Static_assert(offsetof(struct tiny_box, base) == TINY_BOX_BASE, "as in tiny_box.h");
_Static_assert(offsetof(struct tiny_box, stride) == TINY_BOX_STRIDE, "as in tiny_box.h");
_Static_assert(offsetof(struct tiny_box, count) == TINY_BOX_COUNT, "as in tiny_box.h");
_Static_assert(offsetof(struct tiny_box, errors) == TINY_BOX_ERRORS, "as in tiny_box.h");
_Static_assert(offsetof(struct tiny_box, received) == TINY_BOX_RECEIVED, "as in tiny_box.h");

/* Interrupts disabled, no exits: advances the counter. */
#define TINY_BEAT   ((struct tiny_code){ tiny_beat_start, tiny_beat_end })
/* Interrupts disabled, no exits: advances the word in each of its places, then the counter. */
#define TINY_TOUCH  ((struct tiny_code){ tiny_touch_start, tiny_touch_end })
/* Interrupts disabled: HLT, and the counter tells how often. Nothing but an NMI ends it. */
#define TINY_HALT   ((struct tiny_code){ tiny_halt_start, tiny_halt_end })
/* Interrupts disabled, no exits: checks that no general register changes by itself. */
#define TINY_KEEP   ((struct tiny_code){ tiny_keep_start, tiny_keep_end })
/* As TINY_BEAT with interrupts enabled. */
#define TINY_OPEN   ((struct tiny_code){ tiny_open_start, tiny_open_end })
/*
 * Counts its interrupts, and its NMIs, and ends each with an EOI. Meanwhile it spins with
 * interrupts enabled for a moment, disabled for another, or halts with them enabled.
 */
#define TINY_EVENTS ((struct tiny_code){ tiny_events_start, tiny_events_end })

/**
 * tiny_create - a VM with one vCPU about to run @code
 * @ebx: its EBX
 *
 * Returns 0, -ENOMEM, or another error of vm_create() and vcpu_create().
 */
int tiny_create(struct tiny *t, struct tiny_code code, u32 ebx);

/**
 * tiny_create_many - a VM with @nr vCPUs, t->vm->vcpu[0..nr-1], all about to run @code, their local
 * APICs enabled, in x2APIC mode
 * @code: one of those that have a box; it is zero, but for TINY_TOUCH's places: one word each,
 * 64 bytes apart, from TINY_FREE on
 * @nr: 0..VM_MAX_VCPUS; t->vcpu is the first
 *
 * Returns 0, -ENOMEM, or another error of vm_create() and vcpu_create().
 */
int tiny_create_many(struct tiny *t, struct tiny_code code, u32 nr);

/** tiny_add - one more vCPU of that kind. Others may run. Returns an error of vcpu_create(). */
int tiny_add(struct tiny *t);

/** tiny_box_gpa - where vCPU @i's box is. */
static inline gpa_t tiny_box_gpa(u32 i)
{
	return TINY_BOXES + i * PAGE_SIZE;
}

/**
 * tiny_get_box, tiny_set_word - read a vCPU's box; write one word of it (by its TINY_BOX_ offset)
 *
 * Through the readers' gate, see vm_read(). They panic when the box is not in RAM.
 */
void tiny_get_box(struct tiny *t, u32 i, struct tiny_box *box);
void tiny_set_word(struct tiny *t, u32 i, u32 offset, u32 value);

/**
 * tiny_map_ram - where its VMM can read and write its RAM while the guest runs
 *
 * One block of TINY_RAM bytes that nobody moves. Returns 0 or a negative errno. Who runs the VM has
 * this: lab/tiny_ram.c.
 */
int tiny_map_ram(struct tiny *t, u8 **ram);

/** tiny_destroy - the vCPU has been unloaded. Harmless on a zeroed @t. */
void tiny_destroy(struct tiny *t);

#endif
