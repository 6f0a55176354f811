/* SPDX-License-Identifier: GPL-2.0-only */
/* Delivery that cannot succeed: absent gates, vectors beyond the IDT, faults during delivery. */
#include "guest/events.h"
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "hv/host/x86.h"

#define GATE_PRESENT	   0x80
#define ERROR_EXT	   BIT(0) /* the event was not caused by the program's own INT */
#define ERROR_IDT	   BIT(1) /* the error code names a gate */
#define GATE_ERROR(vector) ((vector) << 3 | ERROR_IDT)

static void int_n(void *arg)
{
	__asm__ volatile("int $0x90");
}

static void int3(void *arg)
{
	__asm__ volatile("int3");
}

static void into(void *arg)
{
	__asm__ volatile(".byte 0xce");
}

static void undefined(void *arg)
{
	__asm__ volatile("ud2");
}

static void read_byte(void *arg)
{
	(void)*(volatile u8 *)arg;
}

static void int_beyond_limit(void *arg)
{
	load_idt(idt, VECTOR_SOFTWARE * sizeof(struct gate) - 1);
	int_n(NULL);
}

static void check_with_gate_absent(u8 vector, const struct fault_case *c)
{
	idt[vector].type &= (u8)~GATE_PRESENT;
	check_fault(c);
	idt[vector].type |= GATE_PRESENT;
}

void events_check_gates(void)
{
	void *non_canonical = (void *)0x8000000000000000ull;
	void *unmapped = (void *)0x0000400000000000ull;

	check_fault(&(struct fault_case){ "INTO raises UD in 64-bit mode", into, NULL, EXC_UD, 0,
					  false });
	check_with_gate_absent(VECTOR_SOFTWARE,
			       &(struct fault_case){ "INT n through an absent gate raises NP",
						     int_n, NULL, EXC_NP,
						     GATE_ERROR(VECTOR_SOFTWARE), true });
	check_with_gate_absent(EXC_BP,
			       &(struct fault_case){ "INT3 through an absent gate raises NP", int3,
						     NULL, EXC_NP, GATE_ERROR(EXC_BP), true });
	check_with_gate_absent(EXC_UD,
			       &(struct fault_case){ "an exception with an absent gate raises NP",
						     undefined, NULL, EXC_NP,
						     GATE_ERROR(EXC_UD) | ERROR_EXT, true });
	check_with_gate_absent(EXC_GP,
			       &(struct fault_case){ "GP with an absent gate raises DF", read_byte,
						     non_canonical, EXC_DF, 0, false });
	check_with_gate_absent(EXC_PF,
			       &(struct fault_case){ "PF with an absent gate raises DF", read_byte,
						     unmapped, EXC_DF, 0, false });
	check_fault(&(struct fault_case){ "INT n beyond the IDT's limit raises GP",
					  int_beyond_limit, NULL, EXC_GP,
					  GATE_ERROR(VECTOR_SOFTWARE), true });
	load_idt(idt, sizeof(idt) - 1);
}
