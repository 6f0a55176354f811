/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions, interrupts and NMIs at awkward moments: while their own stack or tables are not
 * mapped by the hypervisor yet, under single step, in the shadow of STI and MOV SS. Each must
 * arrive exactly once, at the right instruction, with the right error code.
 *
 * Exit status: 0 when every check held, 1 otherwise.
 */
#include "guest/events.h"
#include "guest/rt/check.h"
#include "guest/rt/program.h"
#include "guest/rt/ram.h"
#include "guest/rt/testdev.h"
#include "hv/host/x86.h"

volatile struct arrivals arrivals;
static u64 resume_at;

static bool note_arrival(struct trap_frame *frame)
{
	arrivals.count++;
	arrivals.rip = frame->rip;
	arrivals.rsp = frame->rsp;
	arrivals.error = frame->error;
	arrivals.cr2 = read_cr2();
	if (resume_at)
		frame->rip = resume_at;
	return true;
}

void arrivals_expect(u8 vector, u64 resume)
{
	arrivals.count = 0;
	resume_at = resume;
	trap_handle(vector, note_arrival);
}

void arrivals_end(u8 vector)
{
	trap_handle(vector, NULL);
}

/* Dropped as well, because a hypervisor may have mapped more than was touched. */
u64 take_stack(void)
{
	u8 *pages = ram_take(2 * PAGE_SIZE, PAGE_SIZE);

	testdev_drop_page(pages);
	testdev_drop_page(pages + PAGE_SIZE);
	return (u64)(uintptr_t)pages + 2 * PAGE_SIZE;
}

int guest_main(void)
{
	options_parse("events", NULL, 0);
	check_begin("events");
	events_check_gates();
	events_check_delivery();
	events_check_step();
	events_check_interrupts();
	return check_end();
}
