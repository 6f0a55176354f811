/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/vm/lapic.h. Its state: what is requested, in service, and posted; priorities; EOI. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/x86.h"
#include "hv/vm/lapic_internal.h"

/* Asked for several times on the way of every interrupt. */
noinline int vector_highest(const struct lapic *l, unsigned int array)
{
	const u8 *regs = l->regs + array;

#pragma GCC unroll 8
	for (int i = 7; i >= 0; i--) {
		u32 word = __atomic_load_n((const u32 *)(const void *)(regs + i * 16),
					   __ATOMIC_RELAXED);

		if (word)
			return i * 32 + (31 ^ __builtin_clz(word));
	}
	return -1;
}

/* --- reset ----------------------------------------------------------------------------------- */

int lapic_create(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;

	l->regs = page_alloc(0, PAGE_ZERO);
	if (!l->regs)
		return -ENOMEM;
	atomic_init(&l->base, LAPIC_DEFAULT_BASE | LAPIC_BASE_EN | (vcpu->id ? 0 : LAPIC_BASE_BSP));
	lapic_timer_init(vcpu);
	vmx_apic_init(&vcpu->vmx, vcpu->vm->apic_rung, l->regs);
	lapic_reset_registers(vcpu);
	lapic_set_ids(vcpu);
	return 0;
}

void lapic_destroy(struct vcpu *vcpu)
{
	page_free(vcpu->lapic.regs, 0);
	vcpu->lapic.regs = NULL;
}

void lapic_retire(struct vcpu *vcpu)
{
	lapic_timer_unload(vcpu);
	reg_set(&vcpu->lapic, LAPIC_SVR, LAPIC_SVR_RESET);
	atomic_store(&vcpu->lapic.base, 0);
}

static void clear_registers(struct lapic *l)
{
	u32 id = reg_get(l, LAPIC_ID), ldr = reg_get(l, LAPIC_LDR);

	for (unsigned int offset = 0; offset < 0x400; offset += 4)
		if (offset != LAPIC_ID && offset != LAPIC_LDR)
			reg_set(l, offset, 0);
	reg_set(l, LAPIC_LDR, lapic_is_x2(l) ? ldr : 0);
	reg_set(l, LAPIC_ID, id);
}

/* SVR comes first: from here on nothing that others post is accepted. */
void lapic_reset_registers(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;

	reg_set(l, LAPIC_SVR, LAPIC_SVR_RESET);
	lapic_timer_reset(vcpu);
	clear_registers(l);
	reg_set(l, LAPIC_SVR, LAPIC_SVR_RESET);
	reg_set(l, LAPIC_VERSION, LAPIC_VERSION_VALUE);
	reg_set(l, LAPIC_DFR, ~0u);
	lapic_mask_all(vcpu);
	for (unsigned int i = 0; i < 4; i++)
		atomic_store(&l->posted[i], 0);
	atomic_store(&l->errors, 0);
	lapic_tell_cpu(vcpu);
}

void lapic_signal_init(struct vcpu *vcpu)
{
	lapic_reset_registers(vcpu);
}

/* --- what the CPU keeps of ISR and TMR where it delivers -------------------------------------- */

/* ISR has changed, or who keeps it: this end or the CPU. */
static void note_in_service(struct vcpu *vcpu)
{
	int vector = vector_highest(&vcpu->lapic, LAPIC_ISR);

	if (vmx_apic_delivers(&vcpu->vmx))
		vmx_apic_set_in_service(&vcpu->vmx, vector < 0 ? 0 : (u8)vector);
	else
		atomic_store_explicit(&vcpu->lapic.in_service, vector, memory_order_relaxed);
}

static int get_in_service(struct vcpu *vcpu)
{
	if (vmx_apic_delivers(&vcpu->vmx))
		return vector_highest(&vcpu->lapic, LAPIC_ISR);
	return atomic_load_explicit(&vcpu->lapic.in_service, memory_order_relaxed);
}

static void tell_level(struct vcpu *vcpu)
{
	u64 level[4];

	for (unsigned int i = 0; i < 4; i++)
		level[i] = (u64)reg_get(&vcpu->lapic, LAPIC_TMR + i * 32 + 16) << 32 |
			   reg_get(&vcpu->lapic, LAPIC_TMR + i * 32);
	vmx_apic_set_eoi_exits(&vcpu->vmx, level);
}

/* What is requested it is told when the vCPU looks at its events. */
void lapic_tell_cpu(struct vcpu *vcpu)
{
	note_in_service(vcpu);
	if (vmx_apic_delivers(&vcpu->vmx))
		tell_level(vcpu);
	atomic_fetch_or_explicit(&vcpu->requests, REQ_EVENT, memory_order_seq_cst);
}

/* --- posting --------------------------------------------------------------------------------- */

void lapic_post(struct vcpu *vcpu, u8 vector)
{
	struct lapic *l = &vcpu->lapic;
	u64 bit = BIT(vector % 64);

	if (!lapic_is_enabled(l))
		return;
	if (unlikely(atomic_load_explicit(&l->level[vector / 64], memory_order_relaxed) & bit))
		atomic_fetch_and(&l->level[vector / 64], ~bit);
	atomic_fetch_or_explicit(&l->posted[vector / 64], bit, memory_order_seq_cst);
	vcpu_event(vcpu);
}

void lapic_post_level(struct vcpu *vcpu, u8 vector)
{
	struct lapic *l = &vcpu->lapic;

	if (!lapic_is_enabled(l))
		return;
	atomic_fetch_or(&l->level[vector / 64], BIT(vector % 64));
	atomic_fetch_or(&l->posted[vector / 64], BIT(vector % 64));
	vcpu_event(vcpu);
}

void lapic_post_nmi(struct vcpu *vcpu)
{
	u32 old = atomic_load(&vcpu->lapic.pending), new;

	do {
		new = old | (old & LAPIC_NMI ? LAPIC_NMI_TWICE : LAPIC_NMI);
	} while (!atomic_compare_exchange_weak(&vcpu->lapic.pending, &old, new));
	vcpu_event(vcpu);
}

void lapic_post_local(struct vcpu *vcpu, u32 lvt)
{
	u8 vector = (u8)lvt;

	if (lvt & LAPIC_LVT_MASKED)
		return;
	if (vector >= 16)
		lapic_post(vcpu, vector);
	else
		lapic_error(vcpu, ESR_RECEIVE_ILLEGAL);
}

/* An entry for errors that is illegal itself causes no further interrupts, but is noted. */
void lapic_error(struct vcpu *vcpu, u32 errors)
{
	u32 lvt = reg_get(&vcpu->lapic, LAPIC_LVT_ERROR);

	if (!(lvt & LAPIC_LVT_MASKED) && (u8)lvt < 16)
		errors |= ESR_RECEIVE_ILLEGAL;
	atomic_fetch_or(&vcpu->lapic.errors, errors);
	if ((u8)lvt >= 16)
		lapic_post_local(vcpu, lvt);
}

/* --- from posted to requested ----------------------------------------------------------------- */

/* One half of a word of posted: returns whether a vector has changed between edge and level. */
static __always_inline bool request_half(struct lapic *l, unsigned int reg, u32 posted, u32 level)
{
	u32 was = reg_get(l, LAPIC_TMR + reg), is = (was & ~posted) | (posted & level);

	reg_set(l, LAPIC_IRR + reg, reg_get(l, LAPIC_IRR + reg) | posted);
	if (likely(was == is))
		return false;
	reg_set(l, LAPIC_TMR + reg, is);
	return true;
}

/* Whether they are level-triggered was stored before they were posted. */
static noinline bool request_word(struct lapic *l, unsigned int i)
{
	u64 posted = atomic_exchange_explicit(&l->posted[i], 0, memory_order_seq_cst);
	u64 level = atomic_load_explicit(&l->level[i], memory_order_relaxed);
	bool changed = false;

	/* Posted by one who saw the APIC enabled, and too late. */
	if (unlikely(!(atomic_load_explicit(&l->base, memory_order_relaxed) & LAPIC_BASE_EN)))
		return false;
	if ((u32)posted)
		changed = request_half(l, i * 32, (u32)posted, (u32)level);
	if (posted >> 32)
		changed |= request_half(l, i * 32 + 16, (u32)(posted >> 32), (u32)(level >> 32));
	return changed;
}

int lapic_sync(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;
	bool level_changed = false;

#pragma GCC unroll 4
	for (unsigned int i = 0; i < 4; i++)
		if (atomic_load_explicit(&l->posted[i], memory_order_relaxed))
			level_changed |= request_word(l, i);
	if (unlikely(level_changed) && vmx_apic_delivers(&vcpu->vmx))
		tell_level(vcpu);
	return vector_highest(l, LAPIC_IRR);
}

bool lapic_has_any(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;
	u64 any = 0;

	for (unsigned int i = 0; i < 4; i++)
		any |= atomic_load_explicit(&l->posted[i], memory_order_relaxed) |
		       reg_get(l, LAPIC_IRR + i * 32) | reg_get(l, LAPIC_IRR + i * 32 + 16);
	return any;
}

/* --- priorities ------------------------------------------------------------------------------ */

/* The higher of the task's priority and that of what is in service. */
u8 lapic_ppr(struct vcpu *vcpu)
{
	u8 tpr = (u8)reg_get(&vcpu->lapic, LAPIC_TPR);
	int isr = get_in_service(vcpu);

	return isr >= 0 && isr >> 4 > tpr >> 4 ? (u8)(isr & 0xf0) : tpr;
}

u8 lapic_priority(struct vcpu *vcpu)
{
	return lapic_ppr(vcpu) & 0xf0;
}

int lapic_allowed(struct vcpu *vcpu, int requested)
{
	return requested >= 0 && requested >> 4 > lapic_ppr(vcpu) >> 4 ? requested : -1;
}

int lapic_highest(struct vcpu *vcpu)
{
	return lapic_allowed(vcpu, vector_highest(&vcpu->lapic, LAPIC_IRR));
}

static int highest_posted(struct lapic *l)
{
	for (int i = 3; i >= 0; i--) {
		u64 word = atomic_load_explicit(&l->posted[i], memory_order_acquire);

		if (word)
			return i * 64 + 63 - __builtin_clzll(word);
	}
	return -1;
}

bool lapic_posted_above(struct vcpu *vcpu, u8 priority)
{
	return (highest_posted(&vcpu->lapic) & ~0xf) > priority;
}

bool lapic_above(struct vcpu *vcpu, u8 priority)
{
	return (vector_highest(&vcpu->lapic, LAPIC_IRR) & ~0xf) > priority ||
	       lapic_posted_above(vcpu, priority);
}

void lapic_accept(struct vcpu *vcpu, u8 vector)
{
	vector_clear(&vcpu->lapic, LAPIC_IRR, vector);
	vector_set(&vcpu->lapic, LAPIC_ISR, vector);
	atomic_store_explicit(&vcpu->lapic.in_service, vector, memory_order_relaxed);
}

/*
 * The priority has fallen. Where the CPU delivers it looks by itself at the next entry; elsewhere
 * the vCPU has to, if there is something that the priority has held back: also when the task's
 * priority still does, because the TPR threshold is set by such a look. What is posted only has a
 * request of its own.
 */
static void look_again(struct vcpu *vcpu)
{
	if (vector_highest(&vcpu->lapic, LAPIC_IRR) >= 0)
		atomic_fetch_or_explicit(&vcpu->requests, REQ_EVENT, memory_order_seq_cst);
}

u8 lapic_get_tpr(struct vcpu *vcpu)
{
	return (u8)reg_get(&vcpu->lapic, LAPIC_TPR);
}

/* The look sets the threshold anew, too: one that is above the priority the CPU may refuse. */
void lapic_set_tpr(struct vcpu *vcpu, u8 tpr)
{
	reg_set(&vcpu->lapic, LAPIC_TPR, tpr);
	if (!vmx_apic_delivers(&vcpu->vmx))
		look_again(vcpu);
}

/* --- EOI ------------------------------------------------------------------------------------- */

int lapic_eoi_virtualized(struct vcpu *vcpu, u8 vector)
{
	vcpu->run.reason = RUN_EXIT_EOI;
	vcpu->run.eoi.vector = vector;
	return 1;
}

int lapic_end_of_interrupt(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;
	int vector = get_in_service(vcpu);

	if (vector < 0)
		return 0;
	vector_clear(l, LAPIC_ISR, (u8)vector);
	note_in_service(vcpu);
	if (!vmx_apic_delivers(&vcpu->vmx))
		look_again(vcpu);
	return unlikely(vector_test(l, LAPIC_TMR, (u8)vector))
		       ? lapic_eoi_virtualized(vcpu, (u8)vector)
		       : 0;
}
