/* SPDX-License-Identifier: GPL-2.0-only */
/* Offsets for assembly, taken from the compiler: turned into build/gen/offsets.h by the Makefile.
 */
#include "hv/host/percpu.h"
#include "vmx/internal.h"

#define OFFSET(sym, type, member)                                                                  \
	__asm__ volatile("\n.ascii \"->" #sym " %0\"" ::"i"(offsetof(type, member)))
#define VALUE(sym, value) __asm__ volatile("\n.ascii \"->" #sym " %0\"" ::"i"(value))

void offsets(void);
void offsets(void)
{
	OFFSET(CPU_ENTRY_BARRED, struct cpu, entry_barred);
	OFFSET(VCPU_RAX, struct vmx_vcpu, gpr[GPR_RAX]);
	OFFSET(VCPU_RCX, struct vmx_vcpu, gpr[GPR_RCX]);
	OFFSET(VCPU_RDX, struct vmx_vcpu, gpr[GPR_RDX]);
	OFFSET(VCPU_RBX, struct vmx_vcpu, gpr[GPR_RBX]);
	OFFSET(VCPU_RBP, struct vmx_vcpu, gpr[GPR_RBP]);
	OFFSET(VCPU_RSI, struct vmx_vcpu, gpr[GPR_RSI]);
	OFFSET(VCPU_RDI, struct vmx_vcpu, gpr[GPR_RDI]);
	OFFSET(VCPU_R8, struct vmx_vcpu, gpr[GPR_R8]);
	OFFSET(VCPU_R9, struct vmx_vcpu, gpr[GPR_R9]);
	OFFSET(VCPU_R10, struct vmx_vcpu, gpr[GPR_R10]);
	OFFSET(VCPU_R11, struct vmx_vcpu, gpr[GPR_R11]);
	OFFSET(VCPU_R12, struct vmx_vcpu, gpr[GPR_R12]);
	OFFSET(VCPU_R13, struct vmx_vcpu, gpr[GPR_R13]);
	OFFSET(VCPU_R14, struct vmx_vcpu, gpr[GPR_R14]);
	OFFSET(VCPU_R15, struct vmx_vcpu, gpr[GPR_R15]);
	OFFSET(VCPU_HOST_RSP, struct vmx_vcpu, host_rsp);
	OFFSET(VCPU_FLUSHED_GEN, struct vmx_vcpu, flushed_gen);
	OFFSET(VCPU_FLUSH_GEN, struct vmx_vcpu, flush_gen);
	OFFSET(VCPU_ENTER, struct vmx_vcpu, enter);
	OFFSET(VCPU_RESUME, struct vmx_vcpu, resume);
	OFFSET(VCPU_DAWDLE, struct vmx_vcpu, dawdle);
	VALUE(NR_EXIT_REASONS, NR_EXIT_REASONS);
	VALUE(FIELD_VM_EXIT_REASON, VM_EXIT_REASON);
	VALUE(FIELD_HOST_RSP, HOST_RSP);
	VALUE(RESULT_BARRED, ENTRY_BARRED);
	VALUE(RESULT_STALE, ENTRY_STALE);
	VALUE(RESULT_VMFAIL, ENTRY_VMFAIL);
}
