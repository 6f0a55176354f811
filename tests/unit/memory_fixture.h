/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory with the real slots, backings and second-level tables, for its tests. */
#ifndef TESTS_UNIT_MEMORY_FIXTURE_H
#define TESTS_UNIT_MEMORY_FIXTURE_H

#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define M2   EPT_SIZE_2M
#define K4   EPT_SIZE_4K
#define BASE GIB(4)

extern struct counter mem_faults, mem_spurious, mem_unprotected, mem_retries;

extern struct vm *vm;	       /* with three vCPUs */
extern struct backing *shown;  /* by show() */
extern struct missing missing; /* what fault() has found so */

int setup(void **state);
int teardown(void **state);
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

/** fault, touch - vm_fault(); touch() reads. No lock is held afterwards. */
int fault(gpa_t gpa, unsigned int access);
int touch(gpa_t gpa);

/** mapped - whether hardware finds @gpa, in a leaf of @size, and there what vm_read() finds */
bool mapped(gpa_t gpa, u64 size);

/** look - what is mapped at @gpa; .prot is 0 for nothing */
struct ept_mapping look(gpa_t gpa);

/** change - one change of the slots, which must succeed */
void change(struct slot_change c);

/** show - slot 9 shows @size bytes of a new backing, from its @offset, at @gpa; hide() ends it */
void show(gpa_t gpa, u64 size, u64 offset, u32 flags);
void hide(void);

/** nr_dirty - pages in the dirty log of slot 9 since the last time, up to 1024 pages */
u64 nr_dirty(void);

#endif
