/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MSR bitmap, one for all vCPUs: which MSRs the guest reads and writes without an exit. Those
 * that live in the VMCS, and those that vmx/lazy.c switches. Everything else exits to the policy
 * table of hv/vm/msr.c.
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

static void allow(u8 *bitmap, u32 msr, bool write)
{
	bool high = msr >= 0xc0000000;
	u32 n = high ? msr - 0xc0000000 : msr;
	u32 base = write ? (high ? BITMAP_WRITE_HIGH : BITMAP_WRITE_LOW)
			 : (high ? BITMAP_READ_HIGH : BITMAP_READ_LOW);

	bitmap[base + n / 8] &= (u8) ~(1u << (n % 8));
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
	return 0;
}
