/* SPDX-License-Identifier: GPL-2.0-only */
/* The bits of the VM-execution, VM-exit and VM-entry controls, with the SDM's names. */
#ifndef VMX_CONTROLS_H
#define VMX_CONTROLS_H

#include "hv/host/types.h"

#define PIN_EXT_INTR	     BIT(0)
#define PIN_NMI		     BIT(3)
#define PIN_VIRTUAL_NMIS     BIT(5)
#define PIN_PREEMPTION_TIMER BIT(6)
#define PIN_POSTED_INTR	     BIT(7)

#define CPU_INTR_WINDOW	      BIT(2)
#define CPU_TSC_OFFSETTING    BIT(3)
#define CPU_HLT		      BIT(7)
#define CPU_INVLPG	      BIT(9)
#define CPU_MWAIT	      BIT(10)
#define CPU_RDPMC	      BIT(11)
#define CPU_RDTSC	      BIT(12)
#define CPU_CR3_LOAD	      BIT(15)
#define CPU_CR3_STORE	      BIT(16)
#define CPU_TERTIARY	      BIT(17)
#define CPU_CR8_LOAD	      BIT(19)
#define CPU_CR8_STORE	      BIT(20)
#define CPU_TPR_SHADOW	      BIT(21)
#define CPU_NMI_WINDOW	      BIT(22)
#define CPU_MOV_DR	      BIT(23)
#define CPU_UNCOND_IO	      BIT(24)
#define CPU_IO_BITMAPS	      BIT(25)
#define CPU_MONITOR_TRAP_FLAG BIT(27)
#define CPU_MSR_BITMAPS	      BIT(28)
#define CPU_MONITOR	      BIT(29)
#define CPU_PAUSE	      BIT(30)
#define CPU_SECONDARY	      BIT(31)

#define CPU2_APIC_ACCESS	BIT(0)
#define CPU2_EPT		BIT(1)
#define CPU2_DESC_TABLE		BIT(2)
#define CPU2_RDTSCP		BIT(3)
#define CPU2_X2APIC		BIT(4)
#define CPU2_VPID		BIT(5)
#define CPU2_WBINVD		BIT(6)
#define CPU2_UNRESTRICTED_GUEST BIT(7)
#define CPU2_APIC_REGISTER	BIT(8)
#define CPU2_VIRT_INTR_DELIVERY BIT(9)
#define CPU2_PAUSE_LOOP		BIT(10)
#define CPU2_RDRAND		BIT(11)
#define CPU2_INVPCID		BIT(12)
#define CPU2_VMFUNC		BIT(13)
#define CPU2_VMCS_SHADOWING	BIT(14)
#define CPU2_ENCLS		BIT(15)
#define CPU2_RDSEED		BIT(16)
#define CPU2_PML		BIT(17)
#define CPU2_EPT_VE		BIT(18)
#define CPU2_CONCEAL_PT		BIT(19)
#define CPU2_XSAVES		BIT(20)
#define CPU2_MODE_BASED_EXEC	BIT(22)
#define CPU2_SUB_PAGE_WRITE	BIT(23)
#define CPU2_PT_GUEST_PHYS	BIT(24)
#define CPU2_TSC_SCALING	BIT(25)
#define CPU2_USER_WAIT_PAUSE	BIT(26)

#define EXIT_SAVE_DEBUG		   BIT(2)
#define EXIT_HOST_64		   BIT(9)
#define EXIT_LOAD_PERF_GLOBAL	   BIT(12)
#define EXIT_ACK_INTR		   BIT(15)
#define EXIT_SAVE_PAT		   BIT(18)
#define EXIT_LOAD_PAT		   BIT(19)
#define EXIT_SAVE_EFER		   BIT(20)
#define EXIT_LOAD_EFER		   BIT(21)
#define EXIT_SAVE_PREEMPTION_TIMER BIT(22)
#define EXIT_CLEAR_RTIT		   BIT(25)
#define EXIT_SAVE_PERF_GLOBAL	   BIT(30)

#define ENTRY_LOAD_DEBUG       BIT(2)
#define ENTRY_IA32E_GUEST      BIT(9)
#define ENTRY_SMM	       BIT(10)
#define ENTRY_DEACTIVATE_DM    BIT(11)
#define ENTRY_LOAD_PERF_GLOBAL BIT(13)
#define ENTRY_LOAD_PAT	       BIT(14)
#define ENTRY_LOAD_EFER	       BIT(15)
#define ENTRY_LOAD_RTIT	       BIT(18)

/* VM_FUNCTION_CONTROL */
#define VMFUNC_EPTP_SWITCHING BIT(0)

/* IA32_VMX_BASIC */
#define VMX_BASIC_REVISION	0x7fffffffull
#define VMX_BASIC_TRUE_CONTROLS BIT(55)
#define VMX_BASIC_ANY_ERRCODE	BIT(56) /* exceptions may be injected with or without error code */

/* IA32_VMX_MISC */
#define VMX_MISC_PREEMPT_SHIFT	 0x1full
#define VMX_MISC_HLT		 BIT(6)
#define VMX_MISC_SHUTDOWN	 BIT(7)
#define VMX_MISC_WAIT_SIPI	 BIT(8)
#define VMX_MISC_CR3_TARGETS(m)	 ((u32)((m) >> 16 & 0x1ff))
#define VMX_MISC_MSR_LIST_MAX(m) (512 * ((u32)((m) >> 25 & 7) + 1))
#define VMX_MISC_ZERO_LEN_INJECT BIT(30) /* software events with instruction length 0 */

/* IA32_VMX_EPT_VPID_CAP */
#define EPT_CAP_EXEC_ONLY	BIT(0)
#define EPT_CAP_WALK_4		BIT(6)
#define EPT_CAP_WALK_5		BIT(7)
#define EPT_CAP_UC		BIT(8)
#define EPT_CAP_WB		BIT(14)
#define EPT_CAP_2M		BIT(16)
#define EPT_CAP_1G		BIT(17)
#define EPT_CAP_INVEPT		BIT(20)
#define EPT_CAP_AD		BIT(21)
#define EPT_CAP_SHADOW_STACK	BIT(23)
#define EPT_CAP_INVEPT_SINGLE	BIT(25)
#define EPT_CAP_INVEPT_ALL	BIT(26)
#define VPID_CAP_INVVPID	BIT(32)
#define VPID_CAP_INVVPID_SINGLE BIT(41)
#define VPID_CAP_INVVPID_ALL	BIT(42)

/* EPTP */
#define EPTP_MEMTYPE	  7ull
#define EPTP_UC		  0ull
#define EPTP_WB		  6ull
#define EPTP_WALK	  (7ull << 3)
#define EPTP_WALK_4	  (3ull << 3) /* levels - 1 */
#define EPTP_WALK_5	  (4ull << 3)
#define EPTP_AD		  BIT(6)
#define EPTP_SHADOW_STACK BIT(7)

/* Interruption information: VM_ENTRY_INTR_INFO, VM_EXIT_INTR_INFO, IDT_VECTORING_INFO */
#define INTR_INFO_VECTOR    0xffull
#define INTR_INFO_TYPE	    (7ull << 8)
#define INTR_INFO_ERROR	    BIT(11)
#define INTR_INFO_NMI_IRET  BIT(12) /* exits: NMI unblocking due to IRET */
#define INTR_INFO_VALID	    BIT(31)
#define INTR_TYPE_EXT	    (0ull << 8)
#define INTR_TYPE_NMI	    (2ull << 8)
#define INTR_TYPE_EXCEPTION (3ull << 8)
#define INTR_TYPE_SOFT_INT  (4ull << 8)
#define INTR_TYPE_PRIV_SOFT (5ull << 8)
#define INTR_TYPE_SOFT_EXC  (6ull << 8)
#define INTR_TYPE_OTHER	    (7ull << 8)

/* GUEST_INTERRUPTIBILITY_INFO */
#define INTR_STATE_STI	   BIT(0)
#define INTR_STATE_MOV_SS  BIT(1)
#define INTR_STATE_SMI	   BIT(2)
#define INTR_STATE_NMI	   BIT(3)
#define INTR_STATE_ENCLAVE BIT(4)

/* GUEST_ACTIVITY_STATE */
#define ACTIVITY_ACTIVE	   0
#define ACTIVITY_HLT	   1
#define ACTIVITY_SHUTDOWN  2
#define ACTIVITY_WAIT_SIPI 3

/* GUEST_PENDING_DBG_EXCEPTIONS */
#define PENDING_DBG_B0_B3   0xfull
#define PENDING_DBG_ENABLED BIT(12) /* a breakpoint was met that DR7 or CR4.DE enables */
#define PENDING_DBG_BS	    BIT(14) /* single step */
#define PENDING_DBG_RTM	    BIT(16)

/* Segment access rights */
#define AR_TYPE	    0xfull
#define AR_S	    BIT(4)
#define AR_DPL	    (3ull << 5)
#define AR_P	    BIT(7)
#define AR_L	    BIT(13)
#define AR_DB	    BIT(14)
#define AR_G	    BIT(15)
#define AR_UNUSABLE BIT(16)

#endif
