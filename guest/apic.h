/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the apic program: a guest's view of its local APICs, in xAPIC and in x2APIC mode. */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include "guest/rt/lapic.h"
#include "guest/rt/trap.h"
#include "hv/host/ktap.h"
#include "hv/host/types.h"
#include "hv/host/x86.h"

#define APIC_MAX_CPUS 8 /* the other CPUs stay idle */
#define APIC_LOG_MAX  256

#define SVR_SPURIOUS 0xff

/* Whether it is the hypervisor that this program is made for: others leave things out. */
extern bool apic_strict;
extern bool apic_shared; /* its CPUs share the host's, and stand still now and then */

/* The mode of every CPU's APIC, and where its registers are when it is not x2APIC mode. */
extern bool apic_x2;
extern u64 apic_page;

/** apic_get, apic_set - a register of this CPU's APIC, in whatever mode it is. */
u32 apic_get(u32 reg);
void apic_set(u32 reg, u32 value);

/** apic_send - write the ICR. @dest: as the mode wants it, an 8-bit one is not shifted. */
void apic_send(u32 dest, u32 command);

u32 apic_own_id(void);

/** apic_get_fault, apic_set_fault - the vector of the exception that an access raises, NO_FAULT. */
int apic_get_fault(u32 reg);
int apic_set_fault(u32 reg, u64 value);

/** apic_bit - the bit of @vector in a set of registers: LAPIC_IRR, LAPIC_ISR, LAPIC_TMR. */
bool apic_bit(u32 set, u8 vector);

/**
 * apic_switch - bring this CPU's APIC into a mode, by way of the disabled state where it must
 *
 * Returns false when IA32_APIC_BASE refuses. apic_x2 is left alone: it is the caller's.
 */
bool apic_switch(bool x2);

/** apic_enable - switch it on by SVR, accept everything, mask the timer. */
void apic_enable(void);

/*
 * What has arrived, since apic_forget(): counts for each CPU, and the order on CPU 0. The handler
 * calls apic_inside, on CPU 0, before its EOI.
 */
extern volatile u32 apic_hits[APIC_MAX_CPUS][256];
extern volatile u8 apic_log[APIC_LOG_MAX];
extern volatile u32 apic_nr_log;
extern void (*volatile apic_inside)(u8 vector);

/* The handler of every vector from 0x20 on. */
bool apic_arrived(struct trap_frame *frame);
void apic_forget(void);

/** apic_window - take interrupts for a short while. */
void apic_window(void);

/** apic_settle - interrupts off, long enough for what is under way to arrive. */
void apic_settle(void);

/** apic_wait - interrupts on, until @vector has arrived @n times on @cpu. False: not in time. */
bool apic_wait(u32 cpu, u8 vector, u32 n);

/** apic_result - a result whose name begins with the mode's. */
void apic_result(bool ok, const char *name);

/** apic_result_eq - the same, with both values where it fails. */
void apic_result_eq(u64 got, u64 want, const char *name);

/** apic_skip - a result that only the strict hypervisor has to give. True: it was skipped. */
bool apic_skip(const char *name);

/* The parts. Each in the present mode, on CPU 0, with interrupts off. */
void apic_check_reset(void);
void apic_check_registers(void);
void apic_check_errors(void);
void apic_check_priorities(void);
void apic_check_timer(void);
void apic_check_base(void);
void apic_check_ipis(void);

/** apic_load - @n expiries of a TSC-deadline timer on each CPU while IPIs fly between them. */
void apic_load(u64 n);

#endif
