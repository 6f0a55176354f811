/* SPDX-License-Identifier: GPL-2.0-only */
/* The host-state area: what a VM exit loads on this CPU. Read from the CPU itself. */
#include "hv/host/paging.h"
#include "hv/host/x86.h"
#include "vmx/internal.h"

struct table_register {
	u16 limit;
	u64 base;
} __packed;

_Static_assert(sizeof(struct table_register) == 10, "SGDT and SIDT store 10 bytes in 64-bit mode");

#define DEFINE_SELECTOR(seg)                                                                       \
	static u16 read_##seg(void)                                                                \
	{                                                                                          \
		u16 v;                                                                             \
		__asm__ volatile("mov %%" #seg ", %0" : "=r"(v));                                  \
		return v;                                                                          \
	}
DEFINE_SELECTOR(cs)
DEFINE_SELECTOR(ss)

/* The base in a 16-byte TSS descriptor. */
static u64 tss_base(const struct table_register *gdt, u16 tr)
{
	const u32 *d = (const u32 *)(uintptr_t)(gdt->base + (tr & ~7u));

	return (u64)d[2] << 32 | (d[1] & 0xff000000u) | (d[1] & 0xffu) << 16 | d[0] >> 16;
}

void vmx_load_host_state(void)
{
	struct table_register gdt, idt;
	u16 tr;

	__asm__ volatile("sgdt %0" : "=m"(gdt));
	__asm__ volatile("sidt %0" : "=m"(idt));
	__asm__ volatile("str %0" : "=r"(tr));
	/* RPL and TI must be 0; a null DS, ES, FS, GS is what 64-bit code runs with anyway. */
	vmcs_write(HOST_CS_SELECTOR, read_cs());
	vmcs_write(HOST_SS_SELECTOR, read_ss());
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, tr);
	vmcs_write(HOST_FS_BASE, rdmsr(MSR_FS_BASE));
	vmcs_write(HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmcs_write(HOST_TR_BASE, tss_base(&gdt, tr));
	vmcs_write(HOST_GDTR_BASE, gdt.base);
	vmcs_write(HOST_IDTR_BASE, idt.base);
	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_CR3, paging_root());
	vmcs_write(HOST_CR4, read_cr4());
	vmcs_write(HOST_IA32_PAT, rdmsr(MSR_PAT));
	vmcs_write(HOST_IA32_EFER, rdmsr(MSR_EFER));
	vmcs_write(HOST_IA32_SYSENTER_CS, 0);
	vmcs_write(HOST_IA32_SYSENTER_ESP, 0);
	vmcs_write(HOST_IA32_SYSENTER_EIP, 0);
	vmcs_write(HOST_RIP, (u64)(uintptr_t)vmx_exit);
}
