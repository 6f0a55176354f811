/* SPDX-License-Identifier: GPL-2.0-only */
/* Host interrupts and exceptions: who is called for a vector, and what is safe in root mode. */
#ifndef HV_HOST_IRQ_H
#define HV_HOST_IRQ_H

#include "hv/host/trap_stubs.h"
#include "hv/host/types.h"

/* Called by the #DB handler when it is set; otherwise a #DB in root mode is fatal. */
extern void (*debug_hook)(struct trap_frame *f);

/**
 * irq_dispatch - run the handler of a host interrupt and send the EOI
 * @vector: 32..255
 *
 * Called by the IDT's stubs, and by the run loop for an interrupt acknowledged by a VM exit.
 * Interrupts off. A vector nobody asked for is counted (irq.stray), not fatal.
 */
void irq_dispatch(u8 vector);

/** irq_window - take pending interrupts now: sti; nop; cli. Thread context, no lock held. */
void irq_window(void);

/** nmi_iret - execute an IRET, which ends the blocking by NMI that an NMI VM exit has left behind.
 */
void nmi_iret(void);

/** exception_init - build and load the IDT. Boot CPU; the others load the same with idt_load(). */
void exception_init(void);
void idt_load(void);

/*
 * Two link-time tables that the exception and NMI handlers look into.
 *
 * .ex_table: {fault address, continue address}: a #GP/#UD/#PF at the first continues at the second
 * with RAX = -EFAULT. When the fault is the fetch of an instruction, the first is the return
 * address on top of the stack: where the call came from.
 *
 * .nmi_fixup: {start, end, target}: an NMI that lands in root mode with start <= RIP < end
 * continues at target instead. vmx/entry.S brackets the instructions between its last look at
 * entry_barred and VMLAUNCH/VMRESUME with it, so that a kick arriving there still stops the entry.
 */
struct ex_entry {
	u64 fault, target;
};

struct nmi_fixup {
	u64 start, end, target;
};

#endif
