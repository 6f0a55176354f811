/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Basic exit reasons: X(name, number, words). The names are Linux' (uapi/asm/vmx.h), the words
 * those of the SDM's appendix on basic exit reasons.
 */
#ifndef VMX_EXIT_REASONS_H
#define VMX_EXIT_REASONS_H

#include "hv/host/types.h"

#define EXIT_REASONS(X)                                                                            \
	X(EXIT_REASON_EXCEPTION_NMI, 0, "exception or NMI")                                        \
	X(EXIT_REASON_EXTERNAL_INTERRUPT, 1, "external interrupt")                                 \
	X(EXIT_REASON_TRIPLE_FAULT, 2, "triple fault")                                             \
	X(EXIT_REASON_INIT_SIGNAL, 3, "INIT signal")                                               \
	X(EXIT_REASON_SIPI_SIGNAL, 4, "start-up IPI")                                              \
	X(EXIT_REASON_IO_SMI, 5, "I/O SMI")                                                        \
	X(EXIT_REASON_OTHER_SMI, 6, "other SMI")                                                   \
	X(EXIT_REASON_INTERRUPT_WINDOW, 7, "interrupt window")                                     \
	X(EXIT_REASON_NMI_WINDOW, 8, "NMI window")                                                 \
	X(EXIT_REASON_TASK_SWITCH, 9, "task switch")                                               \
	X(EXIT_REASON_CPUID, 10, "CPUID")                                                          \
	X(EXIT_REASON_GETSEC, 11, "GETSEC")                                                        \
	X(EXIT_REASON_HLT, 12, "HLT")                                                              \
	X(EXIT_REASON_INVD, 13, "INVD")                                                            \
	X(EXIT_REASON_INVLPG, 14, "INVLPG")                                                        \
	X(EXIT_REASON_RDPMC, 15, "RDPMC")                                                          \
	X(EXIT_REASON_RDTSC, 16, "RDTSC")                                                          \
	X(EXIT_REASON_RSM, 17, "RSM")                                                              \
	X(EXIT_REASON_VMCALL, 18, "VMCALL")                                                        \
	X(EXIT_REASON_VMCLEAR, 19, "VMCLEAR")                                                      \
	X(EXIT_REASON_VMLAUNCH, 20, "VMLAUNCH")                                                    \
	X(EXIT_REASON_VMPTRLD, 21, "VMPTRLD")                                                      \
	X(EXIT_REASON_VMPTRST, 22, "VMPTRST")                                                      \
	X(EXIT_REASON_VMREAD, 23, "VMREAD")                                                        \
	X(EXIT_REASON_VMRESUME, 24, "VMRESUME")                                                    \
	X(EXIT_REASON_VMWRITE, 25, "VMWRITE")                                                      \
	X(EXIT_REASON_VMOFF, 26, "VMXOFF")                                                         \
	X(EXIT_REASON_VMON, 27, "VMXON")                                                           \
	X(EXIT_REASON_CR_ACCESS, 28, "control-register access")                                    \
	X(EXIT_REASON_DR_ACCESS, 29, "MOV DR")                                                     \
	X(EXIT_REASON_IO_INSTRUCTION, 30, "I/O instruction")                                       \
	X(EXIT_REASON_MSR_READ, 31, "RDMSR")                                                       \
	X(EXIT_REASON_MSR_WRITE, 32, "WRMSR")                                                      \
	X(EXIT_REASON_INVALID_STATE, 33, "entry failure: invalid guest state")                     \
	X(EXIT_REASON_MSR_LOAD_FAIL, 34, "entry failure: MSR loading")                             \
	X(EXIT_REASON_MWAIT_INSTRUCTION, 36, "MWAIT")                                              \
	X(EXIT_REASON_MONITOR_TRAP_FLAG, 37, "monitor trap flag")                                  \
	X(EXIT_REASON_MONITOR_INSTRUCTION, 39, "MONITOR")                                          \
	X(EXIT_REASON_PAUSE_INSTRUCTION, 40, "PAUSE")                                              \
	X(EXIT_REASON_MCE_DURING_VMENTRY, 41, "entry failure: machine check")                      \
	X(EXIT_REASON_TPR_BELOW_THRESHOLD, 43, "TPR below threshold")                              \
	X(EXIT_REASON_APIC_ACCESS, 44, "APIC access")                                              \
	X(EXIT_REASON_EOI_INDUCED, 45, "virtualized EOI")                                          \
	X(EXIT_REASON_GDTR_IDTR, 46, "access to GDTR or IDTR")                                     \
	X(EXIT_REASON_LDTR_TR, 47, "access to LDTR or TR")                                         \
	X(EXIT_REASON_EPT_VIOLATION, 48, "EPT violation")                                          \
	X(EXIT_REASON_EPT_MISCONFIG, 49, "EPT misconfiguration")                                   \
	X(EXIT_REASON_INVEPT, 50, "INVEPT")                                                        \
	X(EXIT_REASON_RDTSCP, 51, "RDTSCP")                                                        \
	X(EXIT_REASON_PREEMPTION_TIMER, 52, "preemption timer")                                    \
	X(EXIT_REASON_INVVPID, 53, "INVVPID")                                                      \
	X(EXIT_REASON_WBINVD, 54, "WBINVD or WBNOINVD")                                            \
	X(EXIT_REASON_XSETBV, 55, "XSETBV")                                                        \
	X(EXIT_REASON_APIC_WRITE, 56, "APIC write")                                                \
	X(EXIT_REASON_RDRAND, 57, "RDRAND")                                                        \
	X(EXIT_REASON_INVPCID, 58, "INVPCID")                                                      \
	X(EXIT_REASON_VMFUNC, 59, "VMFUNC")                                                        \
	X(EXIT_REASON_ENCLS, 60, "ENCLS")                                                          \
	X(EXIT_REASON_RDSEED, 61, "RDSEED")                                                        \
	X(EXIT_REASON_PML_FULL, 62, "page-modification log full")                                  \
	X(EXIT_REASON_XSAVES, 63, "XSAVES")                                                        \
	X(EXIT_REASON_XRSTORS, 64, "XRSTORS")                                                      \
	X(EXIT_REASON_PCONFIG, 65, "PCONFIG")                                                      \
	X(EXIT_REASON_SPP_EVENT, 66, "sub-page permission event")                                  \
	X(EXIT_REASON_UMWAIT, 67, "UMWAIT")                                                        \
	X(EXIT_REASON_TPAUSE, 68, "TPAUSE")                                                        \
	X(EXIT_REASON_LOADIWKEY, 69, "LOADIWKEY")                                                  \
	X(EXIT_REASON_ENCLV, 70, "ENCLV")                                                          \
	X(EXIT_REASON_ENQCMD_PASID, 72, "ENQCMD PASID translation")                                \
	X(EXIT_REASON_ENQCMDS_PASID, 73, "ENQCMDS PASID translation")                              \
	X(EXIT_REASON_BUS_LOCK, 74, "bus lock")                                                    \
	X(EXIT_REASON_NOTIFY, 75, "instruction timeout")

#define EXIT_REASON_ENUM(name, number, words) name = (number),
enum exit_reason { EXIT_REASONS(EXIT_REASON_ENUM) };
#undef EXIT_REASON_ENUM

#define EXIT_REASON_BASIC	 0xffffu
#define EXIT_REASON_FAILED_ENTRY BIT(31) /* the exit is a VM entry that failed */

#endif
