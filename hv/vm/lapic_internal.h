/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the local APIC share among themselves. */
#ifndef HV_VM_LAPIC_INTERNAL_H
#define HV_VM_LAPIC_INTERNAL_H

#include "hv/vm/internal.h"

#define LAPIC_VERSION_VALUE 0x00050014 /* integrated, six LVT entries, EOIs always broadcast */
#define LAPIC_SVR_RESET	    0xff
#define LAPIC_LVT_MASKED    BIT(16)

/* The two places of the ID in xAPIC registers (ID, LDR, ICR2), and what DFR cannot hold. */
#define XAPIC_ID_SHIFT	 24
#define XAPIC_DFR_ONES	 0x0fffffffu
#define X2APIC_MSR_FIRST 0x800u

enum lapic_error {
	ESR_SEND_ILLEGAL = 0x20,    /* a vector below 16 in ICR or SELF IPI */
	ESR_RECEIVE_ILLEGAL = 0x40, /* the same in what has arrived, or in the LVT */
	ESR_REGISTER = 0x80,	    /* xAPIC mode: an access to a register that does not exist */
};
#define LAPIC_ERRORS ((u32)(ESR_SEND_ILLEGAL | ESR_RECEIVE_ILLEGAL | ESR_REGISTER))

enum lapic_delivery {
	DM_FIXED = 0,
	DM_LOWEST = 1,
	DM_SMI = 2,
	DM_NMI = 4,
	DM_INIT = 5,
	DM_STARTUP = 6,
};

/* In ICR; the destination of x2APIC mode is in bits 63:32. */
#define ICR_LOGICAL   BIT(11)
#define ICR_STATUS    BIT(12)
#define ICR_ASSERT    BIT(14)
#define ICR_LEVEL     BIT(15)
#define ICR_SHORTHAND (BIT(18) | BIT(19))
#define ICR_SELF      BIT(18)
#define ICR_ALL	      BIT(19)
#define ICR_OTHERS    (BIT(18) | BIT(19))

/*
 * The registers. Others than the vCPU's own thread read some of them (SVR, TPR, ID, LDR, DFR,
 * LVT_ERROR) to find out whether an interrupt is accepted and by whom: as on processors, who
 * changes them meanwhile gets one or the other.
 */
static inline u32 reg_get(const struct lapic *l, unsigned int offset)
{
	return __atomic_load_n((const u32 *)(const void *)(l->regs + offset), __ATOMIC_RELAXED);
}

static inline void reg_set(struct lapic *l, unsigned int offset, u32 value)
{
	__atomic_store_n((u32 *)(void *)(l->regs + offset), value, __ATOMIC_RELAXED);
}

/* ISR, TMR, IRR: 256 bits, 32 in each of 8 registers. */
static inline unsigned int vector_reg(unsigned int array, u8 vector)
{
	return array + vector / 32 * 16u;
}

static inline bool vector_test(const struct lapic *l, unsigned int array, u8 vector)
{
	return reg_get(l, vector_reg(array, vector)) >> vector % 32 & 1;
}

static inline void vector_set(struct lapic *l, unsigned int array, u8 vector)
{
	unsigned int reg = vector_reg(array, vector);

	reg_set(l, reg, reg_get(l, reg) | 1u << vector % 32);
}

static inline void vector_clear(struct lapic *l, unsigned int array, u8 vector)
{
	unsigned int reg = vector_reg(array, vector);

	reg_set(l, reg, reg_get(l, reg) & ~(1u << vector % 32));
}

/* The highest vector in it, or -1: lapic.c. */
int vector_highest(const struct lapic *l, unsigned int array);

static inline bool lapic_is_x2(struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed) & LAPIC_BASE_EXTD;
}

/* Whether it takes fixed interrupts. One that IA32_APIC_BASE disables has the SVR of RESET. */
static inline bool lapic_is_enabled(const struct lapic *l)
{
	return reg_get(l, LAPIC_SVR) & LAPIC_SVR_ENABLE;
}

/* lapic.c */
u8 lapic_ppr(struct vcpu *vcpu);
int lapic_end_of_interrupt(struct vcpu *vcpu); /* 0, or 1 with RUN_EXIT_EOI */
/* An interrupt that the LVT entry @lvt describes has come. Any thread. */
void lapic_post_local(struct vcpu *vcpu, u32 lvt);
void lapic_error(struct vcpu *vcpu, u32 errors); /* any thread */
void lapic_reset_registers(struct vcpu *vcpu);	 /* but for ID and LDR; the timer too */
void lapic_tell_cpu(struct vcpu *vcpu);		 /* ISR and TMR were changed as a whole */

/* lapic_regs.c */
void lapic_mask_all(struct vcpu *vcpu); /* the LVT */
/* Whether an APIC's registers, by offset / 16, can have such bits; but for what its mode says. */
bool lapic_registers_may_be(const u32 reg[NR_LAPIC_REGS]);

/* lapic_base.c */
int lapic_write_base(struct vcpu *vcpu, u64 v);
void lapic_set_ids(struct vcpu *vcpu); /* ID and LDR, by the present mode */
u32 lapic_x2apic_ldr(struct vcpu *vcpu);
bool lapic_base_is_valid(struct vcpu *vcpu, u64 base);
int lapic_adopt_base(struct vcpu *vcpu, u64 base); /* 0, -ENOMEM, -ETIMEDOUT */

/* lapic_state.c: with the base apart. Check: NULL, or what is wrong. */
struct lapic_state;
void lapic_get_state(struct vcpu *vcpu, struct lapic_state *s);
const char *lapic_check_state(struct vcpu *vcpu, const struct lapic_state *s);
void lapic_set_state(struct vcpu *vcpu, const struct lapic_state *s);

/* lapic_timer.c: own thread, loaded; where others read the clock the timer is brought up to it. */
void lapic_timer_init(struct vcpu *vcpu);
void lapic_timer_reset(struct vcpu *vcpu);
void lapic_timer_write_lvt(struct vcpu *vcpu, u32 lvt);
void lapic_timer_write_initial(struct vcpu *vcpu, u32 count);
void lapic_timer_write_divide(struct vcpu *vcpu, u32 divide);
u32 lapic_timer_current(struct vcpu *vcpu);
void lapic_timer_write_deadline(struct vcpu *vcpu, u64 deadline);
u64 lapic_timer_read_deadline(struct vcpu *vcpu);
void lapic_timer_get_state(struct vcpu *vcpu, struct lapic_state *s);
const char *lapic_timer_check_state(const struct lapic_state *s);
void lapic_timer_set_state(struct vcpu *vcpu, const struct lapic_state *s);

#endif
