/* SPDX-License-Identifier: GPL-2.0-only */
/* Asks CPUID and fw_cfg about the machine. */
#include "guest/rt/platform.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define PORT_PIC1_MASK	0x21
#define PORT_PIC2_MASK	0xa1
#define PORT_E9		0xe9
#define FWCFG_SELECT	0x510
#define FWCFG_DATA	0x511
#define FWCFG_SIGNATURE 0x00
#define FWCFG_NB_CPUS	0x05

#define LEAF_HYPERVISOR	   0x40000000
#define LEAF_EXTENDED	   0x80000000
#define LEAF_BRAND	   0x80000002
#define CPUID_1_ECX_X2APIC BIT(21)
#define CPUID_1_ECX_XSAVE  BIT(26)
#define CPUID_1_ECX_GUEST  BIT(31)
#define CPUID_1_EDX_APIC   BIT(9)

struct platform platform;

static void find_brand(void)
{
	struct cpuid_regs r = cpuid(LEAF_EXTENDED, 0);
	char *brand = platform.brand;

	if (r.eax >= LEAF_BRAND + 2) {
		for (u32 i = 0; i < 3; i++) {
			r = cpuid(LEAF_BRAND + i, 0);
			memcpy(brand + i * sizeof(r), &r, sizeof(r));
		}
	}
	while (*brand == ' ') /* Intel pads on the left */
		memmove(brand, brand + 1, sizeof(platform.brand) - 1);
	if (!*brand) {
		r = cpuid(0, 0);
		memcpy(brand, &r.ebx, 4);
		memcpy(brand + 4, &r.edx, 4);
		memcpy(brand + 8, &r.ecx, 4);
	}
}

/* fw_cfg is looked for only where it can be: real hardware may have something else at its ports. */
static u32 count_cpus(void)
{
	static const char signature[4] = "QEMU";
	u32 n;

	if (!platform.hypervised && inb(PORT_E9) != PORT_E9)
		return 1;
	outw(FWCFG_SELECT, FWCFG_SIGNATURE);
	for (unsigned int i = 0; i < sizeof(signature); i++) {
		if (inb(FWCFG_DATA) != (u8)signature[i])
			return 1;
	}
	outw(FWCFG_SELECT, FWCFG_NB_CPUS);
	n = inb(FWCFG_DATA);
	n |= (u32)inb(FWCFG_DATA) << 8;
	return n ? n : 1;
}

void platform_init_cpu(void)
{
	if (platform.has_xsave)
		write_cr4(read_cr4() | CR4_OSXSAVE);
}

void platform_init(void)
{
	struct cpuid_regs r = cpuid(1, 0);

	/* The firmware left the timer's interrupt at vector 8, where #DF is. */
	outb(PORT_PIC1_MASK, 0xff);
	outb(PORT_PIC2_MASK, 0xff);

	platform.has_apic = r.edx & CPUID_1_EDX_APIC;
	platform.has_x2apic = r.ecx & CPUID_1_ECX_X2APIC;
	platform.has_xsave = r.ecx & CPUID_1_ECX_XSAVE;
	platform.hypervised = r.ecx & CPUID_1_ECX_GUEST;
	platform_init_cpu();

	str_copy(platform.hypervisor, "none", sizeof(platform.hypervisor));
	if (platform.hypervised) {
		r = cpuid(LEAF_HYPERVISOR, 0);
		memcpy(platform.hypervisor, &r.ebx, 12);
		platform.hypervisor[12] = '\0';
		platform.tcg = !strcmp(platform.hypervisor, "TCGTCGTCGTCG");
	}
	find_brand();
	platform.nr_cpus = count_cpus();
}
