/* SPDX-License-Identifier: GPL-2.0-only */
/* Which vCPU's VMCS and registers are in this CPU. */
#include "hv/host/errno.h"
#include "hv/host/irq.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "vmx/internal.h"

int vmx_load(struct vmx_vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (cpu->loaded == v)
		return 0;
	if (v->cpu >= 0 && v->cpu != (s32)cpu->id)
		return -EBUSY;
	if (cpu->loaded)
		vmx_lazy_save(cpu->loaded);
	if (!vmptrld(virt_to_phys(v->vmcs)))
		panic("VMPTRLD of vCPU %u failed", v->vpid);
	/* Of another vCPU's NMI, see unblock_nmi(). */
	nmi_iret();
	if (v->cpu < 0) {
		/* Another CPU may have run it since: what this one's TLB holds is not to be
		 * trusted. */
		if (v->last_cpu != (s32)cpu->id)
			__atomic_store_n(&v->flushed_gen, 0, __ATOMIC_RELAXED);
		v->cpu = v->last_cpu = (s32)cpu->id;
		vmx_load_host_state();
		v->host_rsp = 0;
		if (vmx_config.pin & PIN_PREEMPTION_TIMER)
			vmcs_write(VMX_PREEMPTION_TIMER_VALUE, v->heartbeat);
		if (v->enter != vmx_launch_restored)
			v->enter = vmx_launch_guest;
	}
	cpu->loaded = v;
	vmx_lazy_restore(v);
	return 0;
}

void vmx_unload(struct vmx_vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (v->cpu != (s32)cpu->id)
		return;
	if (cpu->loaded == v) {
		vmx_lazy_save(v);
		cpu->loaded = NULL;
	}
	if (!vmclear(virt_to_phys(v->vmcs)))
		panic("VMCLEAR of vCPU %u failed", v->vpid);
	v->cpu = -1;
}

void vmx_dawdle(struct vmx_vcpu *v, u32 rounds)
{
	v->dawdle = rounds;
	v->resume = rounds ? vmx_resume_slowly : vmx_resume_guest;
}
