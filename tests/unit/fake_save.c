/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx/save.h for fake_vmx.c. What the fake has no use for stays in its .rest; which states a CPU
 * would refuse is tests/unit/test_vmx_save.c's, here it is one bit of RFLAGS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/fake_vmx.h"
#include "vmx/save.h"

#define EVENT_VALID BIT(31)
#define EVENT_ERROR BIT(11)

static struct fake_vcpu *loaded(struct vmx_vcpu *v)
{
	if (!vmx_is_loaded(v))
		fail_msg("vCPU %u is saved or restored while it is not loaded", v->vpid);
	return fake_of(container_of(v, struct vcpu, vmx));
}

/* Both ways: what has a place of its own in the fake. */
static void copy_registers(struct fake_vcpu *f, struct vmx_state *s, bool save)
{
	const struct {
		u64 *reg, *place;
	} all[] = {
		{ &f->reg[REG_RIP], &s->rip },
		{ &f->reg[REG_RSP], &s->gpr[GPR_RSP] },
		{ &f->reg[REG_RFLAGS], &s->rflags },
		{ &f->reg[REG_CR0], &s->cr0 },
		{ &f->reg[REG_CR2], &s->cr2 },
		{ &f->reg[REG_CR3], &s->cr3 },
		{ &f->reg[REG_CR4], &s->cr4 },
		{ &f->reg[REG_DR7], &s->dr7 },
		{ &f->reg[REG_EFER], &s->efer },
		{ &f->reg[REG_PAT], &s->pat },
		{ &f->reg[REG_DEBUGCTL], &s->debugctl },
		{ &f->dr6, &s->dr6 },
		{ &f->reg[REG_GDT_BASE], &s->base[TABLE_GDT] },
		{ &f->reg[REG_IDT_BASE], &s->base[TABLE_IDT] },
		{ &f->pdpte[0], &s->pdpte[0] },
		{ &f->pdpte[1], &s->pdpte[1] },
		{ &f->pdpte[2], &s->pdpte[2] },
		{ &f->pdpte[3], &s->pdpte[3] },
		{ &f->xcr0, &s->xcr0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (save)
			*all[i].place = *all[i].reg;
		else
			*all[i].reg = *all[i].place;
	}
}

int vmx_save(struct vmx_vcpu *v, struct vmx_state *s)
{
	struct fake_vcpu *f = loaded(v);

	memcpy(s, &f->rest, offsetof(struct vmx_state, xstate) + f->rest.xstate_bytes);
	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	copy_registers(f, s, true);
	s->limit[TABLE_GDT] = (u32)f->reg[REG_GDT_LIMIT];
	s->limit[TABLE_IDT] = (u32)f->reg[REG_IDT_LIMIT];
	for (unsigned int i = 0; i < NR_VSEGS; i++) {
		s->base[i] = f->seg[i].base;
		s->limit[i] = f->seg[i].limit;
		s->access[i] = f->seg[i].access;
		s->selector[i] = f->seg[i].selector;
	}
	if (!f->shadow)
		s->blocking = 0;
	else if (!s->blocking)
		s->blocking = BLOCKING_STI;
	s->blocking |= f->nmi_blocked ? BLOCKING_NMI : 0;
	s->event = s->event_error = s->event_len = 0;
	if (f->queued) {
		s->event = (u32)EVENT_VALID | (u32)f->event.type << 8 | f->event.vector |
			   (f->event.has_error ? (u32)EVENT_ERROR : 0);
		s->event_error = f->event.has_error ? f->event.error : 0;
		s->event_len = f->event.insn_len;
	}
	return 0;
}

bool vmx_may_restore(const struct vmx_state *s, u64 cr4_may, char *why, size_t size)
{
	const char *bad = NULL;

	if (!(s->rflags & RFLAGS_FIXED))
		bad = "told so";
	if (s->cr4 & ~cr4_may)
		bad = "CR4";
	if (s->xstate_bytes > VMX_XSTATE_MAX)
		bad = "too much";
	if (bad)
		fmt_print(why, size, "%s", bad);
	return !bad;
}

void vmx_restore(struct vmx_vcpu *v, const struct vmx_state *s)
{
	struct fake_vcpu *f = loaded(v);

	memcpy(&f->rest, s, offsetof(struct vmx_state, xstate) + s->xstate_bytes);
	f->rest.blocking &= BLOCKING_STI | BLOCKING_MOV_SS;
	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	v->gpr[GPR_RSP] = 0;
	copy_registers(f, &f->rest, false);
	f->reg[REG_GDT_LIMIT] = s->limit[TABLE_GDT];
	f->reg[REG_IDT_LIMIT] = s->limit[TABLE_IDT];
	for (unsigned int i = 0; i < NR_VSEGS; i++)
		f->seg[i] = (struct vm_segment){ .selector = s->selector[i],
						 .limit = s->limit[i],
						 .access = s->access[i],
						 .base = s->base[i] };
	f->shadow = f->rest.blocking;
	f->nmi_blocked = s->blocking & BLOCKING_NMI;
	f->queued = s->event & EVENT_VALID;
	f->event = (struct vm_event){ .vector = (u8)s->event,
				      .type = s->event >> 8 & 7,
				      .has_error = s->event & EVENT_ERROR,
				      .insn_len = (u8)s->event_len,
				      .error = s->event_error };
	f->nmi_window = f->intr_window = false;
	fake_machine.xcr0 = s->xcr0;
	v->requested = false;
	vmx_flush_guest(v);
}

unsigned int vmx_instruction_len(struct vmx_vcpu *v)
{
	return loaded(v)->insn_len;
}
