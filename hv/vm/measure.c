/* SPDX-License-Identifier: GPL-2.0-only */
/* What experiments do to a vCPU that no VMM would: breaking it, measuring around it. */
#include "hv/host/errno.h"
#include "hv/vm/internal.h"

void vcpu_report_entry_failure(struct vcpu *vcpu, bool dump)
{
	vmx_report_failure(&vcpu->vmx, dump);
}

bool vcpu_blamed(const char *field)
{
	return vmx_blamed(field);
}

const char *vcpu_break_state(struct vcpu *vcpu, unsigned int n)
{
	return vcpu_load(vcpu) ? NULL : vmx_break_state(&vcpu->vmx, n);
}

void vcpu_repair_state(struct vcpu *vcpu)
{
	vmx_repair_state(&vcpu->vmx);
}

/* Exits before the first CPUID go the ordinary way: the code's first page; and the heartbeat. */
static bool leave_floor(struct vcpu *vcpu, u32 reason)
{
	switch (reason) {
	case VM_EXIT_MEMORY: return vcpu_handle_memory(vcpu) != RESUME_GUEST;
	case VM_EXIT_TIMER: return vmx_set_heartbeat(&vcpu->vmx, vmx_heartbeat());
	default: return true;
	}
}

int vcpu_run_floor(struct vcpu *vcpu, const u32 answer[4], u32 *reason)
{
	if (vcpu_load(vcpu))
		return -EBUSY;
	do {
		*reason = vmx_floor(&vcpu->vmx, answer);
	} while (!leave_floor(vcpu, *reason));
	vmx_unload(&vcpu->vmx);
	return 0;
}

void vcpu_dawdle(struct vcpu *vcpu, u32 rounds)
{
	vmx_dawdle(&vcpu->vmx, rounds);
}

int vcpu_run_counted(struct vcpu *vcpu, struct vmx_path_count *c)
{
	int err;

	if (vcpu_load(vcpu))
		return -EBUSY;
	vmx_count_path(&vcpu->vmx, c);
	err = vcpu_run(vcpu);
	vmx_count_path(&vcpu->vmx, NULL);
	return err;
}

u64 vm_entries_barred(void)
{
	return vmx_entries_barred();
}
