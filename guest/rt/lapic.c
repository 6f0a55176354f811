/* SPDX-License-Identifier: GPL-2.0-only */
/* Access to the guest's local APIC. */
#include "guest/rt/lapic.h"
#include "guest/rt/platform.h"
#include "hv/host/errno.h"
#include "hv/host/x86.h"

#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_EN   BIT(11)
#define MSR_X2APIC_ICR 0x830
#define ICR_DEST_SHIFT 24

static volatile u32 *reg_address(u32 reg)
{
	return (volatile u32 *)(uintptr_t)(LAPIC_BASE + reg);
}

int lapic_init(void)
{
	u64 base;

	if (!platform.has_apic)
		return -ENODEV;
	if (!platform.has_x2apic)
		return 0;
	if (rdmsr_safe(MSR_APIC_BASE, &base))
		return -EACCES;
	if (base & APIC_BASE_EXTD)
		return 0;
	return wrmsr_safe(MSR_APIC_BASE, base | APIC_BASE_EN | APIC_BASE_EXTD) ? -EACCES : 0;
}

int lapic_read(u32 reg, u32 *value)
{
	u64 v;

	if (!platform.has_x2apic) {
		*value = *reg_address(reg);
		return 0;
	}
	if (rdmsr_safe(MSR_X2APIC + (reg >> 4), &v))
		return -EFAULT;
	*value = (u32)v;
	return 0;
}

int lapic_write(u32 reg, u32 value)
{
	if (platform.has_x2apic)
		return wrmsr_safe(MSR_X2APIC + (reg >> 4), value);
	*reg_address(reg) = value;
	return 0;
}

u32 lapic_id(void)
{
	u32 id;

	if (lapic_read(LAPIC_ID, &id))
		return 0;
	return platform.has_x2apic ? id : id >> ICR_DEST_SHIFT;
}

int lapic_send(u32 dest, u32 command)
{
	if (platform.has_x2apic)
		return wrmsr_safe(MSR_X2APIC_ICR, (u64)dest << 32 | command);
	while (*reg_address(LAPIC_ICR) & ICR_PENDING)
		cpu_relax();
	*reg_address(LAPIC_ICR + 0x10) = dest << ICR_DEST_SHIFT;
	*reg_address(LAPIC_ICR) = command;
	return 0;
}
