/* SPDX-License-Identifier: GPL-2.0-only */
/* vmx/save.h for hw.c: what there is of a vCPU whose guest is a C function. */
#include "hv/host/string.h"
#include "tests/stress/hw_internal.h"
#include "tests/stress/stress.h"
#include "vmx/save.h"

#define EVENT_VALID BIT(31)

static struct hw_vcpu *loaded(struct vmx_vcpu *v)
{
	stress_check(vmx_is_loaded(v), "vCPU %u is moved while it is not loaded", v->vpid);
	return hw_of(container_of(v, struct vcpu, vmx));
}

int vmx_save(struct vmx_vcpu *v, struct vmx_state *s)
{
	struct hw_vcpu *h = loaded(v);

	memset(s, 0, offsetof(struct vmx_state, xstate));
	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	s->rip = h->reg[REG_RIP];
	s->rflags = h->reg[REG_RFLAGS];
	s->cr0 = h->reg[REG_CR0];
	s->cr3 = h->reg[REG_CR3];
	s->cr4 = h->reg[REG_CR4];
	s->blocking = h->nmi_blocked ? BLOCKING_NMI : 0;
	if (h->has_queued)
		s->event = (u32)EVENT_VALID | (u32)h->queued.type << 8 | h->queued.vector;
	s->xcr0 = 1;
	return 0;
}

bool vmx_may_restore(const struct vmx_state *s, u64 cr4_may, char *why, size_t size)
{
	return true;
}

void vmx_restore(struct vmx_vcpu *v, const struct vmx_state *s)
{
	struct hw_vcpu *h = loaded(v);

	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	h->reg[REG_RIP] = s->rip;
	h->reg[REG_RFLAGS] = s->rflags;
	h->reg[REG_CR0] = s->cr0;
	h->reg[REG_CR3] = s->cr3;
	h->reg[REG_CR4] = s->cr4;
	h->nmi_blocked = s->blocking & BLOCKING_NMI;
	h->has_queued = s->event & EVENT_VALID;
	h->queued = (struct vm_event){ .vector = (u8)s->event, .type = s->event >> 8 & 7 };
	h->nmi_window = h->intr_window = false;
	v->requested = false;
	vmx_flush_guest(v);
}

unsigned int vmx_instruction_len(struct vmx_vcpu *v)
{
	return 0;
}
