/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts between processors: whom the interrupt command register addresses, and what arrives.
 * Where sender and receiver are in different modes it is as in KVM: the receiver's mode decides
 * what a destination means to it, the broadcast among them.
 */
#include "hv/host/errno.h"
#include "hv/vm/lapic_internal.h"

#define BROADCAST_XAPIC	 0xffu
#define BROADCAST_X2APIC 0xffffffffu
#define DFR_FLAT	 0xfu /* in bits 31:28 */
#define DFR_CLUSTER	 0x0u

static enum lapic_delivery delivery_mode(u64 icr)
{
	return icr >> 8 & 7;
}

static bool takes_vector(u64 icr)
{
	return delivery_mode(icr) <= DM_LOWEST;
}

/* One that IA32_APIC_BASE disables hears nothing. */
static bool is_present(struct vcpu *to)
{
	return atomic_load_explicit(&to->lapic.base, memory_order_relaxed) & LAPIC_BASE_EN;
}

/* --- what arrives ---------------------------------------------------------------------------- */

static noinline void post(struct vcpu *to, enum lapic_pending what)
{
	atomic_fetch_or(&to->lapic.pending, what);
	vcpu_event(to);
}

static void post_startup(struct vcpu *to, u8 page)
{
	atomic_store(&to->lapic.sipi_page, page);
	post(to, LAPIC_SIPI);
}

/* What came before it is gone with it: a STARTUP for one that was running is not one for later. */
static void post_init(struct vcpu *to)
{
	atomic_fetch_and(&to->lapic.pending, ~(u32)LAPIC_SIPI);
	post(to, LAPIC_INIT);
}

static void post_illegal(struct vcpu *to)
{
	if (lapic_is_enabled(&to->lapic))
		lapic_error(to, ESR_RECEIVE_ILLEGAL);
}

/*
 * Fixed interrupts are edge-triggered whatever ICR says: its trigger mode means something for INIT
 * only, where level without assert is the "de-assert" of old that nobody reacts to. There is no
 * system management mode here, and what remains of the delivery modes is reserved.
 */
static noinline void deliver(struct vcpu *to, u64 icr)
{
	u8 vector = (u8)icr;

	switch (delivery_mode(icr)) {
	case DM_FIXED:
	case DM_LOWEST:
		if (likely(vector >= 16))
			lapic_post(to, vector);
		else
			post_illegal(to);
		return;
	case DM_NMI: lapic_post_nmi(to); return;
	case DM_INIT:
		if ((icr & (ICR_LEVEL | ICR_ASSERT)) != ICR_LEVEL)
			post_init(to);
		return;
	case DM_STARTUP: post_startup(to, vector); return;
	case DM_SMI: return;
	}
}

/* --- who is addressed ------------------------------------------------------------------------- */

static bool matches_physical(struct vcpu *to, bool x2, u32 dest)
{
	return dest == (x2 ? to->id : reg_get(&to->lapic, LAPIC_ID) >> XAPIC_ID_SHIFT);
}

/* The logical address: in a cluster of 16 (x2APIC), of 4, or one bit of 8. */
static bool matches_logical(struct vcpu *to, bool x2, u32 dest)
{
	u32 ldr = reg_get(&to->lapic, LAPIC_LDR);

	if (x2)
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= XAPIC_ID_SHIFT;
	switch (reg_get(&to->lapic, LAPIC_DFR) >> 28) {
	case DFR_FLAT: return ldr & dest;
	case DFR_CLUSTER: return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
	default: return false;
	}
}

static bool matches(struct vcpu *to, u64 icr)
{
	bool x2 = lapic_is_x2(&to->lapic);
	u32 dest = (u32)(icr >> 32);

	if (dest == (x2 ? BROADCAST_X2APIC : BROADCAST_XAPIC))
		return true;
	return icr & ICR_LOGICAL ? matches_logical(to, x2, dest) : matches_physical(to, x2, dest);
}

static noinline bool is_addressed(struct vcpu *from, struct vcpu *to, u64 icr)
{
	if (!is_present(to))
		return false;
	switch (icr & ICR_SHORTHAND) {
	case 0: return matches(to, icr);
	case ICR_ALL: return true;
	default: return to != from;
	}
}

/* --- sending --------------------------------------------------------------------------------- */

/* The lower class of task priority; among equals the one that was chosen less often. */
static bool is_preferred(struct lapic *l, struct lapic *to)
{
	u32 class = reg_get(l, LAPIC_TPR) >> 4 & 0xf, to_class = reg_get(to, LAPIC_TPR) >> 4 & 0xf;
	u32 chosen = atomic_load_explicit(&l->chosen, memory_order_relaxed);

	if (class != to_class)
		return class < to_class;
	return (s32)(chosen - atomic_load_explicit(&to->chosen, memory_order_relaxed)) < 0;
}

static void send_lowest(struct vcpu *from, u64 icr, u32 nr)
{
	struct vcpu *best = NULL;

	for (u32 i = 0; i < nr; i++) {
		struct vcpu *to = from->vm->vcpu[i];

		if (is_addressed(from, to, icr) && lapic_is_enabled(&to->lapic) &&
		    (!best || is_preferred(&to->lapic, &best->lapic)))
			best = to;
	}
	if (!best)
		return;
	atomic_fetch_add_explicit(&best->lapic.chosen, 1, memory_order_relaxed);
	deliver(best, icr);
}

static noinline void send_many(struct vcpu *from, u64 icr, u32 nr)
{
	if (delivery_mode(icr) == DM_LOWEST) {
		send_lowest(from, icr, nr);
		return;
	}
	for (u32 i = 0; i < nr; i++)
		if (is_addressed(from, from->vm->vcpu[i], icr))
			deliver(from->vm->vcpu[i], icr);
}

/* The only one that @icr addresses, where that is plain; NULL: look at them all. IDs are places in
 * the VM's list until a guest gives an APIC another. */
static struct vcpu *only_one(struct vcpu *from, u64 icr, u32 nr)
{
	u32 dest = (u32)(icr >> 32);

	if (unlikely(icr & (ICR_SHORTHAND | ICR_LOGICAL)))
		return (icr & ICR_SHORTHAND) == ICR_SELF ? from : NULL;
	if (unlikely(dest >= nr ||
		     atomic_load_explicit(&from->vm->apic_ids_changed, memory_order_relaxed)))
		return NULL;
	return from->vm->vcpu[dest];
}

void lapic_send(struct vcpu *from, u64 icr)
{
	u32 nr = atomic_load_explicit(&from->vm->nr_vcpus, memory_order_acquire);
	struct vcpu *to = only_one(from, icr, nr);

	if (unlikely(takes_vector(icr) && (u8)icr < 16))
		lapic_error(from, ESR_SEND_ILLEGAL);
	if (unlikely(!to))
		send_many(from, icr, nr);
	else if (likely(is_present(to)))
		deliver(to, icr);
}
