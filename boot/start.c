/* SPDX-License-Identifier: GPL-2.0-only */
/* The first C: turn what the loader left into boot_info, whichever loader it was. */
#include "boot/blob.h"
#include "boot/multiboot2.h"
#include "boot/pvh.h"
#include "boot/trampoline.h"
#include "hv/host/acpi.h"
#include "hv/host/errno.h"
#include "hv/host/init.h"
#include "hv/host/layout.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"

#define EARLY_MAP_SIZE GIB(4) /* what boot/entry.S maps */
#define MB2_INFO_MAX   MIB(1) /* no loader writes more */
#define BDA_EBDA       0x40e  /* real-mode segment of the extended BIOS data area */
#define BIOS_ROM       0xe0000

extern char __image_end[], boot_pml4[];
void boot_main(u32 magic, u32 info, u64 tsc, u32 load_offset);

static const void *early_read(hpa_t pa, u64 len)
{
	if (len > EARLY_MAP_SIZE || pa > EARLY_MAP_SIZE - len)
		return NULL;
	return phys_to_virt(pa);
}

/* BIOS machines whose loader did not say: where the ACPI specification tells to look. */
static hpa_t scan_rsdp(void)
{
	u16 segment;
	hpa_t found;

	memcpy(&segment, phys_to_virt(BDA_EBDA), sizeof(segment));
	found = acpi_scan_rsdp((hpa_t)segment << 4, KIB(1), early_read);
	return found ? found : acpi_scan_rsdp(BIOS_ROM, MIB(1) - BIOS_ROM, early_read);
}

static int parse_multiboot2(u32 info)
{
	const u32 *mbi = phys_to_virt(info);

	if (*mbi > MB2_INFO_MAX || *mbi > EARLY_MAP_SIZE - info)
		return -EPROTO;
	return multiboot2_parse(&boot_info, mbi, *mbi, info);
}

static int parse_pvh(u32 info)
{
	const struct boot_module *m = &boot_info.module[0];
	const void *blob;
	int err = pvh_parse(&boot_info, info, early_read);

	str_copy(boot_info.loader, "PVH loader", sizeof(boot_info.loader));
	if (err || boot_info.nr_modules != 1)
		return err;
	blob = early_read(m->base, m->len);
	err = blob ? blob_unpack(&boot_info, blob, m->len, m->base) : 0;
	return err == -ENOENT ? 0 : err;
}

/**
 * boot_main - called by boot/entry.S on the boot stack and the early page tables
 * @magic: MB2_MAGIC or PVH_MAGIC
 * @info: physical address of what the loader left
 * @tsc: TSC at the first instruction
 * @load_offset: load address minus link address
 */
void boot_main(u32 magic, u32 info, u64 tsc, u32 load_offset)
{
	direct_map_base = DIRECT_MAP; /* in the early tables too */
	boot_info.entry_tsc = tsc;
	boot_info.image_base = (hpa_t)LINK_BASE + load_offset;
	boot_info.image_size = (u64)(uintptr_t)__image_end - KERNEL_VMA - LINK_BASE;
	boot_info.ap.code = trampoline;
	boot_info.ap.size = (u32)(trampoline_end - trampoline);
	boot_info.ap.cr3 = (u64)(uintptr_t)boot_pml4 - KERNEL_VMA + load_offset;
	boot_info.error = magic == PVH_MAGIC ? parse_pvh(info) : parse_multiboot2(info);
	if (!boot_info.rsdp && !boot_info.efi)
		boot_info.rsdp = scan_rsdp();
	host_init();
}
