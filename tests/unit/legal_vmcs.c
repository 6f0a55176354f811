/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "tests/unit/legal_vmcs.h"
#include "vmx/controls.h"

#define PAT_RESET 0x0007040600070406ull

u64 *fake_field(struct fake_vmcs *v, u32 field)
{
	for (size_t i = 0; i < NR_VMCS_FIELDS; i++) {
		if (vmcs_field_list[i].field == field)
			return &v->field[i];
	}
	fail_msg("no field %#x", field);
	return NULL;
}

static u64 read_field(void *ctx, u32 field)
{
	struct fake_vmcs *v = ctx;

	if (!vmcs_field_exists(v->caps, field))
		fail_msg("%s was read, which this CPU does not have", vmcs_field_name(field));
	return *fake_field(v, field);
}

static const void *read_mem(void *ctx, hpa_t pa, u64 len)
{
	struct fake_vmcs *v = ctx;

	if (pa < MEM_BASE || pa - MEM_BASE > MEM_SIZE - len)
		return NULL;
	return v->mem + (pa - MEM_BASE);
}

struct vmcs_reader fake_reader(struct fake_vmcs *v, bool with_mem)
{
	return (struct vmcs_reader){ .read = read_field,
				     .ctx = v,
				     .mem = with_mem ? read_mem : NULL };
}

static void set(struct fake_vmcs *v, u32 field, u64 value)
{
	*fake_field(v, field) = value;
}

static void set_control(struct fake_vmcs *v, u32 field, enum vmx_control_word word, u32 want)
{
	u32 value;

	assert_int_equal(vmx_control(v->caps, word, 0, want, &value), 0);
	set(v, field, value);
}

static void controls(struct fake_vmcs *v)
{
	set_control(v, PIN_BASED_VM_EXEC_CONTROL, CTL_PIN,
		    PIN_EXT_INTR | PIN_NMI | PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER);
	set_control(v, CPU_BASED_VM_EXEC_CONTROL, CTL_CPU,
		    CPU_HLT | CPU_IO_BITMAPS | CPU_MSR_BITMAPS | CPU_SECONDARY);
	set_control(v, SECONDARY_VM_EXEC_CONTROL, CTL_CPU2,
		    CPU2_EPT | CPU2_VPID | CPU2_UNRESTRICTED_GUEST);
	set_control(v, VM_EXIT_CONTROLS, CTL_EXIT,
		    EXIT_HOST_64 | EXIT_ACK_INTR | EXIT_SAVE_EFER | EXIT_LOAD_EFER | EXIT_LOAD_PAT |
			    EXIT_SAVE_PREEMPTION_TIMER);
	set_control(v, VM_ENTRY_CONTROLS, CTL_ENTRY,
		    ENTRY_LOAD_EFER | ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG);
	set(v, IO_BITMAP_A, MEM_BASE);
	set(v, IO_BITMAP_B, MEM_BASE + 0x1000);
	set(v, MSR_BITMAP, MEM_BASE + 0x2000);
	set(v, EPT_POINTER, (MEM_BASE + 0x3000) | EPTP_WB | EPTP_WALK_4 | EPTP_AD);
	set(v, VIRTUAL_APIC_PAGE_ADDR, MEM_BASE + 0x4000);
	set(v, APIC_ACCESS_ADDR, MEM_BASE + 0x5000);
	set(v, PML_ADDRESS, MEM_BASE + 0x6000);
	set(v, VE_INFORMATION_ADDRESS, MEM_BASE + 0x6000);
	set(v, VMREAD_BITMAP, MEM_BASE + 0x7000);
	set(v, VMWRITE_BITMAP, MEM_BASE + 0x7000);
	set(v, EPTP_LIST_ADDRESS, MEM_BASE + 0x8000);
	set(v, POSTED_INTR_DESC_ADDR, MEM_BASE + 0x9000);
	set(v, POSTED_INTR_NV, 0xf2);
	set(v, VIRTUAL_PROCESSOR_ID, 1);
	set(v, VMCS_LINK_POINTER, ~0ull);
}

static void host(struct fake_vmcs *v)
{
	static const u32 bases[] = {
		HOST_FS_BASE,	HOST_GS_BASE,		HOST_TR_BASE,
		HOST_GDTR_BASE, HOST_IDTR_BASE,		HOST_RSP,
		HOST_RIP,	HOST_IA32_SYSENTER_ESP, HOST_IA32_SYSENTER_EIP
	};

	set(v, HOST_CR0, CR0_PE | CR0_NE | CR0_WP | CR0_PG | CR0_ET);
	set(v, HOST_CR3, 0x1000);
	set(v, HOST_CR4, CR4_PAE | CR4_VMXE | CR4_PGE);
	set(v, HOST_IA32_EFER, EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
	set(v, HOST_IA32_PAT, PAT_RESET);
	set(v, HOST_CS_SELECTOR, 0x08);
	set(v, HOST_SS_SELECTOR, 0x10);
	set(v, HOST_TR_SELECTOR, 0x18);
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		set(v, bases[i], 0xffffffff80000000ull + i * 0x1000);
}

static void segment(struct fake_vmcs *v, enum vmcs_segment seg, u32 sel, u64 base, u32 limit,
		    u32 ar)
{
	set(v, SEG_FIELD(GUEST_ES_SELECTOR, seg), sel);
	set(v, SEG_FIELD(GUEST_ES_BASE, seg), base);
	set(v, SEG_FIELD(GUEST_ES_LIMIT, seg), limit);
	set(v, SEG_FIELD(GUEST_ES_AR_BYTES, seg), ar);
}

static void segments(struct fake_vmcs *v, enum guest_kind kind)
{
	for (enum vmcs_segment s = SEG_ES; s <= SEG_GS; s++) {
		if (kind == GUEST_REAL)
			segment(v, s, 0x100, 0x1000, 0xffff, 0x93);
		else if (kind == GUEST_V8086)
			segment(v, s, 0x100, 0x1000, 0xffff, 0xf3);
		else if (s == SEG_CS)
			segment(v, s, 0x08, 0, 0xffffffff, kind == GUEST_64 ? 0xa09b : 0xc09b);
		else
			segment(v, s, 0x10, 0, 0xffffffff, 0xc093);
	}
	if (kind == GUEST_REAL)
		set(v, GUEST_CS_AR_BYTES, 0x9b);
	segment(v, SEG_LDTR, 0, 0, 0, AR_UNUSABLE);
	segment(v, SEG_TR, 0x18, 0x2000, 0x67, 0x8b);
}

static void registers(struct fake_vmcs *v, enum guest_kind kind)
{
	bool unrestricted = vmx_can(v->caps, CTL_CPU2, CPU2_UNRESTRICTED_GUEST);
	u64 efer = kind == GUEST_64 ? EFER_LME | EFER_LMA : 0;
	u64 cr0 = CR0_NE | CR0_ET, cr4 = CR4_VMXE;

	if (kind != GUEST_REAL)
		cr0 |= CR0_PE;
	if ((kind != GUEST_REAL && kind != GUEST_FLAT_32) || !unrestricted)
		cr0 |= CR0_PG;
	if (kind == GUEST_64 || kind == GUEST_PAE)
		cr4 |= CR4_PAE;
	if (kind == GUEST_64)
		*fake_field(v, VM_ENTRY_CONTROLS) |= ENTRY_IA32E_GUEST;
	set(v, GUEST_CR0, cr0);
	set(v, GUEST_CR3, MEM_BASE + 0xa000);
	set(v, GUEST_CR4, cr4);
	set(v, GUEST_DR7, 0x400);
	set(v, GUEST_IA32_EFER, efer);
	set(v, GUEST_IA32_PAT, PAT_RESET);
	set(v, GUEST_GDTR_LIMIT, 0xffff);
	set(v, GUEST_IDTR_LIMIT, 0xffff);
	set(v, GUEST_RIP, kind == GUEST_64 ? 0xffffffff81000000ull : 0x7c00);
	set(v, GUEST_RSP, 0x7000);
	set(v, GUEST_RFLAGS, RFLAGS_FIXED | (kind == GUEST_V8086 ? RFLAGS_VM : 0));
	for (unsigned int i = 0; i < 4; i++)
		set(v, GUEST_PDPTR0 + 2 * i, 0x5001 + 0x1000 * i);
}

void legal_vmcs(struct fake_vmcs *v, const struct vmx_caps *caps, enum guest_kind kind)
{
	memset(v, 0, sizeof(*v));
	v->caps = caps;
	controls(v);
	host(v);
	segments(v, kind);
	registers(v, kind);
}
