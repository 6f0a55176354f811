/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/dev/apicpage.h. */
#include "hv/dev/apicpage.h"
#include "hv/vm/vm.h"

#define APIC_PAGE 0xfee00000ul

/* What a read finds after reset, as far as it is not 0. The ID is the boot CPU's. */
static const struct {
	u16 offset;
	u32 value;
} registers[] = {
	{ 0x030, 0x00050014 }, /* version: integrated, six LVT entries */
	{ 0x0e0, 0xffffffff }, /* destination format: flat */
	{ 0x0f0, 0x000000ff }, /* spurious vector; disabled */
	{ 0x320, 0x00010000 }, /* LVT timer, thermal, counters, LINT0, LINT1, error: masked */
	{ 0x330, 0x00010000 }, { 0x340, 0x00010000 }, { 0x350, 0x00010000 },
	{ 0x360, 0x00010000 }, { 0x370, 0x00010000 },
};

int apicpage_add(struct vm *vm)
{
	int err = vm_add_ram(vm, APIC_PAGE, PAGE_SIZE);

	for (unsigned int i = 0; i < ARRAY_SIZE(registers) && !err; i++)
		err = vm_write(vm, APIC_PAGE + registers[i].offset, &registers[i].value,
			       sizeof(registers[i].value));
	return err;
}
