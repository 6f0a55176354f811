/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/fake_vmx.h"
#include "vmx/controls.h"

#define MAX_SCRIPT 256
#define DR7_GD	   BIT(13)

struct vmx_caps vmx_caps;
struct fake_vmx fake_vmx;

static struct fake_exit script[MAX_SCRIPT];
static unsigned int script_len, script_at;

void fake_vmx_reset(void)
{
	fake_vmx = (struct fake_vmx){ .rdtscp = true, .invpcid = true, .pml = true };
	vmx_caps = (struct vmx_caps){
		.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_AD,
		.phys_bits = 40,
		.lin_bits = 48,
	};
	fake_set_apic_best(VMX_APIC_X2APIC);
	script_len = script_at = 0;
}

static struct fake_vcpu *fake(struct vmx_vcpu *v)
{
	return v->vmcs;
}

struct fake_vcpu *fake_of(struct vcpu *vcpu)
{
	return fake(&vcpu->vmx);
}

static struct fake_vcpu *loaded(struct vmx_vcpu *v)
{
	if (!vmx_is_loaded(v))
		fail_msg("vCPU %u is used on a CPU that has not loaded it", v->vpid);
	return fake(v);
}

/* --- life ------------------------------------------------------------------------------------ */

int vmx_probe(const char **why)
{
	*why = fake_vmx.probe_error ? "told so" : NULL;
	return fake_vmx.probe_error;
}

void vmx_print_caps(void)
{
	printk("# everything\n");
}

int vmx_cpu_on(void)
{
	int err = fake_vmx.cpu_on_error[this_cpu()->id];

	if (!err)
		fake_vmx.cpus_on++;
	return err;
}

int vmx_vcpu_init(struct vmx_vcpu *v, struct vmx_vm *vm, u16 vpid)
{
	if (fake_vmx.init_error)
		return fake_vmx.init_error;
	assert_int_not_equal(vpid, 0);
	v->vm = vm;
	v->vpid = vpid;
	v->flush_gen = &vm->flush_gen;
	v->cpu = v->last_cpu = -1;
	v->vmcs = calloc(1, sizeof(struct fake_vcpu));
	assert_non_null(v->vmcs);
	fake(v)->insn_len = 2;
	fake(v)->xcr0 = 1;
	fake(v)->rest.xstate_bytes = 512;
	fake_vmx.vcpus_live++;
	assert_int_equal(vmx_load(v), 0);
	vmx_vcpu_reset(v, -1);
	vmx_unload(v);
	return 0;
}

void vmx_vcpu_destroy(struct vmx_vcpu *v)
{
	if (v->cpu >= 0 && v->cpu != (s32)this_cpu()->id)
		fail_msg("vCPU %u is destroyed while loaded on another CPU", v->vpid);
	vmx_unload(v);
	free(v->vmcs);
	v->vmcs = NULL;
	fake_vmx.vcpus_live--;
}

int vmx_load(struct vmx_vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (cpu->loaded == v)
		return 0;
	if (v->cpu >= 0 && v->cpu != (s32)cpu->id)
		return -EBUSY;
	if (v->cpu < 0) {
		if (v->last_cpu != (s32)cpu->id)
			v->flushed_gen = 0;
		v->cpu = v->last_cpu = (s32)cpu->id;
	}
	cpu->loaded = v;
	fake_machine.xcr0 = fake(v)->xcr0;
	return 0;
}

void vmx_unload(struct vmx_vcpu *v)
{
	struct cpu *cpu = this_cpu();

	if (v->cpu != (s32)cpu->id)
		return;
	if (cpu->loaded == v)
		cpu->loaded = NULL;
	v->cpu = -1;
}

static void reset_segments(struct fake_vcpu *f, int sipi_page)
{
	for (unsigned int i = 0; i < NR_VSEGS; i++)
		f->seg[i] = (struct vm_segment){ .limit = 0xffff, .access = 0x93 };
	f->seg[VSEG_CS].access = 0x9b;
	f->seg[VSEG_CS].selector = sipi_page < 0 ? 0xf000 : (u16)(sipi_page << 8);
	f->seg[VSEG_CS].base = sipi_page < 0 ? 0xffff0000 : (u64)sipi_page << PAGE_SHIFT;
	f->seg[VSEG_LDTR].access = 0x82;
	f->seg[VSEG_TR].access = 0x8b;
}

void vmx_vcpu_reset(struct vmx_vcpu *v, int sipi_page)
{
	struct fake_vcpu *f = loaded(v);

	memset(v->gpr, 0, sizeof(v->gpr));
	memset(f->reg, 0, sizeof(f->reg));
	v->gpr[GPR_RDX] = 0x600;
	reset_segments(f, sipi_page);
	f->reg[REG_RIP] = sipi_page < 0 ? 0xfff0 : 0;
	f->reg[REG_RFLAGS] = RFLAGS_FIXED;
	f->reg[REG_CR0] = CR0_CD | CR0_NW | CR0_ET;
	f->reg[REG_DR7] = 0x400;
	f->shadow = f->nmi_blocked = f->queued = false;
	f->nmi_window = f->intr_window = false;
}

/* --- entry ----------------------------------------------------------------------------------- */

struct fake_exit *fake_exit_add(u32 reason)
{
	struct fake_exit *e = &script[script_len++];

	assert_in_range(script_len, 1, MAX_SCRIPT);
	*e = (struct fake_exit){ .reason = reason };
	return e;
}

unsigned int fake_exits_left(void)
{
	return script_len - script_at;
}

/* What the CPU does with an event that is queued, and what it would refuse. */
static void deliver(struct fake_vcpu *f)
{
	struct vm_event *e = &f->event;

	if (e->type == EVENT_EXTERNAL && (f->shadow || !(f->reg[REG_RFLAGS] & RFLAGS_IF)))
		fail_msg("interrupt %u is injected where none can be taken", e->vector);
	if (e->type == EVENT_NMI && (f->shadow || f->nmi_blocked))
		fail_msg("an NMI is injected where none can be taken");
	if (e->type == EVENT_EXTERNAL)
		f->reg[REG_RFLAGS] &= ~RFLAGS_IF;
	if (e->type == EVENT_NMI)
		f->nmi_blocked = true;
	assert_in_range(f->nr_delivered, 0, FAKE_EVENTS - 1);
	f->delivered[f->nr_delivered++] = *e;
	f->queued = false;
}

static bool window_is_open(const struct fake_vcpu *f)
{
	if (f->shadow)
		return false;
	return (f->nmi_window && !f->nmi_blocked) ||
	       (f->intr_window && (f->reg[REG_RFLAGS] & RFLAGS_IF));
}

u32 vmx_enter(struct vmx_vcpu *v)
{
	struct vcpu *vcpu = container_of(v, struct vcpu, vmx);
	struct fake_vcpu *f = loaded(v);
	struct fake_exit *e;

	assert_int_equal(fake_locks_held(), 0);
	if (atomic_load(&this_cpu()->entry_barred))
		return VM_EXIT_BARRED;
	if (v->flushed_gen != atomic_load(v->flush_gen)) {
		v->flushed_gen = atomic_load(v->flush_gen);
		f->flushes++;
		f->apic.owes_flush = false;
	}
	if (f->queued)
		deliver(f);
	if (!fake_apic_entry(v))
		return VM_EXIT_TPR;
	if (window_is_open(f))
		return VM_EXIT_WINDOW;
	if (script_at == script_len)
		fail_msg("vCPU %u is entered after the end of the script", vcpu->id);
	e = &script[script_at++];
	f->entries++;
	v->exit = e->exit;
	if (e->during)
		e->during(vcpu);
	return e->reason;
}

void vmx_skip_bytes(struct vmx_vcpu *v, unsigned int len)
{
	struct fake_vcpu *f = loaded(v);

	f->reg[REG_RIP] += len;
	f->shadow = false;
	f->skips++;
}

void vmx_skip_instruction(struct vmx_vcpu *v)
{
	vmx_skip_bytes(v, fake(v)->insn_len);
}

void vmx_skip_quickly(struct vmx_vcpu *v)
{
	struct fake_vcpu *f = loaded(v);

	f->reg[REG_RIP] += f->insn_len;
	f->shadow = false; /* ended at the latest when an injection asks */
	f->quick++;
}

/* --- events ---------------------------------------------------------------------------------- */

int vmx_inject(struct vmx_vcpu *v, const struct vm_event *e)
{
	struct fake_vcpu *f = loaded(v);

	if (f->queued && e->type != EVENT_EXCEPTION)
		return -EBUSY;
	if (f->queued && f->event.type == EVENT_EXCEPTION && f->event.vector == EXC_DF)
		return -EPROTO;
	f->event = *e;
	f->queued = true;
	return 0;
}

int vmx_inject_db(struct vmx_vcpu *v, u64 dr6)
{
	const struct vm_event db = { .vector = EXC_DB, .type = EVENT_EXCEPTION };
	struct fake_vcpu *f = loaded(v);

	f->dr6 |= dr6;
	f->reg[REG_DR7] &= ~DR7_GD;
	return vmx_inject(v, &db);
}

bool vmx_event_waits(struct vmx_vcpu *v)
{
	return loaded(v)->queued;
}

bool vmx_can_inject_nmi(struct vmx_vcpu *v)
{
	struct fake_vcpu *f = loaded(v);

	return !f->queued && !f->shadow && !f->nmi_blocked;
}

bool vmx_can_inject_intr(struct vmx_vcpu *v)
{
	struct fake_vcpu *f = loaded(v);

	return !f->queued && !f->shadow && (f->reg[REG_RFLAGS] & RFLAGS_IF);
}

void vmx_set_windows(struct vmx_vcpu *v, bool nmi, bool intr)
{
	struct fake_vcpu *f = loaded(v);

	f->nmi_window = nmi;
	f->intr_window = intr;
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

void vmx_get_segment(struct vmx_vcpu *v, enum vcpu_seg seg, struct vm_segment *out)
{
	*out = loaded(v)->seg[seg];
}

void vmx_set_segment(struct vmx_vcpu *v, enum vcpu_seg seg, const struct vm_segment *s)
{
	loaded(v)->seg[seg] = *s;
}

u64 vmx_get_gpr(struct vmx_vcpu *v, enum gpr r)
{
	return r == GPR_RSP ? loaded(v)->reg[REG_RSP] : v->gpr[r];
}

void vmx_set_gpr(struct vmx_vcpu *v, enum gpr r, u64 value)
{
	if (r == GPR_RSP)
		loaded(v)->reg[REG_RSP] = value;
	else
		v->gpr[r] = value;
}

void vmx_set_pdptrs(struct vmx_vcpu *v, const u64 pdpte[4])
{
	struct fake_vcpu *f = loaded(v);

	memcpy(f->pdpte, pdpte, sizeof(f->pdpte));
	f->pdpte_loads++;
}

void vmx_set_xcr0(struct vmx_vcpu *v, u64 value)
{
	loaded(v)->xcr0 = value;
	fake_machine.xcr0 = value;
}

void vmx_get_xmm(struct vmx_vcpu *v, unsigned int n, u8 value[16])
{
	memcpy(value, loaded(v)->xmm[n], 16);
}

void vmx_set_xmm(struct vmx_vcpu *v, unsigned int n, const u8 value[16])
{
	memcpy(loaded(v)->xmm[n], value, 16);
}

u64 vmx_guest_xcr0_mask(void)
{
	return fake_machine.xcr0_mask;
}

bool vmx_has_rdtscp(void)
{
	return fake_vmx.rdtscp;
}

bool vmx_has_invpcid(void)
{
	return fake_vmx.invpcid;
}

/* --- the log of dirty pages, and the timer --------------------------------------------------- */

bool vmx_has_pml(void)
{
	return fake_vmx.pml;
}

bool fake_log(struct vcpu *vcpu, gpa_t gpa)
{
	struct fake_vcpu *f = fake_of(vcpu);

	if (!vcpu->vmx.vm->pml)
		fail_msg("vCPU %u has no log of dirty pages", vcpu->id);
	if (f->nr_logged == VMX_DIRTY_LOG)
		return false;
	f->logged[f->nr_logged++] = ALIGN_DOWN(gpa, PAGE_SIZE);
	return true;
}

unsigned int vmx_dirty_take(struct vmx_vcpu *v, gpa_t out[VMX_DIRTY_LOG])
{
	struct vcpu *vcpu = container_of(v, struct vcpu, vmx);
	struct fake_vcpu *f = fake(v);
	unsigned int n = f->nr_logged - f->nr_taken;

	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	memcpy(out, f->logged + f->nr_taken, n * sizeof(*out));
	f->nr_taken = f->nr_logged;
	return n;
}

void vmx_dirty_rewind(struct vmx_vcpu *v)
{
	struct fake_vcpu *f = loaded(v);

	if (f->nr_taken != f->nr_logged)
		fail_msg("vCPU %u: pages that nobody has taken are dropped from its log", v->vpid);
	f->nr_taken = f->nr_logged = 0;
}

u64 vmx_heartbeat(void)
{
	return fake_vmx.heartbeat_error ? 0 : 1000000;
}

int vmx_set_heartbeat(struct vmx_vcpu *v, u64 ticks)
{
	assert_int_not_equal(ticks, 0);
	if (v->cpu >= 0)
		loaded(v);
	if (!fake_vmx.heartbeat_error)
		fake(v)->heartbeat = ticks;
	return fake_vmx.heartbeat_error;
}
