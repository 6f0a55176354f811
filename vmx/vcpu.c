/* SPDX-License-Identifier: GPL-2.0-only */
/* A vCPU's VMCS: creation, the controls, and the register state after RESET, INIT and STARTUP. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/patience.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "vmx/internal.h"

#define CR0_RESET    (CR0_CD | CR0_NW | CR0_ET)
#define PAT_RESET    0x0007040600070406ull
#define DR7_RESET    0x400
#define CPU_ID_RESET 0x600 /* RDX after reset: family 6 */

/* Guest-owned CR4 bits: changing them has no effect outside the guest and none on its CPUID. */
#define CR4_GUEST_OWNED                                                                            \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |            \
	 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)

/* In ticks: longer than anybody has to wait for a kick that is not lost. */
#define HEARTBEAT_MIN 80000

u64 vmx_heartbeat(void)
{
	u64 ticks = max_u64(tsc_hz / 100, patient(HEARTBEAT_MIN));

	if (!(vmx_config.pin & PIN_PREEMPTION_TIMER))
		return 0;
	return min_u64(ticks, (u64)UINT32_MAX << vmx_caps.preempt_shift);
}

int vmx_set_heartbeat(struct vmx_vcpu *v, u64 ticks)
{
	u64 units = ticks >> vmx_caps.preempt_shift;

	if (!(vmx_config.pin & PIN_PREEMPTION_TIMER))
		return -EOPNOTSUPP;
	if (units << vmx_caps.preempt_shift != ticks)
		units++;
	v->heartbeat = (u32)min_u64(units, UINT32_MAX);
	if (vmx_is_loaded(v))
		vmcs_write(VMX_PREEMPTION_TIMER_VALUE, v->heartbeat);
	return 0;
}

static void init_controls(struct vmx_vcpu *v)
{
	v->cpu_controls = vmx_config.cpu;
	v->cpu2_controls = v->dirty_log ? vmx_config.cpu2 : vmx_config.cpu2 & ~(u32)CPU2_PML;
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, vmx_config.pin);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx_config.cpu);
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, v->cpu2_controls);
	vmcs_write(VM_EXIT_CONTROLS, vmx_config.exit);
	vmcs_write(VM_ENTRY_CONTROLS, vmx_config.entry);
	vmcs_write(MSR_BITMAP, vmx_config.msr_bitmap);
	vmcs_write(EPT_POINTER, v->vm->ept.eptp);
	if (vmx_config.cpu2 & CPU2_VPID)
		vmcs_write(VIRTUAL_PROCESSOR_ID, v->vpid);
	if (v->dirty_log) {
		vmcs_write(PML_ADDRESS, virt_to_phys(v->dirty_log));
		vmx_dirty_rewind(v);
	}
	vmx_set_heartbeat(v, vmx_heartbeat());
	/*
	 * #DB and #AC: a guest can make their delivery loop for ever inside the CPU, without ever
	 * reaching an instruction boundary at which a kick could exit. #MC is the host's.
	 */
	vmcs_write(EXCEPTION_BITMAP, BIT(EXC_DB) | BIT(EXC_AC) | BIT(EXC_MC));
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_LINK_POINTER, ~0ull);
	vmcs_write(TSC_OFFSET, 0);
	vmcs_write(CR0_GUEST_HOST_MASK, CR0_HOST_OWNED);
	vmcs_write(CR4_GUEST_HOST_MASK, ~(u64)CR4_GUEST_OWNED);
}

static void reset_segments(struct vmx_vcpu *v, int sipi_page)
{
	const struct vm_segment data = { .limit = 0xffff, .access = 0x93 };
	const struct vm_segment ldt = { .limit = 0xffff, .access = 0x82 };
	const struct vm_segment tss = { .limit = 0xffff, .access = 0x8b };
	struct vm_segment code = { .limit = 0xffff, .access = 0x9b };

	code.selector = sipi_page < 0 ? 0xf000 : (u16)(sipi_page << 8);
	code.base = sipi_page < 0 ? 0xffff0000 : (u64)sipi_page << PAGE_SHIFT;
	vmx_set_segment(v, VSEG_CS, &code);
	for (unsigned int s = 0; s < NR_VSEGS; s++)
		if (s != VSEG_CS && s != VSEG_LDTR && s != VSEG_TR)
			vmx_set_segment(v, s, &data);
	vmx_set_segment(v, VSEG_LDTR, &ldt);
	vmx_set_segment(v, VSEG_TR, &tss);
}

void vmx_vcpu_reset(struct vmx_vcpu *v, int sipi_page)
{
	for (unsigned int i = 0; i < NR_GPRS; i++)
		v->gpr[i] = 0;
	v->gpr[GPR_RDX] = CPU_ID_RESET;
	v->stepping = v->requested = v->careful = false;
	reset_segments(v, sipi_page);
	vmx_set(v, REG_RIP, sipi_page < 0 ? 0xfff0 : 0);
	vmx_set(v, REG_RSP, 0);
	vmx_set(v, REG_RFLAGS, RFLAGS_FIXED);
	vmx_set(v, REG_CR0, CR0_RESET);
	vmx_set(v, REG_CR2, 0);
	vmx_set(v, REG_CR3, 0);
	vmx_set(v, REG_CR4, 0);
	vmx_set(v, REG_EFER, 0);
	vmx_set(v, REG_PAT, PAT_RESET);
	vmx_set(v, REG_DR7, DR7_RESET);
	vmx_set(v, REG_DEBUGCTL, 0);
	vmx_set(v, REG_GDT_BASE, 0);
	vmx_set(v, REG_GDT_LIMIT, 0xffff);
	vmx_set(v, REG_IDT_BASE, 0);
	vmx_set(v, REG_IDT_LIMIT, 0xffff);
	vmcs_write(GUEST_SYSENTER_CS, 0);
	vmcs_write(GUEST_SYSENTER_ESP, 0);
	vmcs_write(GUEST_SYSENTER_EIP, 0);
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	vmcs_write(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(VM_ENTRY_INTR_INFO, 0);
	vmx_set_windows(v, false, false);
}

static void free_pages(struct vmx_vcpu *v)
{
	page_free(v->vmcs, 0);
	page_free(v->dirty_log, 0);
	v->vmcs = NULL;
	v->dirty_log = NULL;
	vmx_lazy_free(v);
}

static int alloc_pages(struct vmx_vcpu *v)
{
	int err = vmx_lazy_alloc(v);

	if (err)
		return err;
	v->vmcs = page_alloc(0, PAGE_ZERO);
	if (v->vmcs && v->vm->pml && vmx_has_pml())
		err = vmx_dirty_alloc(v);
	if (v->vmcs && !err)
		return 0;
	free_pages(v);
	return -ENOMEM;
}

int vmx_vcpu_init(struct vmx_vcpu *v, struct vmx_vm *vm, u16 vpid)
{
	int err;

	v->vm = vm;
	v->vpid = vpid;
	v->flush_gen = &vm->flush_gen;
	v->cpu = v->last_cpu = -1;
	v->resume = vmx_resume_guest;
	err = alloc_pages(v);
	if (err)
		return err;
	*(u32 *)v->vmcs = vmx_caps.revision;
	vmclear(virt_to_phys(v->vmcs));
	vmx_lazy_reset(v);
	err = vmx_load(v);
	if (err)
		return err;
	init_controls(v);
	vmx_vcpu_reset(v, -1);
	vmx_unload(v);
	return 0;
}

void vmx_vcpu_destroy(struct vmx_vcpu *v)
{
	if (!v->vmcs)
		return;
	vmx_unload(v);
	free_pages(v);
}
