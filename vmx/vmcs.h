/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMX instructions. Every one is checked: VMfail on an access to the current VMCS means that
 * our own bookkeeping is wrong, so it ends in vmcs_access_failed() with the field's name. The check
 * is one conditional jump to a common stub (vmx/entry.S), to which RAX tells the field.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include "hv/host/types.h"
#include "vmx/controls.h"
#include "vmx/vmcs_fields.h"

_Noreturn void vmcs_access_failed(u64 field, bool write);

static __always_inline u64 vmcs_read(enum vmcs_field field)
{
	u64 v;

	__asm__ volatile(
		"vmread %[f], %[v]\n\t"
		"jbe vmcs_read_failed"
		: [v] "=r"(v)
		: [f] "a"((u64)field)
		: "memory", "cc");
	return v;
}

static __always_inline void vmcs_write(enum vmcs_field field, u64 v)
{
	__asm__ volatile(
		"vmwrite %[v], %[f]\n\t"
		"jbe vmcs_write_failed" ::[v] "r"(v),
		[f] "a"((u64)field)
		: "memory", "cc");
}

/* These take the physical address of a VMCS or VMXON region; false on VMfail. */
static inline bool vmclear(hpa_t pa)
{
	bool ok;

	__asm__ volatile("vmclear %1" : "=@cca"(ok) : "m"(pa) : "memory");
	return ok;
}

static inline bool vmptrld(hpa_t pa)
{
	bool ok;

	__asm__ volatile("vmptrld %1" : "=@cca"(ok) : "m"(pa) : "memory");
	return ok;
}

static inline bool vmxon(hpa_t pa)
{
	bool ok;

	__asm__ volatile("vmxon %1" : "=@cca"(ok) : "m"(pa) : "memory");
	return ok;
}

static inline void vmxoff(void)
{
	__asm__ volatile("vmxoff" ::: "memory", "cc");
}

struct inv_descriptor {
	u64 a, b;
};

_Static_assert(sizeof(struct inv_descriptor) == 16, "INVEPT and INVVPID descriptors are 128 bits");

enum invept_type { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };
enum invvpid_type { INVVPID_SINGLE = 1, INVVPID_ALL = 2 };

static inline bool invept(enum invept_type type, hpa_t eptp)
{
	struct inv_descriptor d = { eptp, 0 };
	bool ok;

	__asm__ volatile("invept %2, %1" : "=@cca"(ok) : "r"((u64)type), "m"(d) : "memory");
	return ok;
}

static inline bool invvpid(enum invvpid_type type, u16 vpid)
{
	struct inv_descriptor d = { vpid, 0 };
	bool ok;

	__asm__ volatile("invvpid %2, %1" : "=@cca"(ok) : "r"((u64)type), "m"(d) : "memory");
	return ok;
}

#endif
