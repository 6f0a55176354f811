/* SPDX-License-Identifier: GPL-2.0-only */
/* linux/vmm/run.c on a kernel that does as it is told: what KVM_RUN returns with, and kicks. */
/* link: linux/vmm/run.c */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "linux/vmm/internal.h"

#define FAKE_RUN_SIZE 8192
#define DATA_OFFSET   4096

static struct kvm_vm vm;
static struct kvm_vcpu k;
static union {
	struct kvm_run run;
	u8 bytes[FAKE_RUN_SIZE];
} page;
static unsigned int nr_runs;
static int (*next_run)(void); /* a negative errno, or 0 with page.run filled in */

int ioctl(int fd, unsigned long request, ...)
{
	int err;

	assert_int_equal(request, KVM_RUN);
	nr_runs++;
	err = page.run.immediate_exit ? -EINTR : next_run();
	if (!err)
		return 0;
	errno = -err;
	return -1;
}

/* --- what run.c is linked with elsewhere ------------------------------------------------------ */

_Atomic u64 vm_first_guest_tick;
u32 nr_cpus;

struct cpu *this_cpu(void)
{
	return NULL;
}

u64 ticks_now(void)
{
	return 1;
}

int thread_tid(void)
{
	return 0; /* nobody is sent a signal */
}

u64 vcpu_rip(struct vcpu *vcpu)
{
	return 0x1234;
}

int vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg)
{
	assert_int_equal(request, KVM_SET_SIGNAL_MASK);
	return 0;
}

void panic(const char *fmt, ...)
{
	abort();
}

/* --- the tests -------------------------------------------------------------------------------- */

static int setup(void **state)
{
	memset(&vm, 0, sizeof(vm));
	memset(&k, 0, sizeof(k));
	memset(&page, 0, sizeof(page));
	k.vcpu.vm = &vm.vm;
	k.kvm_run = &page.run;
	k.tid = 1;
	nr_runs = 0;
	return 0;
}

static int run_io(u16 port, u8 direction, u8 size, u32 count)
{
	page.run.exit_reason = KVM_EXIT_IO;
	page.run.io.port = port;
	page.run.io.direction = direction;
	page.run.io.size = size;
	page.run.io.count = count;
	page.run.io.data_offset = DATA_OFFSET;
	return 0;
}

static int string_out(void)
{
	memcpy(page.bytes + DATA_OFFSET, "\x11\x22\x33\x44\x55\x66", 6);
	return run_io(0x80, KVM_EXIT_IO_OUT, 2, 3);
}

static void an_outs_comes_element_by_element(void **state)
{
	static const u32 due[] = { 0x2211, 0x4433, 0x6655 };

	next_run = string_out;
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(due); i++) {
			assert_int_equal(vcpu_run(&k.vcpu), 0);
			assert_int_equal(k.vcpu.run.reason, RUN_EXIT_IO);
			assert_int_equal(k.vcpu.run.io.data, due[i]);
			assert_false(k.vcpu.run.io.in);
		}
		assert_int_equal(nr_runs, round + 1);
	}
}

static int string_in(void)
{
	return run_io(0x42, KVM_EXIT_IO_IN, 1, 2);
}

static int halt(void)
{
	page.run.exit_reason = KVM_EXIT_HLT;
	return 0;
}

static void an_ins_is_completed_before_the_next_run(void **state)
{
	next_run = string_in;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_true(k.vcpu.run.io.in);
	k.vcpu.run.io.data = 0xaa;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	k.vcpu.run.io.data = 0xbb;
	next_run = halt;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_int_equal(k.vcpu.run.reason, RUN_EXIT_HLT);
	assert_memory_equal(page.bytes + DATA_OFFSET, "\xaa\xbb", 2);
	assert_int_equal(nr_runs, 2);
}

static int kicked_in_the_guest(void)
{
	vcpu_request(&k.vcpu, REQ_EXIT);
	return -EINTR;
}

static void a_request_is_answered_once(void **state)
{
	/* Before the run: the guest is not entered. */
	next_run = halt;
	vcpu_request(&k.vcpu, REQ_EXIT);
	vcpu_request(&k.vcpu, REQ_EXIT);
	assert_int_equal(vcpu_run(&k.vcpu), -EINTR);
	assert_int_equal(nr_runs, 0);
	assert_int_equal(vcpu_run(&k.vcpu), 0);

	next_run = kicked_in_the_guest;
	assert_int_equal(vcpu_run(&k.vcpu), -EINTR);
	next_run = halt;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_false(page.run.immediate_exit);
}

static int signal_for_others(void)
{
	next_run = halt;
	return -EINTR;
}

static void a_signal_without_request_is_not_told(void **state)
{
	next_run = signal_for_others;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_int_equal(k.vcpu.run.reason, RUN_EXIT_HLT);
	assert_int_equal(nr_runs, 2);
}

static void a_stopped_vm_does_not_run(void **state)
{
	next_run = halt;
	atomic_store(&vm.vm.stopped, true);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vcpu_run(&k.vcpu), -EINTR);
	assert_int_equal(nr_runs, 0);
}

static int missing(void)
{
	const struct kvm_run_memory_fault fault = { .flags = 2, .gpa = 0x5000, .size = 4096 };

	page.run.exit_reason = KVM_EXIT_MEMORY_FAULT;
	memcpy(&page.run.hw, &fault, sizeof(fault));
	return -EFAULT;
}

static int bad_address(void)
{
	page.run.exit_reason = KVM_EXIT_UNKNOWN;
	return -EFAULT;
}

static int bad_address_in_a_drop(void)
{
	atomic_fetch_add(&vm.drops, 2);
	next_run = halt;
	return bad_address();
}

static void a_bad_address_is_a_missing_page_only_when_said(void **state)
{
	next_run = missing;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_int_equal(k.vcpu.run.reason, RUN_EXIT_MEMORY_FAULT);
	assert_int_equal(k.vcpu.run.memory_fault.flags, FAULT_WRITE);
	assert_int_equal(k.vcpu.run.memory_fault.gpa, 0x5000);
	assert_int_equal(k.vcpu.run.memory_fault.size, 4096);

	next_run = bad_address;
	assert_int_equal(vcpu_run(&k.vcpu), -EFAULT);

	next_run = bad_address_in_a_drop;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_int_equal(k.vcpu.run.reason, RUN_EXIT_HLT);
	next_run = bad_address;
	assert_int_equal(vcpu_run(&k.vcpu), -EFAULT);
}

static int internal_error(void)
{
	page.run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
	page.run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	return 0;
}

static int unheard_of(void)
{
	page.run.exit_reason = 9999;
	return 0;
}

static void what_nobody_knows_is_an_error(void **state)
{
	next_run = internal_error;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_int_equal(k.vcpu.run.reason, RUN_EXIT_ERROR);
	assert_non_null(strstr(k.vcpu.run.error.what, "emulate"));
	assert_int_equal(k.vcpu.run.error.rip, 0x1234);

	next_run = unheard_of;
	assert_int_equal(vcpu_run(&k.vcpu), 0);
	assert_int_equal(k.vcpu.run.reason, RUN_EXIT_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_outs_comes_element_by_element, setup),
		cmocka_unit_test_setup(an_ins_is_completed_before_the_next_run, setup),
		cmocka_unit_test_setup(a_request_is_answered_once, setup),
		cmocka_unit_test_setup(a_signal_without_request_is_not_told, setup),
		cmocka_unit_test_setup(a_stopped_vm_does_not_run, setup),
		cmocka_unit_test_setup(a_bad_address_is_a_missing_page_only_when_said, setup),
		cmocka_unit_test_setup(what_nobody_knows_is_an_error, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
