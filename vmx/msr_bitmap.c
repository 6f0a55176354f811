/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MSR bitmaps, shared by all vCPUs: which MSRs the guest reads and writes without an exit.
 * Those that live in the VMCS, and those that vmx/lazy.c switches. Everything else exits to the
 * policy table of hv/vm/msr.c.
 *
 * There is a second one for vCPUs whose x2APIC mode the CPU virtualizes: its registers are MSRs
 * too.
 */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/internal.h"

#define BITMAP_READ_LOW	  0x000
#define BITMAP_READ_HIGH  0x400
#define BITMAP_WRITE_LOW  0x800
#define BITMAP_WRITE_HIGH 0xc00

#define X2APIC_MSR(offset) (0x800u + (offset) / 16)

static void allow(u8 *bitmap, u32 msr, bool write)
{
	bool high = msr >= 0xc0000000;
	u32 n = high ? msr - 0xc0000000 : msr;
	u32 base = write ? (high ? BITMAP_WRITE_HIGH : BITMAP_WRITE_LOW)
			 : (high ? BITMAP_READ_HIGH : BITMAP_READ_LOW);

	bitmap[base + n / 8] &= (u8) ~(1u << (n % 8));
}

/*
 * The CPU answers RDMSR of any of 0x800..0x8ff with eight bytes of the virtual-APIC page, of those
 * that are no registers too. So only those are direct that exist in x2APIC mode, can be read, and
 * whose value is in the page: not the timer's current count, which is computed; not CMCI, which our
 * APIC does not have.
 *
 * A direct WRMSR other than these three goes to the register of the host's APIC.
 */
static void allow_x2apic(u8 *bitmap)
{
	static const struct {
		u16 first, last; /* offsets in the page */
	} readable[] = {
		{ 0x020, 0x030 }, /* ID, version */
		{ 0x080, 0x080 }, /* TPR */
		{ 0x0a0, 0x0a0 }, /* PPR */
		{ 0x0d0, 0x0d0 }, /* LDR */
		{ 0x0f0, 0x0f0 }, /* spurious vector */
		{ 0x100, 0x280 }, /* ISR, TMR, IRR, ESR */
		{ 0x300, 0x300 }, /* ICR */
		{ 0x320, 0x380 }, /* LVT, the timer's initial count */
		{ 0x3e0, 0x3e0 }, /* the timer's divider */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(readable); i++)
		for (u32 offset = readable[i].first; offset <= readable[i].last; offset += 16)
			allow(bitmap, X2APIC_MSR(offset), false);
	allow(bitmap, X2APIC_MSR(0x080), true); /* TPR */
	allow(bitmap, X2APIC_MSR(0x0b0), true); /* EOI */
	allow(bitmap, X2APIC_MSR(0x3f0), true); /* SELF IPI */
}

static int init_x2apic(const u8 *common)
{
	u8 *bitmap = page_alloc(0, 0);

	if (!bitmap)
		return -ENOMEM;
	memcpy(bitmap, common, PAGE_SIZE);
	allow_x2apic(bitmap);
	vmx_config.msr_bitmap_x2apic = virt_to_phys(bitmap);
	return 0;
}

int vmx_msr_bitmap_init(void)
{
	static const u32 direct[] = {
		MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT,
		MSR_EFER,	 MSR_FS_BASE,	   MSR_GS_BASE,	     MSR_KERNEL_GS_BASE,
		MSR_STAR,	 MSR_LSTAR,	   MSR_CSTAR,	     MSR_SFMASK,
	};
	u8 *bitmap = page_alloc(0, 0);

	if (!bitmap)
		return -ENOMEM;
	memset(bitmap, 0xff, PAGE_SIZE);
	for (unsigned int i = 0; i < ARRAY_SIZE(direct); i++) {
		allow(bitmap, direct[i], false);
		allow(bitmap, direct[i], true);
	}
	if (vmx_config.rdtscp) {
		allow(bitmap, MSR_TSC_AUX, false);
		allow(bitmap, MSR_TSC_AUX, true);
	}
	allow(bitmap, MSR_TSC, false); /* the TSC offset applies */
	vmx_config.msr_bitmap = virt_to_phys(bitmap);
	return vmx_apic_best() >= VMX_APIC_X2APIC ? init_x2apic(bitmap) : 0;
}
