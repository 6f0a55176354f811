/* SPDX-License-Identifier: GPL-2.0-only */
/* Ways to break the rules on the guest's state. */
/* cflags: -Wno-missing-field-initializers */
#include "tests/unit/broken_vmcs.h"

static void with_cet(struct vmx_caps *caps)
{
	caps->cr4_fixed1 |= CR4_CET;
}

#define RFLAGS_WORDS "RFLAGS bits 63:22, 15, 5 and 3 must be 0"
#define LIST                                                                                       \
	{ SET, VM_ENTRY_MSR_LOAD_COUNT, 2 },                                                       \
	{                                                                                          \
		SET, VM_ENTRY_MSR_LOAD_ADDR, MEM_BASE + 0xb000                                     \
	}

const struct broken broken_registers[] = {
	{ "bit 5 must be 1 on this CPU", GUEST_CR0, GUEST_64, { { CLEAR, GUEST_CR0, CR0_NE } } },
	{ "bit 32 must be 0 on this CPU", GUEST_CR0, GUEST_64, { { OR, GUEST_CR0, BIT(32) } } },
	{ "bit 31 must be 1 on this CPU",
	  GUEST_CR0,
	  GUEST_FLAT_32,
	  { { CLEAR, CPU2, CPU2_UNRESTRICTED_GUEST } } },
	{ "CR0.PG needs CR0.PE", GUEST_CR0, GUEST_REAL, { { OR, GUEST_CR0, CR0_PG } } },
	{ "bit 13 must be 1 on this CPU", GUEST_CR4, GUEST_64, { { CLEAR, GUEST_CR4, CR4_VMXE } } },
	{ "bit 22 must be 0 on this CPU", GUEST_CR4, GUEST_64, { { OR, GUEST_CR4, CR4_PKE } } },
	{ "CR4.CET needs CR0.WP", GUEST_CR4, GUEST_64, { { OR, GUEST_CR4, CR4_CET } }, with_cet },
	{ "IA-32e mode guest needs CR0.PG", GUEST_CR0, GUEST_64, { { CLEAR, GUEST_CR0, CR0_PG } } },
	{ "IA-32e mode guest needs CR4.PAE",
	  GUEST_CR4,
	  GUEST_64,
	  { { CLEAR, GUEST_CR4, CR4_PAE } } },
	{ "CR4.PCIDE needs IA-32e mode guest",
	  GUEST_CR4,
	  GUEST_FLAT_32,
	  { { OR, GUEST_CR4, CR4_PCIDE } } },
	{ "CR3 must not set bits beyond the physical-address width",
	  GUEST_CR3,
	  GUEST_64,
	  { { OR, GUEST_CR3, BEYOND } } },
	{ "reserved bits of DEBUGCTL must be 0",
	  GUEST_IA32_DEBUGCTL,
	  GUEST_64,
	  { { OR, GUEST_IA32_DEBUGCTL, BIT(3) } } },
	{ "bits 63:32 of DR7 must be 0", GUEST_DR7, GUEST_64, { { OR, GUEST_DR7, BIT(32) } } },
	{ WORDS_PAT, GUEST_IA32_PAT, GUEST_64, { { OR, GUEST_IA32_PAT, 8 } } },
	{ WORDS_PAT, GUEST_IA32_PAT, GUEST_64, { { OR, GUEST_IA32_PAT, 3ull << 56 } } },
	{ "reserved bits of EFER must be 0",
	  GUEST_IA32_EFER,
	  GUEST_64,
	  { { OR, GUEST_IA32_EFER, 2 } } },
	{ "EFER.LMA must equal IA-32e mode guest",
	  GUEST_IA32_EFER,
	  GUEST_64,
	  { { SET, GUEST_IA32_EFER, 0 } } },
	{ "EFER.LMA must equal IA-32e mode guest",
	  GUEST_IA32_EFER,
	  GUEST_PAE,
	  { { SET, GUEST_IA32_EFER, EFER_LME | EFER_LMA } } },
	{ "with CR0.PG set, EFER.LME must equal EFER.LMA",
	  GUEST_IA32_EFER,
	  GUEST_PAE,
	  { { SET, GUEST_IA32_EFER, EFER_LME } } },
	{ "bits 31:16 of a descriptor-table limit must be 0",
	  GUEST_GDTR_LIMIT,
	  GUEST_64,
	  { { SET, GUEST_GDTR_LIMIT, 0x10000 } } },
	{ "bits 31:16 of a descriptor-table limit must be 0",
	  GUEST_IDTR_LIMIT,
	  GUEST_64,
	  { { SET, GUEST_IDTR_LIMIT, 0x10000 } } },
	{ "bits of RIP beyond the linear-address width must be equal",
	  GUEST_RIP,
	  GUEST_64,
	  { { SET, GUEST_RIP, BIT(48) } } },
	{ "bits 63:32 of RIP must be 0 outside 64-bit code",
	  GUEST_RIP,
	  GUEST_FLAT_32,
	  { { OR, GUEST_RIP, BIT(32) } } },
	{ "bits 63:32 of RIP must be 0 outside 64-bit code",
	  GUEST_RIP,
	  GUEST_64,
	  { { SET, GUEST_CS_AR_BYTES, 0xc09b } } },
	{ "RFLAGS bit 1 must be 1", GUEST_RFLAGS, GUEST_64, { { CLEAR, GUEST_RFLAGS, 2 } } },
	{ RFLAGS_WORDS, GUEST_RFLAGS, GUEST_64, { { OR, GUEST_RFLAGS, BIT(3) } } },
	{ RFLAGS_WORDS, GUEST_RFLAGS, GUEST_64, { { OR, GUEST_RFLAGS, BIT(5) } } },
	{ RFLAGS_WORDS, GUEST_RFLAGS, GUEST_64, { { OR, GUEST_RFLAGS, BIT(15) } } },
	{ RFLAGS_WORDS, GUEST_RFLAGS, GUEST_64, { { OR, GUEST_RFLAGS, BIT(22) } } },
	{ RFLAGS_WORDS, GUEST_RFLAGS, GUEST_64, { { OR, GUEST_RFLAGS, BIT(63) } } },
	{ "RFLAGS.VM must be 0 in IA-32e mode",
	  GUEST_RFLAGS,
	  GUEST_64,
	  { { OR, GUEST_RFLAGS, RFLAGS_VM } } },
	{ "RFLAGS.VM must be 0 in real mode",
	  GUEST_RFLAGS,
	  GUEST_REAL,
	  { { OR, GUEST_RFLAGS, RFLAGS_VM } } },
	{ "injecting an external interrupt needs RFLAGS.IF",
	  GUEST_RFLAGS,
	  GUEST_64,
	  { { SET, INTR, EV_INTR } } },

	/* The list of MSRs to load: the second entry is wrong. */
	{ "the list must not load FS_BASE or GS_BASE",
	  VM_ENTRY_MSR_LOAD_ADDR,
	  GUEST_64,
	  { LIST, { MEM, 0xb010, MSR_FS_BASE } } },
	{ "the list must not load FS_BASE or GS_BASE",
	  VM_ENTRY_MSR_LOAD_ADDR,
	  GUEST_64,
	  { LIST, { MEM, 0xb010, MSR_GS_BASE } } },
	{ "the list must not load x2APIC registers",
	  VM_ENTRY_MSR_LOAD_ADDR,
	  GUEST_64,
	  { LIST, { MEM, 0xb010, 0x830 } } },
	{ "the list must not load SMM_MONITOR_CTL",
	  VM_ENTRY_MSR_LOAD_ADDR,
	  GUEST_64,
	  { LIST, { MEM, 0xb010, 0x9b } } },
	{ "bits 63:32 of a list entry must be 0",
	  VM_ENTRY_MSR_LOAD_ADDR,
	  GUEST_64,
	  { LIST, { MEM, 0xb010, 1ull << 32 | MSR_STAR } } },
	{ 0 },
};

#define CS_AR GUEST_CS_AR_BYTES
#define SS_AR GUEST_SS_AR_BYTES
#define RESTRICTED                                                                                 \
	{                                                                                          \
		CLEAR, CPU2, CPU2_UNRESTRICTED_GUEST                                               \
	}
#define LDT                                                                                        \
	{                                                                                          \
		SET, GUEST_LDTR_AR_BYTES, 0x82                                                     \
	}

/* Rules that several registers share are tried by the test itself on each of them. */
const struct broken broken_segments[] = {
	{ "CS must be accessed code (unrestricted guest: or type 3)",
	  CS_AR,
	  GUEST_64,
	  { RESTRICTED, { SET, CS_AR, 0xa093 } } },
	{ "CS must be accessed code (unrestricted guest: or type 3)",
	  CS_AR,
	  GUEST_64,
	  { { SET, CS_AR, 0xa09a } } },
	{ "CS must be usable", CS_AR, GUEST_64, { { OR, CS_AR, AR_UNUSABLE } } },
	{ "CS must be a code or data segment (S = 1)",
	  CS_AR,
	  GUEST_64,
	  { { CLEAR, CS_AR, AR_S } } },
	{ "CS of type 3 must have DPL 0", CS_AR, GUEST_FLAT_32, { { SET, CS_AR, 0xc0f3 } } },
	{ "DPL of a non-conforming CS must equal DPL of SS",
	  CS_AR,
	  GUEST_64,
	  { { OR, CS_AR, AR_DPL } } },
	{ "DPL of a conforming CS must not exceed DPL of SS",
	  CS_AR,
	  GUEST_64,
	  { { SET, CS_AR, 0xa0ff } } },
	{ "64-bit CS (L = 1) must have D/B = 0", CS_AR, GUEST_64, { { OR, CS_AR, AR_DB } } },

	{ "RPL of SS must equal RPL of CS",
	  GUEST_SS_SELECTOR,
	  GUEST_64,
	  { RESTRICTED, { OR, GUEST_CS_SELECTOR, 3 } } },
	{ "DPL of SS must equal its RPL",
	  SS_AR,
	  GUEST_64,
	  { RESTRICTED, { OR, SS_AR, AR_DPL }, { OR, CS_AR, AR_DPL } } },
	{ "DPL of SS must be 0 when CS has type 3",
	  SS_AR,
	  GUEST_FLAT_32,
	  { { SET, CS_AR, 0xc093 }, { OR, SS_AR, AR_DPL } } },
	{ "DPL of SS must be 0 in real mode",
	  SS_AR,
	  GUEST_REAL,
	  { { OR, CS_AR, AR_DPL }, { OR, SS_AR, AR_DPL } } },
	{ "SS must be accessed, writable data (type 3 or 7)",
	  SS_AR,
	  GUEST_64,
	  { { SET, SS_AR, 0xc091 } } },
	{ "SS must be accessed, writable data (type 3 or 7)",
	  SS_AR,
	  GUEST_64,
	  { { SET, SS_AR, 0xc09b } } },
	{ "SS must be a code or data segment (S = 1)",
	  SS_AR,
	  GUEST_64,
	  { { CLEAR, SS_AR, AR_S } } },

	{ "TI of TR must be 0", GUEST_TR_SELECTOR, GUEST_64, { { OR, GUEST_TR_SELECTOR, 4 } } },
	{ WORDS_CANON, GUEST_TR_BASE, GUEST_64, { { SET, GUEST_TR_BASE, NON_CANON } } },
	{ "TR must be usable",
	  GUEST_TR_AR_BYTES,
	  GUEST_64,
	  { { OR, GUEST_TR_AR_BYTES, AR_UNUSABLE } } },
	{ "TR must be a busy TSS (type 11; outside IA-32e mode also 3)",
	  GUEST_TR_AR_BYTES,
	  GUEST_64,
	  { { SET, GUEST_TR_AR_BYTES, 0x83 } } },
	{ "TR must be a busy TSS (type 11; outside IA-32e mode also 3)",
	  GUEST_TR_AR_BYTES,
	  GUEST_FLAT_32,
	  { { SET, GUEST_TR_AR_BYTES, 0x89 } } },
	{ "TR must be a system segment (S = 0)",
	  GUEST_TR_AR_BYTES,
	  GUEST_64,
	  { { OR, GUEST_TR_AR_BYTES, AR_S } } },

	{ "TI of LDTR must be 0",
	  GUEST_LDTR_SELECTOR,
	  GUEST_64,
	  { LDT, { OR, GUEST_LDTR_SELECTOR, 4 } } },
	{ WORDS_CANON, GUEST_LDTR_BASE, GUEST_64, { LDT, { SET, GUEST_LDTR_BASE, NON_CANON } } },
	{ "LDTR must be an LDT (type 2)",
	  GUEST_LDTR_AR_BYTES,
	  GUEST_64,
	  { { SET, GUEST_LDTR_AR_BYTES, 0x83 } } },
	{ "LDTR must be a system segment (S = 0)",
	  GUEST_LDTR_AR_BYTES,
	  GUEST_64,
	  { { SET, GUEST_LDTR_AR_BYTES, 0x92 } } },
	{ 0 },
};

static void only_active(struct vmx_caps *caps)
{
	caps->misc &= ~(VMX_MISC_HLT | VMX_MISC_SHUTDOWN | VMX_MISC_WAIT_SIPI);
}

static void no_sgx(struct vmx_caps *caps)
{
	caps->ctl[CTL_CPU2].may_be_1 &= ~(u32)CPU2_ENCLS;
}

#define WITH_IF                                                                                    \
	{                                                                                          \
		OR, GUEST_RFLAGS, RFLAGS_IF                                                        \
	}
#define WITH_TF                                                                                    \
	{                                                                                          \
		OR, GUEST_RFLAGS, RFLAGS_TF                                                        \
	}
#define MOV_SS                                                                                     \
	{                                                                                          \
		OR, INFO, INTR_STATE_MOV_SS                                                        \
	}
#define IN_HLT                                                                                     \
	{                                                                                          \
		SET, ACTIVITY, ACTIVITY_HLT                                                        \
	}
#define BS_SET	   "BS must be 1 while events are blocked or in HLT, with TF = 1 and BTF = 0"
#define BS_CLEAR   "BS must be 0 while events are blocked or in HLT, with TF = 0 or BTF = 1"
#define PEND_WORDS "bits 63:17, 15, 13 and 11:4 must be 0"
#define LINK                                                                                       \
	{                                                                                          \
		SET, VMCS_LINK_POINTER, MEM_BASE + 0xc000                                          \
	}
#define PDPTE "reserved bits of a present PDPTE must be 0"

const struct broken broken_nonregister[] = {
	{ "the activity state must be 0..3", ACTIVITY, GUEST_64, { { SET, ACTIVITY, 4 } } },
	{ "the activity state must be one this CPU supports",
	  ACTIVITY,
	  GUEST_64,
	  { IN_HLT },
	  only_active },
	{ "the activity state must be one this CPU supports",
	  ACTIVITY,
	  GUEST_64,
	  { { SET, ACTIVITY, ACTIVITY_WAIT_SIPI } },
	  only_active },
	{ "HLT needs DPL 0 in SS",
	  ACTIVITY,
	  GUEST_64,
	  { IN_HLT, { OR, CS_AR, AR_DPL }, { OR, SS_AR, AR_DPL } } },
	{ "with blocking by STI or MOV SS the activity state must be active",
	  ACTIVITY,
	  GUEST_64,
	  { { SET, ACTIVITY, ACTIVITY_SHUTDOWN }, WITH_IF, { OR, INFO, INTR_STATE_STI } } },
	{ "in HLT only an interrupt, NMI, #DB, #MC or MTF may be injected",
	  ACTIVITY,
	  GUEST_64,
	  { IN_HLT, { SET, INTR, EV_EXC | EXC_UD } } },
	{ "in shutdown only an NMI or #MC may be injected",
	  ACTIVITY,
	  GUEST_64,
	  { { SET, ACTIVITY, ACTIVITY_SHUTDOWN }, WITH_IF, { SET, INTR, EV_INTR } } },
	{ "in wait-for-SIPI nothing may be injected",
	  ACTIVITY,
	  GUEST_64,
	  { { SET, ACTIVITY, ACTIVITY_WAIT_SIPI }, { SET, INTR, EV_NMI } } },

	{ "bits 31:5 must be 0", INFO, GUEST_64, { { OR, INFO, BIT(5) } } },
	{ "bits 31:5 must be 0", INFO, GUEST_64, { { OR, INFO, BIT(31) } } },
	{ "blocking by STI and by MOV SS exclude each other",
	  INFO,
	  GUEST_64,
	  { WITH_IF, MOV_SS, { OR, INFO, INTR_STATE_STI } } },
	{ "blocking by STI needs RFLAGS.IF", INFO, GUEST_64, { { OR, INFO, INTR_STATE_STI } } },
	{ "blocking by SMI is for SMM only", INFO, GUEST_64, { { OR, INFO, INTR_STATE_SMI } } },
	{ "enclave interruption needs a CPU with SGX",
	  INFO,
	  GUEST_64,
	  { { OR, INFO, INTR_STATE_ENCLAVE } },
	  no_sgx },
	{ "enclave interruption and blocking by MOV SS exclude each other",
	  INFO,
	  GUEST_64,
	  { MOV_SS, { OR, INFO, INTR_STATE_ENCLAVE } } },
	{ "blocking by STI or MOV SS forbids injecting an external interrupt",
	  INFO,
	  GUEST_64,
	  { WITH_IF, MOV_SS, { SET, INTR, EV_INTR } } },
	{ "blocking by STI or MOV SS forbids injecting an external interrupt",
	  INFO,
	  GUEST_64,
	  { WITH_IF, { OR, INFO, INTR_STATE_STI }, { SET, INTR, EV_INTR } } },
	{ "blocking by MOV SS forbids injecting an NMI",
	  INFO,
	  GUEST_64,
	  { MOV_SS, { SET, INTR, EV_NMI } } },
	{ "blocking by STI forbids injecting an NMI on some CPUs",
	  INFO,
	  GUEST_64,
	  { WITH_IF, { OR, INFO, INTR_STATE_STI }, { SET, INTR, EV_NMI } } },
	{ "virtual-NMI blocking forbids injecting an NMI",
	  INFO,
	  GUEST_64,
	  { { OR, INFO, INTR_STATE_NMI }, { SET, INTR, EV_NMI } } },

	{ PEND_WORDS, PENDING, GUEST_64, { { OR, PENDING, BIT(4) } } },
	{ PEND_WORDS, PENDING, GUEST_64, { { OR, PENDING, BIT(11) } } },
	{ PEND_WORDS, PENDING, GUEST_64, { { OR, PENDING, BIT(13) } } },
	{ PEND_WORDS, PENDING, GUEST_64, { { OR, PENDING, BIT(15) } } },
	{ PEND_WORDS, PENDING, GUEST_64, { { OR, PENDING, BIT(17) } } },
	{ "with RTM (bit 16) bit 12 must be 1 and all others 0",
	  PENDING,
	  GUEST_64,
	  { { OR, PENDING, PENDING_DBG_RTM } } },
	{ "with RTM (bit 16) bit 12 must be 1 and all others 0",
	  PENDING,
	  GUEST_64,
	  { { OR, PENDING, PENDING_DBG_RTM | PENDING_DBG_ENABLED | 1 } } },
	{ "RTM (bit 16) and blocking by MOV SS exclude each other",
	  PENDING,
	  GUEST_64,
	  { MOV_SS, { OR, PENDING, PENDING_DBG_RTM | PENDING_DBG_ENABLED } } },
	{ BS_SET, PENDING, GUEST_64, { WITH_TF, MOV_SS } },
	{ BS_SET, PENDING, GUEST_64, { WITH_TF, IN_HLT } },
	{ BS_CLEAR, PENDING, GUEST_64, { MOV_SS, { OR, PENDING, PENDING_DBG_BS } } },
	{ BS_CLEAR, PENDING, GUEST_64, { IN_HLT, { OR, PENDING, PENDING_DBG_BS } } },
	{ BS_CLEAR,
	  PENDING,
	  GUEST_64,
	  { WITH_TF, MOV_SS, { OR, GUEST_IA32_DEBUGCTL, 2 }, { OR, PENDING, PENDING_DBG_BS } } },

	{ WORDS_PAGE, VMCS_LINK_POINTER, GUEST_64, { { SET, VMCS_LINK_POINTER, 0x20000800 } } },
	{ WORDS_WIDTH, VMCS_LINK_POINTER, GUEST_64, { { SET, VMCS_LINK_POINTER, BEYOND } } },
	{ "the linked VMCS must have this CPU's revision",
	  VMCS_LINK_POINTER,
	  GUEST_64,
	  { LINK, { MEM, 0xc000, 5 } } },
	{ "the linked VMCS must be a shadow if and only if VMCS shadowing is on",
	  VMCS_LINK_POINTER,
	  GUEST_64,
	  { LINK, { MEM, 0xc000, 0x80000004 } } },
	{ "the linked VMCS must be a shadow if and only if VMCS shadowing is on",
	  VMCS_LINK_POINTER,
	  GUEST_64,
	  { LINK, { MEM, 0xc000, 4 }, { OR, CPU2, CPU2_VMCS_SHADOWING } } },

	{ PDPTE, GUEST_PDPTR0, GUEST_PAE, { { OR, GUEST_PDPTR0, BIT(1) } } },
	{ PDPTE, GUEST_PDPTR3, GUEST_PAE, { { OR, GUEST_PDPTR3, BIT(8) } } },
	{ PDPTE, GUEST_PDPTR2, GUEST_PAE, { { OR, GUEST_PDPTR2, BEYOND } } },
	{ PDPTE,
	  GUEST_CR3,
	  GUEST_PAE,
	  { { CLEAR, CPU2, CPU2_EPT | CPU2_UNRESTRICTED_GUEST }, { MEM, 0xa018, 0x5021 } } },
	{ 0 },
};
