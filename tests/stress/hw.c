/* SPDX-License-Identifier: GPL-2.0-only */
/* See hw.h. The calls of vmx/vmx.h, but for memory (hw_memory.c). */
#include <stdlib.h>
#include <string.h>

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/x86.h"
#include "tests/stress/hw_internal.h"
#include "tests/stress/stress.h"
#include "vmx/controls.h"

struct vmx_caps vmx_caps;

static bool has_pml;

void hw_reset(void)
{
	has_pml = false;
	vmx_caps = (struct vmx_caps){
		.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_AD,
		.phys_bits = 40,
		.lin_bits = 48,
	};
	hw_set_apic(VMX_APIC_EMULATE);
}

void hw_set_pml(bool on)
{
	has_pml = on;
}

static struct hw_vcpu *hw(struct vmx_vcpu *v)
{
	return v->vmcs;
}

static struct hw_vcpu *loaded(struct vmx_vcpu *v)
{
	stress_check(vmx_is_loaded(v), "a vCPU is used on a CPU that has not loaded it");
	return hw(v);
}

struct hw_vcpu *hw_of(struct vcpu *vcpu)
{
	return hw(&vcpu->vmx);
}

/* --- life ------------------------------------------------------------------------------------ */

int vmx_probe(const char **why)
{
	*why = NULL;
	return 0;
}

void vmx_print_caps(void)
{
}

int vmx_cpu_on(void)
{
	return 0;
}

bool vmx_has_pml(void)
{
	return has_pml;
}

int vmx_vcpu_init(struct vmx_vcpu *v, struct vmx_vm *vm, u16 vpid)
{
	struct hw_vcpu *h = calloc(1, sizeof(*h));

	v->vm = vm;
	v->vpid = vpid;
	v->flush_gen = &vm->flush_gen;
	v->cpu = v->last_cpu = -1;
	v->vmcs = h;
	h->vmx = v;
	h->vcpu = container_of(v, struct vcpu, vmx);
	if (vm->pml)
		hw_log_init(h);
	vmx_load(v);
	vmx_vcpu_reset(v, -1);
	vmx_unload(v);
	return 0;
}

void vmx_vcpu_destroy(struct vmx_vcpu *v)
{
	stress_check(v->cpu < 0 || v->cpu == (s32)this_cpu()->id,
		     "a vCPU is destroyed while loaded on another CPU");
	vmx_unload(v);
	if (v->dirty_log)
		page_free(v->dirty_log, 0);
	free(v->vmcs);
	v->vmcs = NULL;
}

int vmx_load(struct vmx_vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (cpu->loaded == v)
		return 0;
	if (v->cpu >= 0)
		return -EBUSY;
	if (v->last_cpu != (s32)cpu->id)
		v->flushed_gen = 0;
	v->cpu = v->last_cpu = (s32)cpu->id;
	cpu->loaded = v;
	return 0;
}

void vmx_unload(struct vmx_vcpu *v)
{
	if (!vmx_is_loaded(v))
		return;
	this_cpu()->loaded = NULL;
	v->cpu = -1;
}

void vmx_vcpu_reset(struct vmx_vcpu *v, int sipi_page)
{
	struct hw_vcpu *h = loaded(v);

	memset(v->gpr, 0, sizeof(v->gpr));
	memset(h->reg, 0, sizeof(h->reg));
	h->reg[REG_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	h->has_queued = h->nmi_blocked = h->nmi_window = h->intr_window = false;
}

/* --- entry ----------------------------------------------------------------------------------- */

/* What the exit's handler in vmx/enter.c does when the generations differ. */
void hw_flush(struct hw_vcpu *h)
{
	struct vmx_vcpu *v = h->vmx;
	u64 gen = atomic_load(v->flush_gen);

	stress_point();
	memset(h->tlb, 0, sizeof(h->tlb));
	memset(h->table, 0, sizeof(h->table));
	__atomic_store_n(&v->flushed_gen, gen, __ATOMIC_RELEASE);
}

static bool window_is_open(const struct hw_vcpu *h)
{
	return (h->nmi_window && !h->nmi_blocked) || h->intr_window;
}

static void deliver(struct hw_vcpu *h)
{
	if (!h->has_queued)
		return;
	h->has_queued = false;
	if (h->queued.type == EVENT_NMI)
		h->nmi_blocked = true;
	if (h->event)
		h->event(h, &h->queued);
}

static void deliver_virtual(struct hw_vcpu *h)
{
	struct vm_event e = { .vector = hw_apic_deliver(h), .type = EVENT_EXTERNAL };

	if (e.vector && h->event)
		h->event(h, &e);
}

/* The exit for an NMI blocks further ones until an IRET; vmx/enter.c has executed it. */
static u32 run_guest(struct hw_vcpu *h)
{
	int exit = HW_GOES_ON;

	if (h->entered)
		h->entered(h);
	deliver(h);
	if (!hw_apic_entry(h))
		return VM_EXIT_TPR;
	while (exit == HW_GOES_ON) {
		hw_point();
		if (stress_take_nmi())
			return VM_EXIT_NMI;
		if (window_is_open(h))
			return VM_EXIT_WINDOW;
		deliver_virtual(h);
		exit = h->step(h);
	}
	return (u32)exit;
}

u32 vmx_enter(struct vmx_vcpu *v)
{
	struct hw_vcpu *h = loaded(v);
	u32 exit;

	for (;;) {
		stress_point();
		if (v->flushed_gen == atomic_load(v->flush_gen))
			break;
		hw_flush(h);
	}
	stress_point();
	if (atomic_load(&this_cpu()->entry_barred))
		return VM_EXIT_BARRED;
	stress_enter_guest();
	exit = run_guest(h);
	stress_leave_guest();
	stress_point();
	return exit;
}

void vmx_skip_instruction(struct vmx_vcpu *v)
{
	loaded(v)->reg[REG_RIP]++;
}

void vmx_skip_quickly(struct vmx_vcpu *v)
{
	vmx_skip_instruction(v);
}

void vmx_skip_bytes(struct vmx_vcpu *v, unsigned int len)
{
	vmx_skip_instruction(v);
}

int hw_wrmsr(struct hw_vcpu *h, u32 msr, u64 value)
{
	h->vmx->gpr[GPR_RCX] = msr;
	h->vmx->gpr[GPR_RAX] = (u32)value;
	h->vmx->gpr[GPR_RDX] = value >> 32;
	return VM_EXIT_WRMSR;
}

/* --- events ---------------------------------------------------------------------------------- */

int vmx_inject(struct vmx_vcpu *v, const struct vm_event *e)
{
	struct hw_vcpu *h = loaded(v);

	if (e->type == EVENT_EXCEPTION)
		stress_fail("the guest gets exception %u", e->vector);
	if (h->has_queued)
		return -EBUSY;
	h->queued = *e;
	h->has_queued = true;
	return 0;
}

int vmx_inject_db(struct vmx_vcpu *v, u64 dr6)
{
	stress_fail("the guest gets a #DB");
}

bool vmx_event_waits(struct vmx_vcpu *v)
{
	return loaded(v)->has_queued;
}

bool vmx_can_inject_nmi(struct vmx_vcpu *v)
{
	return !loaded(v)->has_queued && !hw(v)->nmi_blocked;
}

bool vmx_can_inject_intr(struct vmx_vcpu *v)
{
	return !loaded(v)->has_queued;
}

void vmx_set_windows(struct vmx_vcpu *v, bool nmi, bool intr)
{
	struct hw_vcpu *h = loaded(v);

	h->nmi_window = nmi;
	h->intr_window = intr;
}

/* --- registers ------------------------------------------------------------------------------- */

u64 vmx_get(struct vmx_vcpu *v, enum vcpu_reg reg)
{
	return loaded(v)->reg[reg];
}

void vmx_set(struct vmx_vcpu *v, enum vcpu_reg reg, u64 value)
{
	loaded(v)->reg[reg] = value;
}

u64 vmx_get_gpr(struct vmx_vcpu *v, enum gpr r)
{
	return loaded(v)->vmx->gpr[r];
}

void vmx_set_gpr(struct vmx_vcpu *v, enum gpr r, u64 value)
{
	loaded(v)->vmx->gpr[r] = value;
}

void vmx_get_segment(struct vmx_vcpu *v, enum vcpu_seg seg, struct vm_segment *out)
{
	*out = (struct vm_segment){ .limit = ~0u };
}

void vmx_set_segment(struct vmx_vcpu *v, enum vcpu_seg seg, const struct vm_segment *s)
{
}

void vmx_set_pdptrs(struct vmx_vcpu *v, const u64 pdpte[4])
{
}

void vmx_set_xcr0(struct vmx_vcpu *v, u64 value)
{
}

void vmx_get_xmm(struct vmx_vcpu *v, unsigned int n, u8 value[16])
{
	memset(value, 0, 16);
}

void vmx_set_xmm(struct vmx_vcpu *v, unsigned int n, const u8 value[16])
{
}

u64 vmx_guest_xcr0_mask(void)
{
	return 0;
}

bool vmx_has_rdtscp(void)
{
	return false;
}

bool vmx_has_invpcid(void)
{
	return false;
}

/* A guest does not exit by itself: nothing but the kick brings it out. */
u64 vmx_heartbeat(void)
{
	return 0;
}

int vmx_set_heartbeat(struct vmx_vcpu *v, u64 ticks)
{
	return -EOPNOTSUPP;
}
