/* SPDX-License-Identifier: GPL-2.0-only */
/* What is said when a VM entry or a VMCS access fails; and rules broken on purpose to see it said.
 */
#include "hv/host/bootinfo.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/check.h"
#include "vmx/internal.h"

#define MAX_BLAMED 16

static const char *blamed[MAX_BLAMED];
static unsigned int nr_blamed;

void vmcs_access_failed(u64 field, bool write)
{
	panic("%s of %s (%#llx) failed on CPU %u", write ? "VMWRITE" : "VMREAD",
	      vmcs_field_name((u32)field), (unsigned long long)field, this_cpu()->id);
}

/* A field that this CPU does not have reads as 0 here: the dump must not fail half-way. */
static u64 read_field(void *ctx, u32 field)
{
	u64 v = 0;

	__asm__ volatile("vmread %1, %0" : "+r"(v) : "r"((u64)field) : "cc", "memory");
	return v;
}

/* RAM is what the memory map says; only there may the checker follow an address. */
static const void *memory(void *ctx, hpa_t pa, u64 len)
{
	for (unsigned int i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.range[i];

		if (r->type == BOOT_MEM_RAM && pa >= r->base && len <= r->len &&
		    pa - r->base <= r->len - len)
			return phys_to_virt(pa);
	}
	return NULL;
}

static void report(void *arg, const char *rule, const char *field, u64 value)
{
	if (nr_blamed < MAX_BLAMED)
		blamed[nr_blamed++] = field;
	printk("# VM entry: %s: %s = %#llx\n", rule, field, (unsigned long long)value);
}

static void line(void *arg, const char *text)
{
	printk("# %s\n", text);
}

void vmx_report_failure(struct vmx_vcpu *v, bool dump)
{
	const struct vmcs_reader r = { .read = read_field, .mem = memory };
	u32 hw = v->exit.hardware_reason;

	nr_blamed = 0;
	if (hw == ~0u) {
		printk("# VM entry failed: %s (error %u)\n",
		       vm_instruction_error(v->instruction_error), v->instruction_error);
	} else {
		printk("# VM entry failed: %s (qualification %#llx)\n",
		       exit_reason_name(hw & 0xffff), (unsigned long long)v->qualification);
	}
	if (!vmcs_check(&vmx_caps, &r, AREA_ALL, report, NULL))
		printk("# VM entry: no rule that we know of is violated\n");
	if (dump)
		vmcs_dump(&vmx_caps, &r, line, NULL);
}

bool vmx_blamed(const char *field)
{
	for (unsigned int i = 0; i < nr_blamed; i++)
		if (!strcmp(blamed[i], field))
			return true;
	return false;
}

/*
 * One field each, from different areas, that a legal 32-bit or 64-bit guest has otherwise right.
 * Some are only looked at on a rung of APIC virtualization.
 */
static const struct {
	u32 field;
	u64 flip;
} breakage[] = {
	{ GUEST_RFLAGS, RFLAGS_FIXED },
	{ GUEST_CR4, CR4_VMXE },
	{ VMCS_LINK_POINTER, 1 },
	{ GUEST_ACTIVITY_STATE, 7 },
	{ GUEST_INTERRUPTIBILITY_INFO, BIT(31) },
	{ GUEST_TR_AR_BYTES, AR_P },
	{ GUEST_CS_AR_BYTES, AR_P },
	{ HOST_CR4, CR4_PAE },
	{ HOST_TR_SELECTOR, 7 },
	{ CR3_TARGET_COUNT, 0xff },
	{ EPT_POINTER, 7 },
	{ VIRTUAL_APIC_PAGE_ADDR, 1 },
	{ TPR_THRESHOLD, BIT(4) },
};

static u64 unbroken;
static int broken = -1;

static bool is_looked_at(const struct vmx_vcpu *v, u32 field)
{
	switch (field) {
	case VIRTUAL_APIC_PAGE_ADDR: return v->apic_rung >= VMX_APIC_TPR;
	case TPR_THRESHOLD: return v->apic_rung >= VMX_APIC_TPR && !vmx_apic_delivers(v);
	default: return true;
	}
}

const char *vmx_break_state(struct vmx_vcpu *v, unsigned int n)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(breakage); i++) {
		if (!is_looked_at(v, breakage[i].field) || n--)
			continue;
		broken = (int)i;
		unbroken = vmcs_read(breakage[i].field);
		vmcs_write(breakage[i].field, unbroken ^ breakage[i].flip);
		return vmcs_field_name(breakage[i].field);
	}
	return NULL;
}

void vmx_repair_state(struct vmx_vcpu *v)
{
	if (broken >= 0)
		vmcs_write(breakage[broken].field, unbroken);
	broken = -1;
}
