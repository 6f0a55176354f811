/* SPDX-License-Identifier: GPL-2.0-only */
/* The whole board: exits in, values and endings out. */
/* link: hv/dev/board.c hv/dev/bus.c hv/dev/lines.c hv/dev/serial.c hv/dev/debugcon.c */
/* link: hv/dev/power.c hv/dev/ending.c hv/dev/fwcfg.c hv/dev/testdev.c */
/* link: hv/host/print.c hv/host/string.c hv/host/errno.c */
/* link: tests/unit/fake_vm.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/dev/board.h"
#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/vm/vcpu.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_vm.h"

static struct fake_vm vm;
static struct board board;
static struct vcpu cpu0, cpu1;

static int setup(void **state)
{
	const struct board_config config = { .name = "guest" };

	fake_vm_init(&vm, MIB(4));
	vm.vm.nr_vcpus = 2;
	memset(&cpu0, 0, sizeof(cpu0));
	memset(&cpu1, 0, sizeof(cpu1));
	cpu1.id = 1;
	fake_console_take();
	return board_init(&board, &vm.vm, &config);
}

static int teardown(void **state)
{
	board_destroy(&board);
	fake_vm_destroy(&vm);
	return fake_locks_held();
}

static int out(struct vcpu *vcpu, u16 port, u8 size, u32 data)
{
	vcpu->run.reason = RUN_EXIT_IO;
	vcpu->run.io.port = port;
	vcpu->run.io.size = size;
	vcpu->run.io.in = false;
	vcpu->run.io.data = data;
	return board_handle(&board, vcpu);
}

static u32 in(struct vcpu *vcpu, u16 port, u8 size)
{
	vcpu->run.reason = RUN_EXIT_IO;
	vcpu->run.io.port = port;
	vcpu->run.io.size = size;
	vcpu->run.io.in = true;
	vcpu->run.io.data = 0x5a5a5a5a;
	assert_int_equal(board_handle(&board, vcpu), 0);
	return vcpu->run.io.data;
}

static void print(struct vcpu *vcpu, u16 port, const char *s)
{
	while (*s)
		assert_int_equal(out(vcpu, port, 1, (u8)*s++), 0);
}

static void test_ports(void **state)
{
	assert_int_equal(in(&cpu0, 0x3fd, 1), 0x60);
	assert_int_equal(in(&cpu0, 0xe9, 1), 0xe9);
	assert_int_equal(out(&cpu0, 0x510, 2, 5), 0);
	assert_int_equal(in(&cpu0, 0x511, 1), 2);
	assert_int_equal(out(&cpu0, 0x510, 2, 3), 0);
	assert_int_equal(in(&cpu0, 0x511, 1), 0);
	assert_int_equal(in(&cpu0, 0x511, 1), 0);
	assert_int_equal(in(&cpu0, 0x511, 1), 0x40); /* 4 MB */
	assert_int_equal(out(&cpu0, 0xe1, 1, 0x77), 0);
	assert_int_equal(in(&cpu0, 0xe0, 2), 0x7700);
	/* What a PC guest touches without asking. */
	assert_int_equal(out(&cpu0, 0x21, 1, 0xff), 0);
	assert_int_equal(out(&cpu0, 0xa1, 1, 0xff), 0);
	assert_int_equal(out(&cpu0, 0x80, 1, 0), 0);
	assert_int_equal(out(&cpu0, 0x70, 1, 0x8f), 0);
	assert_int_equal(in(&cpu0, 0x71, 1), 0xff);
	assert_int_equal(in(&cpu0, 0x4d0, 1), 0xff);
	assert_int_equal(in(&cpu0, 0xcfc, 4), 0xffffffff);
	board_report(&board);
	assert_string_equal(fake_console_take(), "");

	assert_int_equal(in(&cpu0, 0x1234, 4), 0xffffffff);
	assert_int_equal(in(&cpu0, 0xffff, 4), 0xffffffff);
	board_report(&board);
	assert_string_equal(fake_console_take(),
			    "board: 2 accesses to ports without a device, the first to 0x1234\n");
}

/* Two CPUs, two outputs: lines stay whole. */
static void test_console(void **state)
{
	print(&cpu0, 0x3f8, "ser");
	print(&cpu1, 0xe9, "debug\n");
	print(&cpu1, 0x3f8, "ial\n");
	assert_string_equal(fake_console_take(), "guest.e9: debug\nguest: serial\n");
}

static void test_debug_exit(void **state)
{
	print(&cpu0, 0x3f8, "bye");
	assert_int_equal(out(&cpu1, 0xf4, 4, 7), 1);
	assert_int_equal(board.ending.status, 7);
	assert_string_equal(fake_console_take(), "guest: bye\n");
	assert_int_equal(vm.nr_stops, 1);
	/* The other CPU is told too, and its access has no effect. */
	assert_int_equal(out(&cpu0, 0x3f8, 1, '\n'), 1);
	assert_string_equal(fake_console_take(), "");
	assert_int_equal(board.ending.status, 7);
}

static void test_fatal_exits(void **state)
{
	static const struct {
		struct vcpu_run run;
		int status;
		const char *why;
	} cases[] = {
		{ { .reason = RUN_EXIT_HLT },
		  RUN_FAILED,
		  "CPU 1 at 0x1001: all CPUs wait and nothing can wake them" },
		{ { .reason = RUN_EXIT_SHUTDOWN }, RUN_FAILED, "CPU 1 at 0x1001: triple fault" },
		{ { .reason = RUN_EXIT_ENTRY_FAILED },
		  RUN_ENTRY_FAILED,
		  "CPU 1 at 0x1001: VM entry failed" },
		{ { .reason = RUN_EXIT_ERROR, .error = { .what = "INS to ROM" } },
		  RUN_FAILED,
		  "CPU 1 at 0x1001: INS to ROM" },
		{ { .reason = RUN_EXIT_MMIO, .mmio = { .gpa = 0xfed00000, .read = true } },
		  RUN_FAILED,
		  "CPU 1 at 0x1001: read at 0xfed00000, where there is no memory" },
		{ { .reason = RUN_EXIT_MMIO, .mmio = { .gpa = 0x400000, .write = true } },
		  RUN_FAILED,
		  "CPU 1 at 0x1001: write at 0x400000, where there is no memory" },
		{ { .reason = RUN_EXIT_MMIO, .mmio = { .gpa = 0x400000, .fetch = true } },
		  RUN_FAILED,
		  "CPU 1 at 0x1001: execution at 0x400000, where there is no memory" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		board_destroy(&board);
		fake_vm_destroy(&vm);
		assert_int_equal(setup(state), 0);
		print(&cpu0, 0x3f8, "last words");
		cpu1.run = cases[i].run;
		assert_int_equal(board_handle(&board, &cpu1), 1);
		assert_int_equal(board.ending.status, cases[i].status);
		assert_string_equal(board.ending.why, cases[i].why);
		assert_string_equal(fake_console_take(), "guest: last words\n");
		assert_int_equal(vm.nr_stops, 1);
	}
}

/* No device holds a level. */
static void test_eoi(void **state)
{
	cpu0.run = (struct vcpu_run){ .reason = RUN_EXIT_EOI, .eoi.vector = 0x31 };
	assert_int_equal(board_handle(&board, &cpu0), 0);
	assert_false(ending_is_set(&board.ending));
	assert_int_equal(vm.nr_stops, 0);
}

static void test_board_end(void **state)
{
	print(&cpu0, 0x3f8, "partial");
	board_end(&board, RUN_FAILED, "no end after %d ticks", 1000);
	assert_int_equal(board.ending.status, RUN_FAILED);
	assert_string_equal(board.ending.why, "no end after 1000 ticks");
	assert_string_equal(fake_console_take(), "guest: partial\n");
	assert_int_equal(vm.nr_stops, 1);
	board_end(&board, RUN_OK, "later");
	assert_int_equal(board.ending.status, RUN_FAILED);
}

static void test_drop_page(void **state)
{
	assert_int_equal(out(&cpu0, 0xe4, 4, 0x3abc), 0);
	assert_int_equal(vm.nr_dropped, 1);
	assert_int_equal(vm.dropped, 0x3000);
	assert_int_equal(out(&cpu0, 0xe4, 4, MIB(8)), 0); /* no RAM there */
	assert_int_equal(vm.nr_dropped, 2);
	assert_int_equal(in(&cpu0, 0xe0, 1), 0);
	assert_int_equal(vm.nr_dropped, 2);

	vm.drop_result = -ENOMEM;
	assert_int_equal(out(&cpu0, 0xe4, 4, 0x5000), 1);
	assert_string_equal(board.ending.why, "page 0x5000 could not be dropped: ENOMEM");
}

static void test_init_error(void **state)
{
	const struct board_config config = { .name = "guest" };
	struct board other;

	vm.add_result = -ENOMEM;
	assert_int_equal(board_init(&other, &vm.vm, &config), -ENOMEM);
	vm.add_result = 0;
}

/* A long name is cut, not overrun. */
static void test_long_name(void **state)
{
	const struct board_config config = { .name = "a-name-that-goes-on-and-on-and-on" };
	struct board other;

	assert_int_equal(board_init(&other, &vm.vm, &config), 0);
	assert_string_equal(other.com1_lines.prefix, "a-name-that-goes-on-and-: ");
	assert_string_equal(other.debugcon_lines.prefix, "a-name-that-goes-on-and-.e9: ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_console, setup, teardown),
		cmocka_unit_test_setup_teardown(test_debug_exit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fatal_exits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_eoi, setup, teardown),
		cmocka_unit_test_setup_teardown(test_board_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drop_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_init_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
