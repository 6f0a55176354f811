/* SPDX-License-Identifier: GPL-2.0-only */
/* The board's devices one by one: registers, sequences, line buffering. */
/* link: hv/dev/bus.c hv/dev/lines.c hv/dev/serial.c hv/dev/debugcon.c hv/dev/power.c */
/* link: hv/dev/ending.c hv/dev/fwcfg.c hv/dev/testdev.c hv/dev/memmap.c */
/* link: hv/host/print.c hv/host/string.c */
/* link: tests/unit/fake_vm.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/dev/debugcon.h"
#include "hv/dev/fwcfg.h"
#include "hv/dev/memmap.h"
#include "hv/dev/power.h"
#include "hv/dev/serial.h"
#include "hv/dev/testdev.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_vm.h"

static void put(struct lines *l, const char *s)
{
	while (*s)
		lines_put(l, *s++);
}

/* --- lines --------------------------------------------------------------------------------- */

static void test_lines(void **state)
{
	struct lines l;

	fake_console_take();
	lines_init(&l, "vm: ");
	put(&l, "hel");
	assert_string_equal(fake_console_take(), "");
	put(&l, "lo\r\nwor");
	assert_string_equal(fake_console_take(), "vm: hello\n");
	put(&l, "ld\n\n");
	assert_string_equal(fake_console_take(), "vm: world\nvm: \n");
	put(&l, "rest");
	lines_flush(&l);
	assert_string_equal(fake_console_take(), "vm: rest\n");
	lines_flush(&l);
	assert_string_equal(fake_console_take(), "");
}

static void test_lines_escape(void **state)
{
	struct lines l;

	lines_init(&l, "");
	put(&l, "a\tb\033[2J\177~");
	lines_put(&l, 0);
	lines_put(&l, 0xff);
	put(&l, "\n");
	assert_string_equal(fake_console_take(), "a\tb\\x1b[2J\\x7f~\\x00\\xff\n");
}

static void test_lines_long(void **state)
{
	char want[2 * LINES_MAX];
	struct lines l;

	lines_init(&l, "v: ");
	for (int i = 0; i < LINES_MAX; i++)
		lines_put(&l, 'x');
	assert_string_equal(fake_console_take(), "");
	lines_put(&l, '\n'); /* just fits */
	memcpy(want, "v: ", 3);
	memset(want + 3, 'x', LINES_MAX);
	strcpy(want + 3 + LINES_MAX, "\n");
	assert_string_equal(fake_console_take(), want);

	for (int i = 0; i < LINES_MAX; i++)
		lines_put(&l, 'x');
	lines_put(&l, 1); /* the escape does not fit: it moves on as a whole */
	strcpy(want + 3 + LINES_MAX, "\\\n");
	assert_string_equal(fake_console_take(), want);
	lines_put(&l, '\n');
	assert_string_equal(fake_console_take(), "v: \\x01\n");
}

static void test_lines_prefix(void **state)
{
	struct lines l;

	lines_init(&l, "0123456789012345678901234567890123456789");
	lines_put(&l, '\n');
	assert_string_equal(fake_console_take(), "0123456789012345678901234567890\n");
}

static void test_debugcon(void **state)
{
	struct bus ports = { 0 };
	struct lines l;

	lines_init(&l, "e9: ");
	assert_int_equal(bus_add(&ports, DEBUGCON_PORT, 1, &debugcon_ops, &l), 0);
	assert_int_equal(bus_read(&ports, 0xe9, 1), 0xe9);
	bus_write(&ports, 0xe9, 1, 'A');
	bus_write(&ports, 0xe9, 1, '\n');
	assert_string_equal(fake_console_take(), "e9: A\n");
}

/* --- serial -------------------------------------------------------------------------------- */

static struct serial uart;
static struct lines uart_out;
static struct bus ports;

static void start_uart(void)
{
	ports = (struct bus){ 0 };
	lines_init(&uart_out, "com: ");
	serial_init(&uart, &uart_out);
	assert_int_equal(bus_add(&ports, SERIAL_COM1, SERIAL_PORTS, &serial_ops, &uart), 0);
	fake_console_take();
}

static u8 in(u8 reg)
{
	return bus_read(&ports, SERIAL_COM1 + reg, 1);
}

static void out(u8 reg, u8 value)
{
	bus_write(&ports, SERIAL_COM1 + reg, 1, value);
}

static void test_serial_reset(void **state)
{
	start_uart();
	assert_int_equal(in(1), 0);    /* IER */
	assert_int_equal(in(2), 0x01); /* IIR: nothing */
	assert_int_equal(in(3), 0);    /* LCR */
	assert_int_equal(in(4), 0);    /* MCR */
	assert_int_equal(in(5), 0x60); /* LSR: empty, idle */
	assert_int_equal(in(6), 0xb0); /* MSR: CTS DSR DCD */
	assert_int_equal(in(7), 0);    /* SCR */
	assert_int_equal(in(0), 0);    /* nothing received */
}

static void test_serial_registers(void **state)
{
	start_uart();
	out(7, 0x5a);
	assert_int_equal(in(7), 0x5a);
	out(1, 0xff);
	assert_int_equal(in(1), 0x0f);
	out(4, 0xef);
	assert_int_equal(in(4), 0x0f);
	out(5, 0); /* read-only */
	out(6, 0);
	assert_int_equal(in(5), 0x60);
	assert_int_equal(in(6), 0xb0);
}

/* The divisor latch hides data and IER, and writing it sends nothing. */
static void test_serial_dlab(void **state)
{
	start_uart();
	out(1, 0x05);
	out(3, 0x83);
	out(0, 'X');
	out(1, 0x12);
	assert_int_equal(in(0), 'X');
	assert_int_equal(in(1), 0x12);
	out(3, 0x03);
	assert_int_equal(in(3), 0x03);
	assert_int_equal(in(1), 0x05);
	lines_flush(&uart_out);
	assert_string_equal(fake_console_take(), "");
	out(3, 0x83);
	assert_int_equal(in(0), 'X');
}

static void test_serial_output(void **state)
{
	start_uart();
	out(0, 'h');
	out(0, 'i');
	out(0, '\r');
	assert_int_equal(in(5), 0x60);
	out(0, '\n');
	assert_string_equal(fake_console_take(), "com: hi\n");
	/* A wide write is a write to two registers. */
	bus_write(&ports, SERIAL_COM1, 2, 0x0541);
	assert_int_equal(in(1), 0x05);
	lines_flush(&uart_out);
	assert_string_equal(fake_console_take(), "com: A\n");
}

static void test_serial_thr_interrupt(void **state)
{
	start_uart();
	out(1, 0x02);
	assert_int_equal(in(2), 0x02); /* enabling it while empty raises it */
	assert_int_equal(in(2), 0x01); /* reading IIR cleared it */
	out(0, 'x');
	assert_int_equal(in(2), 0x02);
	out(0, 'x');
	out(1, 0);
	assert_int_equal(in(2), 0x01); /* masked */
}

static void test_serial_loopback(void **state)
{
	start_uart();
	out(4, 0x10);
	assert_int_equal(in(6), 0x0b); /* CTS, DSR, DCD went low: three deltas */
	assert_int_equal(in(6), 0x00);
	out(4, 0x10 | 0x0f);
	assert_int_equal(in(6), 0xfb); /* all lines up; RI's delta is for its trailing edge */
	out(4, 0x10 | 0x0b);
	assert_int_equal(in(6), 0xb4);

	out(0, 'a');
	assert_int_equal(in(5), 0x61);
	assert_int_equal(in(0), 'a');
	assert_int_equal(in(5), 0x60);

	/* Without a FIFO the second byte overwrites the first. */
	out(1, 0x07);
	out(0, 'b');
	out(0, 'c');
	assert_int_equal(in(2), 0x06); /* line status first */
	assert_int_equal(in(5), 0x63);
	assert_int_equal(in(5), 0x61);
	assert_int_equal(in(2), 0x04); /* then data */
	assert_int_equal(in(0), 'c');
	assert_int_equal(in(2), 0x02); /* then the transmitter */
	assert_int_equal(in(2), 0x01);
	lines_flush(&uart_out);
	assert_string_equal(fake_console_take(), "");
}

static void test_serial_modem_interrupt(void **state)
{
	start_uart();
	out(1, 0x08);
	out(4, 0x10);
	assert_int_equal(in(2), 0x00);
	in(6);
	assert_int_equal(in(2), 0x01);
}

static void test_serial_fifo(void **state)
{
	start_uart();
	out(2, 0x01);
	assert_int_equal(in(2), 0xc1);
	out(4, 0x10);
	for (u8 i = 0; i < 17; i++)
		out(0, 'a' + i);
	assert_int_equal(in(5), 0x63); /* the 17th was lost */
	for (u8 i = 0; i < 16; i++)
		assert_int_equal(in(0), 'a' + i);
	assert_int_equal(in(5), 0x60);

	out(0, 'x');
	out(2, 0x03); /* clear it */
	assert_int_equal(in(5), 0x60);
	out(0, 'y');
	out(2, 0x00); /* switching it off clears it too */
	assert_int_equal(in(5), 0x60);
	assert_int_equal(in(2), 0x01);
}

/* --- power --------------------------------------------------------------------------------- */

static struct power power;
static struct ending ending;

static void start_power(void)
{
	ports = (struct bus){ 0 };
	ending = (struct ending){ 0 };
	assert_int_equal(power_add(&power, &ports, &ending), 0);
}

static void test_debug_exit(void **state)
{
	start_power();
	assert_int_equal(bus_read(&ports, 0xf4, 4), 0xffffffff);
	assert_false(ending_is_set(&ending));
	bus_write(&ports, 0xf4, 4, 3);
	assert_true(ending_is_set(&ending));
	assert_int_equal(ending.status, 3);
	assert_string_equal(ending.why, "debug exit with value 0x3");
	bus_write(&ports, 0xf4, 4, 0); /* the first counts */
	assert_int_equal(ending.status, 3);

	start_power();
	bus_write(&ports, 0xf4, 1, 119);
	assert_int_equal(ending.status, 119);
	start_power();
	bus_write(&ports, 0xf4, 4, 120); /* would read as one of ours */
	assert_int_equal(ending.status, 119);
	assert_string_equal(ending.why, "debug exit with value 0x78");
	start_power();
	bus_write(&ports, 0xf4, 4, 0xffffffff);
	assert_int_equal(ending.status, 119);
}

static void type(const char *s)
{
	while (*s)
		bus_write(&ports, 0x8900, 1, (u8)*s++);
}

static void test_shutdown(void **state)
{
	start_power();
	type("ShutdowX");
	type("hutdown");
	type("shutdown");
	assert_false(ending_is_set(&ending));
	type("ShutShutdown");
	assert_true(ending_is_set(&ending));
	assert_int_equal(ending.status, 0);
	assert_string_equal(ending.why, "powered off (port 0x8900)");
	type("Shutdown"); /* once more does no harm */
}

static void test_resets(void **state)
{
	start_power();
	assert_int_equal(bus_read(&ports, 0x64, 1), 0);
	bus_write(&ports, 0x64, 1, 0xd1);
	bus_write(&ports, 0x64, 1, 0xff);
	assert_false(ending_is_set(&ending));
	bus_write(&ports, 0x64, 1, 0xfe);
	assert_int_equal(ending.status, 1);
	assert_string_equal(ending.why, "asked for a reset (port 0x64)");

	start_power();
	assert_int_equal(bus_read(&ports, 0x92, 1), 2);
	bus_write(&ports, 0x92, 1, 0);
	assert_int_equal(bus_read(&ports, 0x92, 1), 0);
	bus_write(&ports, 0x92, 1, 2);
	assert_int_equal(bus_read(&ports, 0x92, 1), 2);
	assert_false(ending_is_set(&ending));
	bus_write(&ports, 0x92, 1, 1);
	assert_string_equal(ending.why, "asked for a reset (port 0x92)");

	start_power();
	bus_write(&ports, 0xcf9, 1, 0x02);
	assert_int_equal(bus_read(&ports, 0xcf9, 1), 0x02);
	assert_false(ending_is_set(&ending));
	bus_write(&ports, 0xcf9, 1, 0x06);
	assert_string_equal(ending.why, "asked for a reset (port 0xcf9)");
}

/* PCI configuration space without a PCI bus; its address port must not be taken for a reset. */
static void test_pci(void **state)
{
	start_power();
	bus_write(&ports, 0xcf8, 4, 0x80000604);
	bus_write(&ports, 0xcf8, 2, 0x0600);
	assert_false(ending_is_set(&ending));
	assert_int_equal(bus_read(&ports, 0xcf8, 4), 0xffffffff);
	assert_int_equal(bus_read(&ports, 0xcfc, 4), 0xffffffff);
	assert_int_equal(bus_read(&ports, 0xcfe, 2), 0xffff);
	assert_int_equal(bus_read(&ports, 0xcfc, 1), 0xff);
	assert_int_equal(ports.nr_unclaimed, 0);
}

/* --- fw_cfg -------------------------------------------------------------------------------- */

static struct fwcfg fwcfg;

static u64 fw_get(u16 key, unsigned int bytes)
{
	u64 value = 0;

	bus_write(&ports, FWCFG_PORT, 2, key);
	for (unsigned int i = 0; i < bytes; i++)
		value |= bus_read(&ports, FWCFG_PORT + 1, 1) << (8 * i);
	return value;
}

static void test_fwcfg(void **state)
{
	ports = (struct bus){ 0 };
	fwcfg_init(&fwcfg, MIB(128), 3);
	assert_int_equal(bus_add(&ports, FWCFG_PORT, FWCFG_PORTS, &fwcfg_ops, &fwcfg), 0);

	assert_int_equal(bus_read(&ports, 0x511, 1), 'Q'); /* selected at reset */
	assert_int_equal(fw_get(0x00, 4), 0x554d4551);
	assert_int_equal(fw_get(0x00, 8), 0x554d4551); /* zeros behind the end */
	assert_int_equal(fw_get(0x01, 4), 1);
	assert_int_equal(fw_get(0x03, 8), MIB(128));
	assert_int_equal(fw_get(0x04, 2), 1);
	assert_int_equal(fw_get(0x05, 2), 3);
	assert_int_equal(fw_get(0x05, 8), 3);
	assert_int_equal(fw_get(0x0f, 2), 3);
	assert_int_equal(fw_get(0x11, 8), 0); /* unknown */
	assert_int_equal(fw_get(0x19, 4), 0);
	assert_int_equal(fw_get(0xffff, 8), 0);

	/* Selecting starts from the first byte; only 16-bit writes select. */
	fw_get(0x05, 1);
	bus_write(&ports, FWCFG_PORT, 1, 0);
	bus_write(&ports, FWCFG_PORT + 1, 1, 0x55);
	assert_int_equal(bus_read(&ports, 0x511, 1), 0);
	assert_int_equal(fw_get(0x05, 1), 3);
	assert_int_equal(bus_read(&ports, 0x510, 1), 0xff);
	assert_int_equal(bus_read(&ports, 0x510, 2), 0xffff);
	assert_int_equal(ports.nr_unclaimed, 0);
}

/* --- test device --------------------------------------------------------------------------- */

static void test_testdev(void **state)
{
	struct fake_vm vm;
	struct testdev t;
	gpa_t page;

	ports = (struct bus){ 0 };
	fake_vm_init(&vm, MIB(2));
	assert_int_equal(testdev_add(&t, &ports, &vm.vm), 0);
	assert_int_equal(vm.added, 0xff000000);
	assert_int_equal(vm.added_size, 0x10000);

	bus_write(&ports, 0xe0, 4, 0x44332211);
	assert_int_equal(bus_read(&ports, 0xe0, 1), 0x11);
	assert_int_equal(bus_read(&ports, 0xe1, 1), 0x22);
	assert_int_equal(bus_read(&ports, 0xe1, 2), 0x3322);
	assert_int_equal(bus_read(&ports, 0xe3, 1), 0x44);
	bus_write(&ports, 0xe2, 1, 0xaa);
	bus_write(&ports, 0xe0, 2, 0xbbcc);
	assert_int_equal(bus_read(&ports, 0xe0, 4), 0x44aabbcc);

	assert_false(testdev_take_drop(&t, &page));
	bus_write(&ports, 0xe4, 4, 0x1fff);
	assert_true(testdev_take_drop(&t, &page));
	assert_int_equal(page, 0x1000);
	assert_false(testdev_take_drop(&t, &page));
	assert_int_equal(vm.nr_dropped, 0); /* carried out by the board */
	bus_write(&ports, 0xe4, 1, 0x10);
	assert_false(testdev_take_drop(&t, &page));
	fake_vm_destroy(&vm);
}

static void test_testdev_no_memory(void **state)
{
	struct fake_vm vm;
	struct testdev t;

	ports = (struct bus){ 0 };
	fake_vm_init(&vm, MIB(2));
	vm.add_result = -ENOMEM;
	assert_int_equal(testdev_add(&t, &ports, &vm.vm), -ENOMEM);
	fake_vm_destroy(&vm);
}

/* --- memory map ---------------------------------------------------------------------------- */

static void test_memmap(void **state)
{
	struct guest_range r[GUEST_MAX_RANGES];

	assert_int_equal(guest_memmap(MIB(2) - 1, r), -EINVAL);
	assert_int_equal(guest_memmap(GIB(3) + 1, r), -EINVAL);
	assert_int_equal(guest_memmap(GIB(3), r), 3);
	assert_int_equal(r[2].base + r[2].len, GIB(3));
	for (int i = 1; i < 3; i++)
		assert_int_equal(r[i].base, r[i - 1].base + r[i - 1].len);

	assert_true(guest_is_ram(MIB(2), 0, 0x9fc00));
	assert_false(guest_is_ram(MIB(2), 0, 0x9fc01));
	assert_false(guest_is_ram(MIB(2), 0x9fc00, 1));
	assert_false(guest_is_ram(MIB(2), MIB(1) - 1, 2));
	assert_true(guest_is_ram(MIB(2), MIB(1), MIB(1)));
	assert_false(guest_is_ram(MIB(2), MIB(1), MIB(1) + 1));
	assert_false(guest_is_ram(MIB(2), MIB(1), 0));
	assert_false(guest_is_ram(MIB(2), MIB(1), UINT64_MAX));
	assert_false(guest_is_ram(MIB(2), UINT64_MAX, 1));
	assert_false(guest_is_ram(MIB(1), 0, 1)); /* no such guest */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lines_escape),
		cmocka_unit_test(test_lines_long),
		cmocka_unit_test(test_lines_prefix),
		cmocka_unit_test(test_debugcon),
		cmocka_unit_test(test_serial_reset),
		cmocka_unit_test(test_serial_registers),
		cmocka_unit_test(test_serial_dlab),
		cmocka_unit_test(test_serial_output),
		cmocka_unit_test(test_serial_thr_interrupt),
		cmocka_unit_test(test_serial_loopback),
		cmocka_unit_test(test_serial_modem_interrupt),
		cmocka_unit_test(test_serial_fifo),
		cmocka_unit_test(test_debug_exit),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_pci),
		cmocka_unit_test(test_fwcfg),
		cmocka_unit_test(test_testdev),
		cmocka_unit_test(test_testdev_no_memory),
		cmocka_unit_test(test_memmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
