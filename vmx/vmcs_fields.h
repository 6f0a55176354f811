/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every VMCS field we read, write or print: X(name, encoding). The names are Linux' (asm/vmx.h),
 * the encodings those of the SDM's appendix on VMCS field encodings. The one list serves the enum,
 * the dump and the entry checks. Some fields exist only on CPUs that have the control they belong
 * to: ask vmcs_field_exists() before touching one whose control is not known to be there.
 */
#ifndef VMX_VMCS_FIELDS_H
#define VMX_VMCS_FIELDS_H

#include "hv/host/types.h"

/* 16-bit */
#define VMCS_FIELDS_16(X)                                                                          \
	X(VIRTUAL_PROCESSOR_ID, 0x0000)                                                            \
	X(POSTED_INTR_NV, 0x0002)                                                                  \
	X(EPTP_INDEX, 0x0004)                                                                      \
	X(GUEST_ES_SELECTOR, 0x0800)                                                               \
	X(GUEST_CS_SELECTOR, 0x0802)                                                               \
	X(GUEST_SS_SELECTOR, 0x0804)                                                               \
	X(GUEST_DS_SELECTOR, 0x0806)                                                               \
	X(GUEST_FS_SELECTOR, 0x0808)                                                               \
	X(GUEST_GS_SELECTOR, 0x080a)                                                               \
	X(GUEST_LDTR_SELECTOR, 0x080c)                                                             \
	X(GUEST_TR_SELECTOR, 0x080e)                                                               \
	X(GUEST_INTR_STATUS, 0x0810)                                                               \
	X(GUEST_PML_INDEX, 0x0812)                                                                 \
	X(HOST_ES_SELECTOR, 0x0c00)                                                                \
	X(HOST_CS_SELECTOR, 0x0c02)                                                                \
	X(HOST_SS_SELECTOR, 0x0c04)                                                                \
	X(HOST_DS_SELECTOR, 0x0c06)                                                                \
	X(HOST_FS_SELECTOR, 0x0c08)                                                                \
	X(HOST_GS_SELECTOR, 0x0c0a)                                                                \
	X(HOST_TR_SELECTOR, 0x0c0c)

/* 64-bit (the encodings of the low halves) */
#define VMCS_FIELDS_64(X)                                                                          \
	X(IO_BITMAP_A, 0x2000)                                                                     \
	X(IO_BITMAP_B, 0x2002)                                                                     \
	X(MSR_BITMAP, 0x2004)                                                                      \
	X(VM_EXIT_MSR_STORE_ADDR, 0x2006)                                                          \
	X(VM_EXIT_MSR_LOAD_ADDR, 0x2008)                                                           \
	X(VM_ENTRY_MSR_LOAD_ADDR, 0x200a)                                                          \
	X(PML_ADDRESS, 0x200e)                                                                     \
	X(TSC_OFFSET, 0x2010)                                                                      \
	X(VIRTUAL_APIC_PAGE_ADDR, 0x2012)                                                          \
	X(APIC_ACCESS_ADDR, 0x2014)                                                                \
	X(POSTED_INTR_DESC_ADDR, 0x2016)                                                           \
	X(VM_FUNCTION_CONTROL, 0x2018)                                                             \
	X(EPT_POINTER, 0x201a)                                                                     \
	X(EOI_EXIT_BITMAP0, 0x201c)                                                                \
	X(EOI_EXIT_BITMAP1, 0x201e)                                                                \
	X(EOI_EXIT_BITMAP2, 0x2020)                                                                \
	X(EOI_EXIT_BITMAP3, 0x2022)                                                                \
	X(EPTP_LIST_ADDRESS, 0x2024)                                                               \
	X(VMREAD_BITMAP, 0x2026)                                                                   \
	X(VMWRITE_BITMAP, 0x2028)                                                                  \
	X(VE_INFORMATION_ADDRESS, 0x202a)                                                          \
	X(XSS_EXIT_BITMAP, 0x202c)                                                                 \
	X(TSC_MULTIPLIER, 0x2032)                                                                  \
	X(GUEST_PHYSICAL_ADDRESS, 0x2400)                                                          \
	X(VMCS_LINK_POINTER, 0x2800)                                                               \
	X(GUEST_IA32_DEBUGCTL, 0x2802)                                                             \
	X(GUEST_IA32_PAT, 0x2804)                                                                  \
	X(GUEST_IA32_EFER, 0x2806)                                                                 \
	X(GUEST_IA32_PERF_GLOBAL_CTRL, 0x2808)                                                     \
	X(GUEST_PDPTR0, 0x280a)                                                                    \
	X(GUEST_PDPTR1, 0x280c)                                                                    \
	X(GUEST_PDPTR2, 0x280e)                                                                    \
	X(GUEST_PDPTR3, 0x2810)                                                                    \
	X(HOST_IA32_PAT, 0x2c00)                                                                   \
	X(HOST_IA32_EFER, 0x2c02)                                                                  \
	X(HOST_IA32_PERF_GLOBAL_CTRL, 0x2c04)

/* 32-bit */
#define VMCS_FIELDS_32(X)                                                                          \
	X(PIN_BASED_VM_EXEC_CONTROL, 0x4000)                                                       \
	X(CPU_BASED_VM_EXEC_CONTROL, 0x4002)                                                       \
	X(EXCEPTION_BITMAP, 0x4004)                                                                \
	X(PAGE_FAULT_ERROR_CODE_MASK, 0x4006)                                                      \
	X(PAGE_FAULT_ERROR_CODE_MATCH, 0x4008)                                                     \
	X(CR3_TARGET_COUNT, 0x400a)                                                                \
	X(VM_EXIT_CONTROLS, 0x400c)                                                                \
	X(VM_EXIT_MSR_STORE_COUNT, 0x400e)                                                         \
	X(VM_EXIT_MSR_LOAD_COUNT, 0x4010)                                                          \
	X(VM_ENTRY_CONTROLS, 0x4012)                                                               \
	X(VM_ENTRY_MSR_LOAD_COUNT, 0x4014)                                                         \
	X(VM_ENTRY_INTR_INFO, 0x4016)                                                              \
	X(VM_ENTRY_EXCEPTION_ERROR_CODE, 0x4018)                                                   \
	X(VM_ENTRY_INSTRUCTION_LEN, 0x401a)                                                        \
	X(TPR_THRESHOLD, 0x401c)                                                                   \
	X(SECONDARY_VM_EXEC_CONTROL, 0x401e)                                                       \
	X(PLE_GAP, 0x4020)                                                                         \
	X(PLE_WINDOW, 0x4022)                                                                      \
	X(VM_INSTRUCTION_ERROR, 0x4400)                                                            \
	X(VM_EXIT_REASON, 0x4402)                                                                  \
	X(VM_EXIT_INTR_INFO, 0x4404)                                                               \
	X(VM_EXIT_INTR_ERROR_CODE, 0x4406)                                                         \
	X(IDT_VECTORING_INFO, 0x4408)                                                              \
	X(IDT_VECTORING_ERROR_CODE, 0x440a)                                                        \
	X(VM_EXIT_INSTRUCTION_LEN, 0x440c)                                                         \
	X(VM_EXIT_INSTRUCTION_INFO, 0x440e)                                                        \
	X(GUEST_ES_LIMIT, 0x4800)                                                                  \
	X(GUEST_CS_LIMIT, 0x4802)                                                                  \
	X(GUEST_SS_LIMIT, 0x4804)                                                                  \
	X(GUEST_DS_LIMIT, 0x4806)                                                                  \
	X(GUEST_FS_LIMIT, 0x4808)                                                                  \
	X(GUEST_GS_LIMIT, 0x480a)                                                                  \
	X(GUEST_LDTR_LIMIT, 0x480c)                                                                \
	X(GUEST_TR_LIMIT, 0x480e)                                                                  \
	X(GUEST_GDTR_LIMIT, 0x4810)                                                                \
	X(GUEST_IDTR_LIMIT, 0x4812)                                                                \
	X(GUEST_ES_AR_BYTES, 0x4814)                                                               \
	X(GUEST_CS_AR_BYTES, 0x4816)                                                               \
	X(GUEST_SS_AR_BYTES, 0x4818)                                                               \
	X(GUEST_DS_AR_BYTES, 0x481a)                                                               \
	X(GUEST_FS_AR_BYTES, 0x481c)                                                               \
	X(GUEST_GS_AR_BYTES, 0x481e)                                                               \
	X(GUEST_LDTR_AR_BYTES, 0x4820)                                                             \
	X(GUEST_TR_AR_BYTES, 0x4822)                                                               \
	X(GUEST_INTERRUPTIBILITY_INFO, 0x4824)                                                     \
	X(GUEST_ACTIVITY_STATE, 0x4826)                                                            \
	X(GUEST_SMBASE, 0x4828)                                                                    \
	X(GUEST_SYSENTER_CS, 0x482a)                                                               \
	X(VMX_PREEMPTION_TIMER_VALUE, 0x482e)                                                      \
	X(HOST_IA32_SYSENTER_CS, 0x4c00)

/* natural width */
#define VMCS_FIELDS_NATURAL(X)                                                                     \
	X(CR0_GUEST_HOST_MASK, 0x6000)                                                             \
	X(CR4_GUEST_HOST_MASK, 0x6002)                                                             \
	X(CR0_READ_SHADOW, 0x6004)                                                                 \
	X(CR4_READ_SHADOW, 0x6006)                                                                 \
	X(CR3_TARGET_VALUE0, 0x6008)                                                               \
	X(CR3_TARGET_VALUE1, 0x600a)                                                               \
	X(CR3_TARGET_VALUE2, 0x600c)                                                               \
	X(CR3_TARGET_VALUE3, 0x600e)                                                               \
	X(EXIT_QUALIFICATION, 0x6400)                                                              \
	X(EXIT_IO_RCX, 0x6402)                                                                     \
	X(EXIT_IO_RSI, 0x6404)                                                                     \
	X(EXIT_IO_RDI, 0x6406)                                                                     \
	X(EXIT_IO_RIP, 0x6408)                                                                     \
	X(GUEST_LINEAR_ADDRESS, 0x640a)                                                            \
	X(GUEST_CR0, 0x6800)                                                                       \
	X(GUEST_CR3, 0x6802)                                                                       \
	X(GUEST_CR4, 0x6804)                                                                       \
	X(GUEST_ES_BASE, 0x6806)                                                                   \
	X(GUEST_CS_BASE, 0x6808)                                                                   \
	X(GUEST_SS_BASE, 0x680a)                                                                   \
	X(GUEST_DS_BASE, 0x680c)                                                                   \
	X(GUEST_FS_BASE, 0x680e)                                                                   \
	X(GUEST_GS_BASE, 0x6810)                                                                   \
	X(GUEST_LDTR_BASE, 0x6812)                                                                 \
	X(GUEST_TR_BASE, 0x6814)                                                                   \
	X(GUEST_GDTR_BASE, 0x6816)                                                                 \
	X(GUEST_IDTR_BASE, 0x6818)                                                                 \
	X(GUEST_DR7, 0x681a)                                                                       \
	X(GUEST_RSP, 0x681c)                                                                       \
	X(GUEST_RIP, 0x681e)                                                                       \
	X(GUEST_RFLAGS, 0x6820)                                                                    \
	X(GUEST_PENDING_DBG_EXCEPTIONS, 0x6822)                                                    \
	X(GUEST_SYSENTER_ESP, 0x6824)                                                              \
	X(GUEST_SYSENTER_EIP, 0x6826)                                                              \
	X(HOST_CR0, 0x6c00)                                                                        \
	X(HOST_CR3, 0x6c02)                                                                        \
	X(HOST_CR4, 0x6c04)                                                                        \
	X(HOST_FS_BASE, 0x6c06)                                                                    \
	X(HOST_GS_BASE, 0x6c08)                                                                    \
	X(HOST_TR_BASE, 0x6c0a)                                                                    \
	X(HOST_GDTR_BASE, 0x6c0c)                                                                  \
	X(HOST_IDTR_BASE, 0x6c0e)                                                                  \
	X(HOST_IA32_SYSENTER_ESP, 0x6c10)                                                          \
	X(HOST_IA32_SYSENTER_EIP, 0x6c12)                                                          \
	X(HOST_RSP, 0x6c14)                                                                        \
	X(HOST_RIP, 0x6c16)

#define VMCS_FIELDS(X) VMCS_FIELDS_16(X) VMCS_FIELDS_64(X) VMCS_FIELDS_32(X) VMCS_FIELDS_NATURAL(X)

#define VMCS_FIELD_ENUM(name, encoding) name = (encoding),
enum vmcs_field { VMCS_FIELDS(VMCS_FIELD_ENUM) };
#undef VMCS_FIELD_ENUM

/* What an encoding says about its field. */
enum vmcs_field_width { VMCS_WIDTH_16, VMCS_WIDTH_64, VMCS_WIDTH_32, VMCS_WIDTH_NATURAL };
enum vmcs_field_type { VMCS_TYPE_CONTROL, VMCS_TYPE_EXIT_INFO, VMCS_TYPE_GUEST, VMCS_TYPE_HOST };

static inline enum vmcs_field_width vmcs_field_width(u32 field)
{
	return (enum vmcs_field_width)(field >> 13 & 3);
}

static inline enum vmcs_field_type vmcs_field_type(u32 field)
{
	return (enum vmcs_field_type)(field >> 10 & 3);
}

/* What a field belongs to: bits 11:10 of its encoding. */
#define VMCS_AREA	0xc00u
#define VMCS_AREA_GUEST 0x800u

/* A place for each field of the guest's area, by its width and number. */
#define VMCS_GUEST_FIELDS 128
static inline u32 vmcs_guest_index(u32 field)
{
	return (field >> 8 & 0x60) | (field >> 1 & 0x1f);
}

/*
 * The segment registers in the order of the encodings: a register's selector, base, limit and
 * access-rights fields are SEG_FIELD(GUEST_ES_SELECTOR, i), SEG_FIELD(GUEST_ES_BASE, i)...
 */
enum vmcs_segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, NR_SEG };

#define SEG_FIELD(es_field, seg) ((u32)(es_field) + 2 * (u32)(seg))

_Static_assert(SEG_FIELD(GUEST_ES_SELECTOR, SEG_TR) == GUEST_TR_SELECTOR, "selector fields");
_Static_assert(SEG_FIELD(GUEST_ES_BASE, SEG_TR) == GUEST_TR_BASE, "base fields");
_Static_assert(SEG_FIELD(GUEST_ES_LIMIT, SEG_TR) == GUEST_TR_LIMIT, "limit fields");
_Static_assert(SEG_FIELD(GUEST_ES_AR_BYTES, SEG_TR) == GUEST_TR_AR_BYTES, "access-rights fields");

#define VMCS_FIELD_COUNT(name, encoding) +1
enum { NR_VMCS_FIELDS = 0 VMCS_FIELDS(VMCS_FIELD_COUNT) };
#undef VMCS_FIELD_COUNT

/* The list as data, in the order above. */
struct vmcs_field_info {
	u32 field;
	const char *name;
};
extern const struct vmcs_field_info vmcs_field_list[NR_VMCS_FIELDS];

/** vmcs_field_name - the name of an encoding, or "?". */
const char *vmcs_field_name(u32 field);

struct vmx_caps;

/**
 * vmcs_field_exists - whether a CPU has a field
 * @caps: its capabilities
 * @field: encoding; one that is not in the list does not exist
 */
bool vmcs_field_exists(const struct vmx_caps *caps, u32 field);

#endif
