/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page-modification logging: the buffer that the CPU writes addresses of pages to, from its last
 * entry down. How far it has come is in the VMCS, which only the CPU that has the vCPU loaded can
 * ask. So an entry that has been taken is set to a value that is no address: what the CPU has
 * written can then be told, and taken, by anybody.
 *
 * The CPU exits (VM_EXIT_DIRTY_FULL) when the log is full and it is about to set a flag in the
 * tables; Bochs does so at every walk, of a read too, which makes no difference to who handles it.
 */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "vmx/internal.h"

#define EMPTY ~0ull /* beyond any physical-address width */

_Static_assert(VMX_DIRTY_LOG * sizeof(u64) == PAGE_SIZE, "the log is one page");

int vmx_dirty_alloc(struct vmx_vcpu *v)
{
	v->dirty_log = page_alloc(0, 0);
	if (!v->dirty_log)
		return -ENOMEM;
	memset(v->dirty_log, 0xff, PAGE_SIZE);
	return 0;
}

unsigned int vmx_dirty_take(struct vmx_vcpu *v, gpa_t out[VMX_DIRTY_LOG])
{
	unsigned int n = 0;

	if (!v->dirty_log)
		return 0;
	for (; v->dirty_next >= 0; v->dirty_next--) {
		u64 entry = v->dirty_log[v->dirty_next];

		if (entry == EMPTY)
			break;
		v->dirty_log[v->dirty_next] = EMPTY;
		/* Bits 11:0 are said to be 0; Bochs 2.7 leaves the offset of the access there. */
		out[n++] = entry & PAGE_MASK;
	}
	return n;
}

void vmx_dirty_rewind(struct vmx_vcpu *v)
{
	if (!v->dirty_log)
		return;
	v->dirty_next = VMX_DIRTY_LOG - 1;
	vmcs_write(GUEST_PML_INDEX, VMX_DIRTY_LOG - 1);
}
