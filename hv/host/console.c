/* SPDX-License-Identifier: GPL-2.0-only */
/* Text output: port 0xE9, UART and the ring in memory, with one writer at a time. */
#include "hv/host/console.h"

#include "hv/host/bootinfo.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define PORT_E9 0xe9

#define COM1	     0x3f8
#define UART_THR     (COM1 + 0) /* transmitter; divisor low with LCR_DLAB */
#define UART_IER     (COM1 + 1) /* interrupt enable; divisor high with LCR_DLAB */
#define UART_FCR     (COM1 + 2) /* FIFO control when written, interrupt identification when read */
#define UART_LCR     (COM1 + 3)
#define UART_MCR     (COM1 + 4)
#define UART_LSR     (COM1 + 5)
#define UART_SCRATCH (COM1 + 7)

#define FCR_ENABLE_CLEAR 0x07 /* FIFOs on, both emptied */
#define IIR_FIFO	 0xc0 /* both set: 16550A with working FIFOs */
#define LCR_8N1		 0x03
#define LCR_DLAB	 0x80
#define MCR_DTR_RTS	 0x03
#define LSR_THRE	 0x20 /* the transmitter takes another FIFO of characters */
#define LSR_TEMT	 0x40 /* everything is on the wire */
#define FIFO_SIZE	 16

/*
 * Polls before a UART counts as dead. A FIFO of 16 characters takes 1.4 ms, a poll a microsecond on
 * hardware and some 6 ticks in an emulator with up to a few hundred ticks a microsecond.
 */
#define UART_POLLS (1u << 20)

/* Rounds of waiting for the lock: longer than any writer needs, see console_lock(). */
#define LOCK_ROUNDS (1u << 24)

/* Described by console_init(): initialised here, 16 KiB of zeroes would be part of the image. */
struct log_ring log_ring __aligned(64);

static struct {
	bool e9;
	bool uart;
	unsigned int uart_burst; /* characters taken per THRE */
} out;

static _Atomic u32 lock_owner; /* number of the CPU + 1, 0: free */
static _Atomic bool lock_broken;

/* --- who may write ------------------------------------------------------------------------- */

/*
 * Not a struct spinlock, since an NMI handler must be able to print: it may interrupt the holder on
 * its own CPU (then it goes ahead at once and leaves the lock as it found it), and it may come
 * while a dead CPU has the lock (then the wait ends some time).
 */
bool console_lock(void)
{
	u32 me = this_cpu_id() + 1;

	if (atomic_load_explicit(&lock_broken, memory_order_relaxed) ||
	    atomic_load_explicit(&lock_owner, memory_order_relaxed) == me)
		return false;
	for (u32 i = 0; i < LOCK_ROUNDS; i++) {
		u32 nobody = 0;

		if (atomic_compare_exchange_weak_explicit(
			    &lock_owner, &nobody, me, memory_order_acquire, memory_order_relaxed))
			return true;
		cpu_relax();
	}
	return false;
}

void console_unlock(void)
{
	atomic_store_explicit(&lock_owner, 0, memory_order_release);
}

void console_break_lock(void)
{
	atomic_store_explicit(&lock_broken, true, memory_order_relaxed);
}

/* --- outputs --------------------------------------------------------------------------------- */

static void write_ring(const char *s, size_t n)
{
	u64 pos;
	size_t first;

	if (n > LOG_RING_SIZE) {
		s += n - LOG_RING_SIZE;
		n = LOG_RING_SIZE;
	}
	/* Reserving with one instruction keeps text of an NMI apart from what it interrupts. */
	pos = atomic_fetch_add_explicit(&log_ring.written, n, memory_order_relaxed);
	pos %= LOG_RING_SIZE;
	first = n < LOG_RING_SIZE - pos ? n : LOG_RING_SIZE - pos;
	memcpy(log_ring.text + pos, s, first);
	memcpy(log_ring.text, s + first, n - first);
}

static void write_e9(const char *s, size_t n)
{
	__asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"((u16)PORT_E9) : "memory");
}

static bool uart_wait(u8 bits)
{
	for (u32 i = 0; i < UART_POLLS; i++) {
		if ((inb(UART_LSR) & bits) == bits)
			return true;
	}
	return false;
}

static void write_uart(const char *s, size_t n)
{
	unsigned int room = 0;
	bool cr = false; /* the CR of this LF is out */

	while (n) {
		char c = *s == '\n' && !cr ? '\r' : *s;

		if (!room) {
			if (!uart_wait(LSR_THRE)) {
				out.uart = false; /* it died: never wait for it again */
				return;
			}
			room = out.uart_burst;
		}
		outb(UART_THR, (u8)c);
		room--;
		cr = c == '\r' && *s == '\n';
		if (!cr) {
			s++;
			n--;
		}
	}
}

static bool uart_probe(void)
{
	outb(UART_SCRATCH, 0x5a);
	if (inb(UART_SCRATCH) != 0x5a)
		return false;
	outb(UART_SCRATCH, 0xa5);
	return inb(UART_SCRATCH) == 0xa5 && inb(UART_LSR) != 0xff;
}

static void uart_init(void)
{
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_DLAB);
	outb(UART_THR, 1); /* divisor 1: 115200 */
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_8N1);
	outb(UART_MCR, MCR_DTR_RTS);
	outb(UART_FCR, FCR_ENABLE_CLEAR);
	out.uart_burst = (inb(UART_FCR) & IIR_FIFO) == IIR_FIFO ? FIFO_SIZE : 1;
}

void console_init(void)
{
	memcpy(log_ring.magic, "stillpoint log:", sizeof(log_ring.magic));
	log_ring.size = LOG_RING_SIZE;
	machine_detect();
	out.e9 = inb(PORT_E9) == PORT_E9;
	if ((!out.e9 || str_has_word(boot_info.cmdline, "serial")) && uart_probe()) {
		uart_init();
		out.uart = true;
	}
}

void console_write(const char *s, size_t n)
{
	bool locked = console_lock();

	write_ring(s, n);
	if (out.e9)
		write_e9(s, n);
	if (out.uart)
		write_uart(s, n);
	if (locked)
		console_unlock();
}

void console_flush(void)
{
	if (out.uart)
		uart_wait(LSR_TEMT);
}
