/* SPDX-License-Identifier: GPL-2.0-only */
/* How a guest ends. */
#include "guest/rt/exit.h"
#include "hv/host/console.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"

#define PORT_EXIT     0xf4
#define PORT_SHUTDOWN 0x8900 /* Bochs ends when this port is written "Shutdown" */

noreturn void guest_exit(int status)
{
	local_irq_disable();
	console_flush();
	outl(PORT_EXIT, (u32)status);
	for (const char *s = "Shutdown"; *s; s++)
		outb(PORT_SHUTDOWN, (u8)*s);
	for (;;)
		__asm__ volatile("hlt");
}

/* For the code shared with hv/host, whose broken invariants end a guest as a crash does. */
noreturn void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printk("guest: panic: ");
	vprintk(fmt, ap);
	printk("\n");
	va_end(ap);
	guest_exit(GUEST_CRASHED);
}
