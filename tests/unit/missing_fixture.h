/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of memory-fault exits share: a VM of which pages go and come, in both ways of
 * being told, and what has to be so at every exit.
 */
#ifndef TESTS_UNIT_MISSING_FIXTURE_H
#define TESTS_UNIT_MISSING_FIXTURE_H

#include "hv/vm/internal.h"
#include "hv/vm/userfault.h"
#include "tests/unit/vm_fixture.h"

#define R    FAULT_READ
#define W    FAULT_WRITE
#define X    FAULT_FETCH
#define K4   PAGE_SIZE
#define RIP  0x1000
#define PAGE 0x200000 /* one that is taken */

/* How the VM's slot 0 tells of missing pages; the tests are run with each. */
enum missing_way { EXITS, BITMAP };
extern enum missing_way way;

extern struct vm *vm; /* the fixture's, with two vCPUs and xAPICs that are emulated */
extern struct vcpu *vcpu;
extern struct fake_vcpu *f;
extern u64 *gpr;
extern struct backing *ram; /* of slot 0 */
extern struct userfault *u; /* its bitmap */

int missing_setup(void **state);
int missing_teardown(void **state);

/** tell - slot 0 tells of missing pages, from now on. Done by missing_setup(). */
void tell(void);

/** take, bring - the page at @gpa goes, its contents are put aside; it comes back with them. */
void take(gpa_t gpa);
void bring(gpa_t gpa);

/** aside - the contents of the page that was taken first of those that are away. */
const u8 *aside(void);

bool mapped(gpa_t gpa);

/** guest_touches - the guest's next exit: an access to @gpa. Remembers the state before. */
struct fake_exit *guest_touches(gpa_t gpa, unsigned int access);

/** remember - the vCPU is as it is to be after the exit: for fake_exit.during. */
void remember(struct vcpu *v);
void expect_unchanged(void);

/** expect_exit - vcpu_run() tells of this page and this access. */
void expect_exit(gpa_t gpa, unsigned int access);

/** expect_again - the same several times, without the guest having run. */
void expect_again(gpa_t gpa, unsigned int access);

/** resolve - all of that; then the page is brought. */
void resolve(gpa_t gpa, unsigned int access);

void run_to_end(void);
void run_expecting(u32 reason);

/** expect_stopped - vcpu_run() returns -EINTR, and says nothing of a fault. */
void expect_stopped(void);

/** missing_run_group - a group of tests in both ways. Returns how many have failed. */
struct CMUnitTest;
int missing_run_group(const struct CMUnitTest *tests, size_t nr);

#define TEST(t) cmocka_unit_test_setup_teardown(t, missing_setup, missing_teardown)

#endif
