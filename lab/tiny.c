/* SPDX-License-Identifier: GPL-2.0-only */
/* See lab/tiny.h. */
#include "lab/tiny.h"

#define TINY_RAM MIB(2)

int tiny_create(struct tiny *t, struct tiny_code code, u32 ebx)
{
	int err;

	*t = (struct tiny){ NULL, NULL };
	err = vm_create(&t->vm);
	if (err)
		return err;
	err = vm_add_ram(t->vm, 0, TINY_RAM);
	if (!err)
		err = vcpu_create(&t->vcpu, t->vm);
	if (!err)
		err = vm_write(t->vm, TINY_CODE, code.start, (size_t)(code.end - code.start));
	if (err) {
		tiny_destroy(t);
		return err;
	}
	vcpu_set_flat32(t->vcpu, TINY_CODE, 0, ebx);
	return 0;
}

void tiny_destroy(struct tiny *t)
{
	if (t->vm)
		vm_destroy(t->vm);
	*t = (struct tiny){ NULL, NULL };
}
