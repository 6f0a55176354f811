/* SPDX-License-Identifier: GPL-2.0-only */
/* Output of a guest: COM1, polled. hv/host's formatting and KTAP code prints through this. */
#include "guest/rt/cpu.h"
#include "hv/host/console.h"
#include "hv/host/x86.h"

#define COM1	     0x3f8
#define UART_DATA    (COM1 + 0)
#define UART_IER     (COM1 + 1)
#define UART_FCR     (COM1 + 2) /* written; IIR when read */
#define UART_LCR     (COM1 + 3)
#define UART_MCR     (COM1 + 4)
#define UART_LSR     (COM1 + 5)
#define UART_SCRATCH (COM1 + 7)
#define LCR_8N1	     0x03
#define LCR_DLAB     0x80
#define FCR_CLEAR_ON 0x07
#define IIR_FIFO_ON  0xc0
#define LSR_THRE     0x20 /* the FIFO is empty */
#define LSR_TEMT     0x40 /* and the shift register */
#define FIFO_SIZE    16
#define POLL_MAX     1000000
#define PORT_E9	     0xe9

static enum { OUTPUT_NONE, OUTPUT_UART, OUTPUT_E9 } output;
static unsigned int uart_burst; /* bytes that may be written after one look at the LSR */
static unsigned int uart_room;	/* how many of them are left */

/* Who prints: CPU index + 1, so that a fault while printing can still print. */
static _Atomic u32 owner;

void console_init(void)
{
	outb(UART_SCRATCH, 0x5a);
	if (inb(UART_SCRATCH) != 0x5a) {
		output = inb(PORT_E9) == PORT_E9 ? OUTPUT_E9 : OUTPUT_NONE;
		return;
	}
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_DLAB);
	outb(UART_DATA, 1); /* 115200 baud */
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_8N1);
	outb(UART_FCR, FCR_CLEAR_ON);
	outb(UART_MCR, 3); /* DTR, RTS */
	uart_burst = (inb(UART_FCR) & IIR_FIFO_ON) == IIR_FIFO_ON ? FIFO_SIZE : 1;
	output = OUTPUT_UART;
}

static void uart_wait(u8 bit)
{
	for (unsigned int i = 0; i < POLL_MAX && !(inb(UART_LSR) & bit); i++)
		cpu_relax();
}

static void put(char c)
{
	if (output == OUTPUT_E9) {
		outb(PORT_E9, (u8)c);
	} else if (output == OUTPUT_UART) {
		if (!uart_room) {
			uart_wait(LSR_THRE);
			uart_room = uart_burst;
		}
		outb(UART_DATA, (u8)c);
		uart_room--;
	}
}

void console_write(const char *s, size_t n)
{
	u32 me = cpu_index() + 1, nobody = 0;
	bool mine = atomic_load_explicit(&owner, memory_order_relaxed) == me;

	while (!mine && !atomic_compare_exchange_weak(&owner, &nobody, me)) {
		nobody = 0;
		cpu_relax();
	}
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n')
			put('\r');
		put(s[i]);
	}
	if (!mine)
		atomic_store(&owner, 0);
}

void console_flush(void)
{
	if (output == OUTPUT_UART)
		uart_wait(LSR_TEMT);
}
