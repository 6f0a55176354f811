/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/vm/vcpu_state.h. What is in the CPU: vmx/save.c; the local APIC: hv/vm/lapic_state.c. */
#include "hv/vm/vcpu_state.h"

#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/vm/internal.h"
#include "hv/vm/lapic_internal.h"

#define MISC_CHANGING 1ull /* what a guest can set of IA32_MISC_ENABLE: hv/vm/msr.c */

/* --- out of one ------------------------------------------------------------------------------ */

/* Of INS only the store is left: everything else needs no memory and has been completed. */
static void get_ins(struct vcpu *vcpu, struct vcpu_state *s)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	if (vcpu->pending != PENDING_STORE) {
		s->ins_size = s->ins_flags = s->ins_addr_size = s->ins_len = 0;
		s->ins_left = s->ins_linear = s->ins_data = 0;
		return;
	}
	s->ins_size = e->io.size;
	s->ins_flags = e->io.flags;
	s->ins_addr_size = e->io.addr_size;
	s->ins_len = vcpu->string.len ? vcpu->string.len : vmx_instruction_len(&vcpu->vmx);
	s->ins_left = vcpu->string.left;
	s->ins_linear = vcpu->string.linear;
	s->ins_data = (u32)(vcpu->string.data & (BIT(e->io.size * 8) - 1));
}

static int get_state(struct vcpu *vcpu, struct vcpu_state *s)
{
	struct vmx_vcpu *v = &vcpu->vmx;

	vcpu_complete_registers(vcpu);
	s->layout = VCPU_STATE_LAYOUT;
	s->id = vcpu->id;
	s->tsc_khz = (u32)(tsc_hz / 1000);
	s->mp_state = (u8)vcpu->mp_state;
	memset(s->unused, 0, sizeof(s->unused));
	get_ins(vcpu, s);
	s->taken = ticks_now();
	s->tsc = s->taken + vmx_get(v, REG_TSC_OFFSET);
	s->misc_enable = vcpu->misc_enable;
	lapic_get_state(vcpu, &s->lapic);
	return vmx_save(v, &s->cpu);
}

int vcpu_get_state(struct vcpu *vcpu, struct vcpu_state *s)
{
	unsigned int phase = slots_read_begin(vcpu->vm);
	int err = vcpu_come(vcpu);

	if (!err)
		err = get_state(vcpu, s);
	slots_read_end(vcpu->vm, phase);
	return err;
}

/* --- whether it can be another --------------------------------------------------------------- */

static bool ins_is_right(const struct vcpu_state *s)
{
	u64 last = s->ins_linear + s->ins_size - 1;

	if (!s->ins_size)
		return !(s->ins_flags | s->ins_addr_size | s->ins_len | s->ins_data | s->ins_left |
			 s->ins_linear);
	if ((s->ins_size != 1 && s->ins_size != 2 && s->ins_size != 4) ||
	    (s->ins_addr_size != 2 && s->ins_addr_size != 4 && s->ins_addr_size != 8))
		return false;
	if ((s->ins_flags & ~VM_IO_REP) != (VM_IO_IN | VM_IO_STRING) || !s->ins_left ||
	    (!(s->ins_flags & VM_IO_REP) && s->ins_left != 1))
		return false;
	return s->ins_len && s->ins_len <= 15 && !((u64)s->ins_data >> s->ins_size * 8) &&
	       io_is_canonical(s->ins_linear) && io_is_canonical(last);
}

static const char *check_state(struct vcpu *vcpu, const struct vcpu_state *s)
{
	if (s->layout != VCPU_STATE_LAYOUT)
		return "a state of another layout";
	if (s->id != vcpu->id)
		return "the state of a vCPU with another id";
	if (s->tsc_khz != (u32)(tsc_hz / 1000))
		return "a TSC of another frequency";
	if (s->mp_state > MP_INACTIVE_VTL)
		return "an MP state that does not exist";
	if ((s->misc_enable ^ vcpu->misc_enable) & ~MISC_CHANGING)
		return "bits of IA32_MISC_ENABLE that this guest does not have";
	if (s->unused[0] | s->unused[1] | s->unused[2])
		return "reserved bytes of the state";
	if (!ins_is_right(s))
		return "an INS that cannot have been begun";
	/* Without XSAVE it is 1 for ever. */
	if (vmx_guest_xcr0_mask() ? !vcpu_xcr0_is_valid(s->cpu.xcr0) : s->cpu.xcr0 != 1)
		return "XCR0 is one that this guest cannot have";
	return lapic_check_state(vcpu, &s->lapic);
}

/* --- into another ---------------------------------------------------------------------------- */

static void set_ins(struct vcpu *vcpu, const struct vcpu_state *s)
{
	struct vm_exit *e = &vcpu->vmx.exit;

	vcpu->pending = PENDING_NONE;
	vcpu->string.left = 0;
	vcpu->run.reason = RUN_EXIT_NONE;
	if (!s->ins_size)
		return;
	vcpu->pending = PENDING_STORE;
	e->io.size = s->ins_size;
	e->io.flags = s->ins_flags;
	e->io.addr_size = s->ins_addr_size;
	vcpu->string.len = s->ins_len;
	vcpu->string.left = s->ins_left;
	vcpu->string.linear = s->ins_linear;
	vcpu->string.data = s->ins_data;
}

/* The offset first: the local APIC's timer goes by the guest's TSC. */
static void set_state(struct vcpu *vcpu, const struct vcpu_state *s)
{
	struct vmx_vcpu *v = &vcpu->vmx;

	vmx_restore(v, &s->cpu);
	vmx_set(v, REG_TSC_OFFSET, s->tsc - s->taken);
	vcpu->misc_enable = s->misc_enable;
	vcpu->mp_state = s->mp_state;
	set_ins(vcpu, s);
	lapic_set_state(vcpu, &s->lapic);
	vcpu_cpuid_update(vcpu, s->cpu.cr4);
	if (lapic_has_any(vcpu) || s->lapic.pending || s->cpu.event)
		vcpu_event(vcpu);
}

static int refuse(struct vcpu_state_report *report, const char *why)
{
	fmt_print(report->why, sizeof(report->why), "%s", why);
	return -EINVAL;
}

int vcpu_set_state(struct vcpu *vcpu, const struct vcpu_state *s, struct vcpu_state_report *report)
{
	struct vcpu_state_report unused;
	struct vm *vm = vcpu->vm;
	unsigned int phase;
	const char *bad;
	int err;

	if (!report)
		report = &unused;
	report->why[0] = '\0';
	bad = check_state(vcpu, s);
	if (bad)
		return refuse(report, bad);
	if (!vmx_may_restore(&s->cpu, vcpu->cr4_may, report->why, sizeof(report->why)))
		return -EINVAL;
	/* Not in a section: it may have to wait until other vCPUs have left the guest. */
	err = vcpu_come(vcpu);
	if (!err)
		err = lapic_adopt_base(vcpu, s->lapic.base);
	if (err)
		return err;
	phase = slots_read_begin(vm);
	err = vcpu_come(vcpu); /* other threads of this CPU may have run */
	if (!err)
		set_state(vcpu, s);
	slots_read_end(vm, phase);
	return err;
}
