/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Carrying out one instruction that accesses a local APIC by memory: what mmio.c (exits, fetching),
 * mmio_operand.c (where its memory operands are) and mmio_execute.c (what it does) share.
 *
 * Whatever can fail fails before anything has changed; then the instruction is executed again, or
 * faults, or ends the guest.
 */
#ifndef HV_VM_MMIO_H
#define HV_VM_MMIO_H

#include "hv/vm/insn.h"
#include "hv/vm/internal.h"

/* Not a result of an exit's handler: the instruction is not done with yet. */
#define GO_ON 2

struct mmio {
	struct vcpu *vcpu;
	const struct insn *insn;
	unsigned int mode; /* of the code: 16, 32, 64 */
	gpa_t gpa;	   /* which the exit names: the page is the one that the CPU has found */
	u64 memory;	   /* what was read, of an instruction that computes with it */
	bool to_vmm;	   /* the APIC has something to say to the VMM: vcpu->run is filled in */
};

enum place_kind {
	PLACE_APIC, /* the vCPU's own */
	PLACE_HOLE, /* 0xfee00000 without an APIC: all ones */
	PLACE_RAM,  /* memory, beneath another vCPU's APIC or beside ours; or nothing at all */
};

/* A memory operand: of one page, or the end of one and the start of another. */
struct operand {
	unsigned int nr;
	struct place {
		gpa_t gpa;
		u8 kind, len;
	} place[2];
};

/*
 * mmio_find - the operand whose address the instruction gives, or @string's at ES:rDI or seg:rSI.
 * mmio_read, mmio_write - its bytes. What is memory is written first, since that may fail.
 *
 * Return GO_ON, or what the exit's handler returns.
 */
enum which { OPERAND, STRING_SOURCE, STRING_DESTINATION };
int mmio_find(struct mmio *m, enum which which, bool write, struct operand *o);
int mmio_read(struct mmio *m, const struct operand *o, u8 *data);
int mmio_write(struct mmio *m, const struct operand *o, const u8 *data);

/* mmio_update_ram - atomically replace the bytes of an operand in memory by what @change makes of
 * them, which may be called more than once. Returns as above. */
int mmio_update_ram(struct mmio *m, const struct operand *o,
		    u64 (*change)(struct mmio *m, u64 old));

/* Whether it is all memory, in two pages: then a change cannot be undone half-way. */
static inline bool operand_is_split_ram(const struct operand *o)
{
	return o->nr == 2 && o->place[0].kind == PLACE_RAM && o->place[1].kind == PLACE_RAM;
}

/* mmio_execute - all of it, RIP included. Returns what the exit's handler returns. */
int mmio_execute(struct mmio *m);

/* mmio_refuse - it cannot be emulated: ends the guest. 0. */
int mmio_refuse(struct mmio *m);

/* The low 8 * @bytes bits. */
static inline u64 mmio_sized(u64 value, unsigned int bytes)
{
	return bytes == 8 ? value : value & (BIT(8 * bytes) - 1);
}

#endif
