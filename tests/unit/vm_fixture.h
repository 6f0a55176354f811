/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM of the real hv/vm on the fake machine, for tests of hv/vm. */
#ifndef TESTS_UNIT_VM_FIXTURE_H
#define TESTS_UNIT_VM_FIXTURE_H

#include "hv/vm/vcpu.h"
#include "tests/unit/fake_vmx.h"

#define FIXTURE_RAM MIB(4)

extern struct vm *fixture_vm;

/* The rung and the mode of the vCPUs' local APICs, for tests that are run with several. */
struct fixture_apic {
	const char *name;
	enum vmx_apic_rung rung;
	enum lapic_mode mode;
};

struct CMUnitTest;

#define FIXTURE_APICS 7
extern const struct fixture_apic fixture_apics[FIXTURE_APICS];

/** fixture_start - a new machine and on it a VM with FIXTURE_RAM at 0 and @vcpus vCPUs; the first
 * is loaded on CPU 0. Their local APICs are as after RESET, on the highest rung. */
void fixture_start(unsigned int vcpus);

/** fixture_start_apics - the same with APICs as firmware leaves them, and nothing to look at. */
void fixture_start_apics(unsigned int vcpus, const struct fixture_apic *how);

/**
 * fixture_run_on_each - run a group of tests once with each of fixture_apics[]
 * @tests, @nr: a test's initial state is then its struct fixture_apic
 *
 * Returns how many have failed, as cmocka_run_group_tests().
 */
int fixture_run_on_each(struct CMUnitTest *tests, size_t nr);

/**
 * guest_eoi, guest_ipi - the guest of @vcpu ends an interrupt; sends an IPI
 * @to: the ID of the receiver
 * @icr: the lower half
 *
 * Inside fake_exit.during, or as if it was. In the way of its mode and rung; what that takes an
 * exit for is done at once, as if by its handler.
 */
void guest_eoi(struct vcpu *vcpu);
void guest_ipi(struct vcpu *vcpu, u32 to, u32 icr);

/** fixture_end - destroy all; fails when something is left: memory, vCPUs, locks, exits. */
void fixture_end(void);

/** fixture_load - go to CPU @cpu and load @vcpu there, unloading it wherever it was. */
void fixture_load(struct vcpu *vcpu, u32 cpu);

/** fixture_run_to_end - @vcpu, the loaded one, goes through its loop, and its guest ends. */
void fixture_run_to_end(struct vcpu *vcpu);

/** expect_fault - the queued event of @vcpu is this exception with this error code; take it. */
void expect_fault(struct vcpu *vcpu, u8 vector, u32 error);

/** expect_no_event - nothing is queued. */
void expect_no_event(struct vcpu *vcpu);

/** guest_put, guest_get - one little-endian number of @size bytes in guest memory. */
void guest_put(gpa_t gpa, u64 value, unsigned int size);
u64 guest_get(gpa_t gpa, unsigned int size);

/**
 * fixture_take_page - make a page of the fixture's RAM missing; its contents are put aside
 *
 * fixture_bring_page() brings back the one that was taken last, as a thread that fetches pages
 * would when it is wanted: for fake_machine.on_block.
 */
void fixture_take_page(gpa_t gpa);
void fixture_bring_page(void);

#endif
