/* SPDX-License-Identifier: GPL-2.0-only */
/* Host interrupts: few enough for a switch. */
#include "hv/host/irq.h"

#include "hv/host/apic.h"
#include "hv/host/counter.h"
#include "hv/host/percpu.h"
#include "hv/host/timer.h"

COUNTER(irq_stray, "irq.stray", "host interrupts on a vector that nobody asked for");
COUNTER(irq_spurious, "irq.spurious", "spurious interrupts of the local APIC");

void irq_dispatch(u8 vector)
{
	switch (vector) {
	case VECTOR_TIMER:
		/* First the EOI: the handler arms the timer again, and that must not be missed. */
		apic_eoi();
		timer_interrupt();
		return;
	case VECTOR_RESCHED: break; /* that it came is all: idle and run loop look again */
	case VECTOR_KICK:
		atomic_fetch_add_explicit(&this_cpu()->nr_kick, 1, memory_order_relaxed);
		break;
	case VECTOR_SPURIOUS: count(&irq_spurious); return; /* wants no EOI */
	default: count(&irq_stray); break;
	}
	apic_eoi();
}

void irq_window(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}
