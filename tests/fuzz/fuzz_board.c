/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The board against random port accesses of two vCPUs: reads give no bits beyond their size, the
 * guest ends at most once and stays ended, no line on the console is without the guest's name.
 */
/* link: hv/dev/board.c hv/dev/bus.c hv/dev/lines.c hv/dev/serial.c hv/dev/debugcon.c */
/* link: hv/dev/power.c hv/dev/ending.c hv/dev/fwcfg.c hv/dev/testdev.c */
/* link: hv/host/print.c hv/host/string.c hv/host/errno.c */
/* link: tests/unit/fake_vm.c tests/unit/fake_host.c */
#include "hv/dev/board.h"
#include "hv/vm/vcpu.h"
#include "tests/fuzz/input.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_vm.h"

static struct fake_vm vm;
static struct board board;
static struct vcpu vcpu[2];

/* Ports where something is, most of the time; 0x12 stands for "take one from the input". */
static const u16 ports[] = { 0x3f8,  0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff,
			     0xe0,   0xe1,  0xe2,  0xe3,  0xe4,	 0xe9,	0x510, 0x511,
			     0x8900, 0x64,  0x92,  0xcf8, 0xcfc, 0x12 };

static void check_console(void)
{
	const char *text = fake_console_take();

	while (*text) {
		const char *end = strchr(text, '\n');

		MUST(end);
		MUST(!strncmp(text, "g: ", 3) || !strncmp(text, "g.e9: ", 6));
		for (; text < end; text++)
			MUST(*text == '\t' || (*text >= ' ' && *text <= '~'));
		text++;
	}
}

static void one_access(struct input *in)
{
	struct vcpu *v = &vcpu[take(in, 1) & 1];
	u8 what = take(in, 1);
	bool ended = board.ending.ended;
	int ret;

	v->run = (struct vcpu_run){ .reason = RUN_EXIT_IO };
	v->run.io.port = ports[what % ARRAY_SIZE(ports)];
	if (v->run.io.port == 0x12)
		v->run.io.port = take(in, 2);
	v->run.io.size = 1 << what / 32 % 3;
	v->run.io.in = what & 128;
	v->run.io.data = take(in, v->run.io.size);

	ret = board_handle(&board, v);
	MUST(ret == board.ending.ended);
	MUST(!ended || ret);
	MUST(vm.nr_stops == board.ending.ended);
	MUST(fake_locks_held() == 0);
	if (v->run.io.in && v->run.io.size < 4)
		MUST(v->run.io.data >> (8 * v->run.io.size) == 0);
	if (board.ending.ended) {
		MUST(board.ending.status >= 0 && board.ending.status <= ENDING_STATUS_MAX);
		MUST(board.ending.why[0]);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const struct board_config config = { .name = "g" };
	struct input in = { data, size };

	if (!vm.ram)
		fake_vm_init(&vm, MIB(2));
	vm.nr_stops = 0;
	vcpu[1].id = 1;
	MUST(!board_init(&board, &vm.vm, &config));
	while (in.left)
		one_access(&in);
	board_destroy(&board);
	check_console();
	board_report(&board);
	fake_console_take();
	return 0;
}
