/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of slots share: a VM, change lists that are checked, translations, both sets. */
#ifndef TESTS_UNIT_SLOTS_FIXTURE_H
#define TESTS_UNIT_SLOTS_FIXTURE_H

#include "hv/vm/slots_internal.h"
#include "tests/unit/vm_fixture.h"

#define K4   EPT_SIZE_4K
#define M2   EPT_SIZE_2M
#define BASE GIB(1)
#define WAYS 3

extern struct vm *vm;		    /* the fixture's, with slot 0 and two vCPUs */
extern struct backing *mem, *other; /* of 16 MiB and 4 MiB */
extern struct slot_report report;   /* of the last change */

int slots_setup(void **state);
int slots_teardown(void **state);

/* vm_change_slots(), and what has to be so afterwards whatever it returns. */
int change_list(const struct slot_change *list, unsigned int n, enum slot_way way);
int change(struct slot_change c, enum slot_way way);

/* Items: a slot that shows `mem` from its start, and the end of one. */
struct slot_change create(u32 id, gpa_t base, u64 size);
struct slot_change drop(u32 id);

/* Translations: is there one, how many pages of a range have one; make one by a fault. */
bool mapped(gpa_t gpa);
u64 nr_mapped(gpa_t gpa, u64 len);
void touch(gpa_t gpa, unsigned int access);
void touch_all(gpa_t gpa, u64 len);

/* Both sets hold the same slots, in order, found by address and by id. */
void check_sets(void);
void expect_slot(u32 id, gpa_t base, u64 size, u64 offset);

/* vCPU 1 goes into the guest, to leave it when it is kicked. */
void vcpu_enters(void);

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, slots_setup, slots_teardown)

#endif
