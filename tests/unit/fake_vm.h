/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest for host tests: hv/vm's memory functions over a byte array that notices strays. */
#ifndef TESTS_UNIT_FAKE_VM_H
#define TESTS_UNIT_FAKE_VM_H

#include "hv/vm/vm.h"

struct fake_vm {
	struct vm vm;
	u8 *ram; /* exactly ram_size bytes: the sanitizer sees what lies beyond */
	u64 ram_size;
	u64 fail_writes_from; /* vm_write() and vm_fill() at or above it give -ENOMEM */
	gpa_t added;	      /* base of the last slot added by vm_add_ram() */
	u64 added_size;
	int add_result;	 /* of vm_add_ram() */
	gpa_t dropped;	 /* the last page given to vm_drop_page() */
	int drop_result; /* of vm_drop_page() inside RAM */
	unsigned int nr_dropped;
	unsigned int nr_stops; /* calls of vm_stop() */
};

/** fake_vm_init - @ram_size bytes, each holding 0xa5, so that a test sees what was left alone. */
void fake_vm_init(struct fake_vm *f, u64 ram_size);
void fake_vm_destroy(struct fake_vm *f);

#define FAKE_VM_UNTOUCHED 0xa5

#endif
