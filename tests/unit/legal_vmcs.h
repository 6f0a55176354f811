/* SPDX-License-Identifier: GPL-2.0-only */
/* A VMCS in an array, filled in so that every entry rule is obeyed, with memory behind it. */
#ifndef TESTS_UNIT_LEGAL_VMCS_H
#define TESTS_UNIT_LEGAL_VMCS_H

#include "vmx/check.h"
#include "vmx/vmcs_fields.h"

/* Where the fields that hold addresses point, and the memory there. */
#define MEM_BASE 0x10000000ull
#define MEM_SIZE 0x10000ull

struct fake_vmcs {
	const struct vmx_caps *caps;
	u64 field[NR_VMCS_FIELDS]; /* in the order of vmcs_field_list[] */
	u8 mem[MEM_SIZE];
};

enum guest_kind { GUEST_64, GUEST_FLAT_32, GUEST_REAL, GUEST_V8086, GUEST_PAE, NR_GUEST_KINDS };

/* A host and a guest of that kind; unrestricted guest is on where @caps allow it. */
void legal_vmcs(struct fake_vmcs *v, const struct vmx_caps *caps, enum guest_kind kind);

u64 *fake_field(struct fake_vmcs *v, u32 field); /* fails the test when it is not in the list */

/* Fails the test for a field that this CPU does not have. */
struct vmcs_reader fake_reader(struct fake_vmcs *v, bool with_mem);

#endif
