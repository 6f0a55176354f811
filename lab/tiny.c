/* SPDX-License-Identifier: GPL-2.0-only */
/* See lab/tiny.h. */
#include "lab/tiny.h"

#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"

#define TABLE	 16 /* a table is this far behind its pseudo-descriptor */
#define CODE_SEG 0x08

extern const u8 tiny_stubs_start[], tiny_stubs_end[]; /* lab/tiny_code.S */

static int create_vm(struct tiny *t, struct tiny_code code)
{
	int err;

	*t = (struct tiny){ NULL, NULL };
	err = vm_create(&t->vm);
	if (err)
		return err;
	err = vm_add_ram(t->vm, 0, TINY_RAM);
	if (!err)
		err = vm_write(t->vm, TINY_CODE, code.start, (size_t)(code.end - code.start));
	return err;
}

int tiny_create(struct tiny *t, struct tiny_code code, u32 ebx)
{
	int err = create_vm(t, code);

	if (!err)
		err = vcpu_create(&t->vcpu, t->vm);
	if (err) {
		tiny_destroy(t);
		return err;
	}
	vcpu_set_flat32(t->vcpu, TINY_CODE, 0, ebx);
	return 0;
}

/* --- several vCPUs, with interrupts ----------------------------------------------------------- */

struct pseudo_descriptor {
	u16 limit;
	u32 base;
} __packed;

static int write_table(struct vm *vm, gpa_t gpa, const void *table, u16 size)
{
	struct pseudo_descriptor d = { (u16)(size - 1), (u32)gpa + TABLE };
	int err = vm_write(vm, gpa, &d, sizeof(d));

	return err ? err : vm_write(vm, gpa + TABLE, table, size);
}

/* Flat segments of 4 GiB: code and data. */
static int write_gdt(struct vm *vm)
{
	static const u64 gdt[] = { 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull };

	return write_table(vm, TINY_GDT, gdt, sizeof(gdt));
}

/* An interrupt gate: interrupts are disabled in the handler. */
static u64 gate(u32 handler)
{
	return (u64)(handler & 0xffff0000) << 32 | 0x8e00ull << 32 | CODE_SEG << 16 |
	       (handler & 0xffff);
}

static int write_idt(struct vm *vm)
{
	u64 idt[TINY_VECTOR + TINY_NR_VECTORS] = { 0 };
	u32 handler = TINY_STUBS;

	for (u32 n = 0; n < TINY_NR_VECTORS; n++, handler += 16)
		idt[TINY_VECTOR + n] = gate(handler);
	idt[EXC_NMI] = gate(handler);
	return write_table(vm, TINY_IDT, idt, sizeof(idt));
}

static int write_tables(struct vm *vm)
{
	int err = write_gdt(vm);

	if (!err)
		err = write_idt(vm);
	return err ? err
		   : vm_write(vm, TINY_STUBS, tiny_stubs_start,
			      (size_t)(tiny_stubs_end - tiny_stubs_start));
}

int tiny_add(struct tiny *t)
{
	u32 i = vm_nr_vcpus(t->vm);
	const struct tiny_box box = { .base = TINY_FREE + 64 * i,
				      .stride = (u32)PAGE_SIZE,
				      .count = 1 };
	struct vcpu *v;
	int err = vcpu_create(&v, t->vm);

	if (err)
		return err;
	if (!i)
		t->vcpu = v;
	vcpu_set_mp_state(v, MP_RUNNABLE);
	vcpu_set_flat32(v, TINY_CODE, 0, (u32)tiny_box_gpa(i));
	err = lapic_start(v, LAPIC_X2APIC);
	if (err)
		return err;
	return vm_write(t->vm, tiny_box_gpa(i), &box, sizeof(box));
}

int tiny_create_many(struct tiny *t, struct tiny_code code, u32 nr)
{
	int err = create_vm(t, code);

	if (!err)
		err = write_tables(t->vm);
	for (u32 i = 0; i < nr && !err; i++)
		err = tiny_add(t);
	if (err)
		tiny_destroy(t);
	return err;
}

void tiny_get_box(struct tiny *t, u32 i, struct tiny_box *box)
{
	BUG_ON(vm_read(t->vm, tiny_box_gpa(i), box, sizeof(*box)));
}

void tiny_set_word(struct tiny *t, u32 i, u32 offset, u32 value)
{
	BUG_ON(vm_write(t->vm, tiny_box_gpa(i) + offset, &value, sizeof(value)));
}

void tiny_destroy(struct tiny *t)
{
	if (t->vm)
		vm_destroy(t->vm);
	*t = (struct tiny){ NULL, NULL };
}
