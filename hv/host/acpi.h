/* SPDX-License-Identifier: GPL-2.0-only */
/* The few ACPI tables a hypervisor needs: MADT (CPUs), FADT (PM timer), HPET. Read-only,
 * checksummed. */
#ifndef HV_HOST_ACPI_H
#define HV_HOST_ACPI_H

#include "hv/host/percpu.h"
#include "hv/host/types.h"

struct acpi_info {
	u32 nr_cpus;	       /* usable CPUs, the boot CPU included */
	u32 apic_id[MAX_CPUS]; /* in table order */
	hpa_t lapic;	       /* physical address of the xAPIC registers */
	u32 pm_timer_port;     /* 0 if there is none in I/O space */
	bool pm_timer_32bit;
	hpa_t hpet; /* 0 if there is none */
	bool present;
	u32 nr_cpus_ignored; /* beyond MAX_CPUS */
};

extern struct acpi_info acpi_info;

/**
 * acpi_parse - fill in @out from the tables
 * @rsdp: physical address of the root pointer
 * @read: maps physical memory: returns a pointer to @len readable bytes at @pa, or NULL
 *
 * No hardware is touched, so it runs on the host against recorded and broken tables. Returns 0,
 * -ENOENT (no valid RSDP or no MADT), -EPROTO (a table that lies about its length or checksum).
 */
int acpi_parse(struct acpi_info *out, hpa_t rsdp, const void *(*read)(hpa_t pa, u64 len));

/**
 * acpi_scan_rsdp - look for a valid root pointer on 16-byte boundaries
 * @base, @len: bytes of physical memory; @read: as above
 *
 * Returns its physical address, or 0.
 */
hpa_t acpi_scan_rsdp(hpa_t base, u64 len, const void *(*read)(hpa_t pa, u64 len));

/**
 * acpi_init - parse what boot_info.rsdp points to
 *
 * Runs on the early page tables, so tables above 4 GiB are out of reach. Without usable tables:
 * acpi_info.present is false, one CPU, LAPIC at 0xfee00000 (and smp_init() looks for CPUs itself).
 */
void acpi_init(void);

#endif
