/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs: hv/vm/vcpu.h over /dev/kvm, but for running them (linux/vmm/run.c). */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"
#include "lab/tiny_box.h"
#include "linux/vmm/internal.h"

int vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg)
{
	int ret = ioctl(kvm_vcpu(vcpu)->fd, request, arg);

	return ret < 0 ? -errno : ret;
}

/* --- making them ------------------------------------------------------------------------------ */

static int map_run(struct kvm_vcpu *k)
{
	int size = ioctl(kvm_open(), KVM_GET_VCPU_MMAP_SIZE, 0L);
	void *p;

	if (size < 0)
		return -errno;
	p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	k->kvm_run = p;
	return 0;
}

static int setup_cpuid(struct vcpu *vcpu)
{
	static struct cpuid_table supported;
	struct cpuid_table t;
	const struct cpuid_wish wish = {
		.id = vcpu->id,
		.lapic = kvm_vm(vcpu->vm)->lapics,
		.x2apic = !vcpu->vm->no_x2apic,
		.tsc_deadline = kvm_has(KVM_CAP_TSC_DEADLINE_TIMER),
	};

	if (!supported.nent) {
		supported.nent = CPUID_MAX_ENTRIES;
		if (ioctl(kvm_open(), KVM_GET_SUPPORTED_CPUID, &supported)) {
			supported.nent = 0;
			return -errno;
		}
	}
	t = supported;
	cpuid_tailor(&t, &wish);
	return vcpu_ioctl(vcpu, KVM_SET_CPUID2, &t);
}

static int setup(struct kvm_vcpu *k, struct vm *vm, u32 id)
{
	int err;

	k->vcpu.vm = vm;
	k->vcpu.id = id;
	k->stats_fd = -1;
	k->fd = vm_ioctl(vm, KVM_CREATE_VCPU, (void *)(uintptr_t)id);
	if (k->fd < 0)
		return k->fd;
	k->stats_fd = stats_open(k->fd);
	err = map_run(k);
	if (!err)
		err = setup_cpuid(&k->vcpu);
	return err;
}

static void discard(struct kvm_vcpu *k)
{
	int size = ioctl(kvm_open(), KVM_GET_VCPU_MMAP_SIZE, 0L);

	if (k->kvm_run)
		munmap(k->kvm_run, (size_t)size);
	if (k->stats_fd >= 0)
		close(k->stats_fd);
	if (k->fd >= 0)
		close(k->fd);
	kfree(k);
}

int vcpu_create(struct vcpu **out, struct vm *vm)
{
	u32 id = vm_nr_vcpus(vm);
	struct kvm_vcpu *k;
	int err;

	if (id == VM_MAX_VCPUS)
		return -ENOSPC;
	k = kzalloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	err = setup(k, vm, id);
	if (err) {
		discard(k);
		return err;
	}
	vm->vcpu[id] = &k->vcpu;
	atomic_store(&vm->nr_vcpus, id + 1);
	*out = &k->vcpu;
	return 0;
}

void vcpu_free_all(struct vm *vm)
{
	for (u32 i = 0; i < vm_nr_vcpus(vm); i++)
		discard(kvm_vcpu(vm->vcpu[i]));
}

/* A vCPU of KVM is not bound to a CPU but while it runs, and it goes with its VM. */
void vcpu_unload(struct vcpu *vcpu)
{
}

/* --- registers -------------------------------------------------------------------------------- */

/* In the order of enum gpr. */
static void from_kvm(u64 gpr[NR_GPRS], const struct kvm_regs *r)
{
	const u64 in[NR_GPRS] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
				  r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

	for (unsigned int i = 0; i < NR_GPRS; i++)
		gpr[i] = in[i];
}

static void to_kvm(struct kvm_regs *r, const u64 gpr[NR_GPRS])
{
	__u64 *const out[NR_GPRS] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp,
				      &r->rsi, &r->rdi, &r->r8,	 &r->r9,  &r->r10, &r->r11,
				      &r->r12, &r->r13, &r->r14, &r->r15 };

	for (unsigned int i = 0; i < NR_GPRS; i++)
		*out[i] = gpr[i];
}

int vcpu_get_regs(struct vcpu *vcpu, struct vcpu_regs *regs)
{
	struct kvm_regs r;
	int err = vcpu_ioctl(vcpu, KVM_GET_REGS, &r);

	if (err)
		return err;
	from_kvm(regs->gpr, &r);
	regs->rip = r.rip;
	regs->rflags = r.rflags;
	return 0;
}

int vcpu_set_regs(struct vcpu *vcpu, const struct vcpu_regs *regs)
{
	struct kvm_regs r = { .rip = regs->rip, .rflags = regs->rflags };

	to_kvm(&r, regs->gpr);
	return vcpu_ioctl(vcpu, KVM_SET_REGS, &r);
}

u64 vcpu_rip(struct vcpu *vcpu)
{
	struct vcpu_regs regs = { .rip = 0 };

	vcpu_get_regs(vcpu, &regs);
	return regs.rip;
}

static int set_flat_segments(struct vcpu *vcpu)
{
	const struct kvm_segment data = {
		.limit = ~0u, .selector = 0x10, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
	};
	struct kvm_segment code = data;
	struct kvm_sregs s;
	int err = vcpu_ioctl(vcpu, KVM_GET_SREGS, &s);

	if (err)
		return err;
	code.selector = 0x08;
	code.type = 0xb;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.tr = (struct kvm_segment){ .limit = 0x67, .selector = 0x18, .type = 0xb, .present = 1 };
	s.cr0 = CR0_PE | CR0_ET;
	return vcpu_ioctl(vcpu, KVM_SET_SREGS, &s);
}

void vcpu_set_flat32(struct vcpu *vcpu, u32 eip, u32 eax, u32 ebx)
{
	struct vcpu_regs regs = { .rip = eip, .rflags = RFLAGS_FIXED };

	regs.gpr[GPR_RAX] = eax;
	regs.gpr[GPR_RBX] = ebx;
	BUG_ON(set_flat_segments(vcpu));
	BUG_ON(vcpu_set_regs(vcpu, &regs));
}

void vcpu_set_open(struct vcpu *vcpu)
{
	struct vcpu_regs regs;

	BUG_ON(vcpu_get_regs(vcpu, &regs));
	regs.rflags |= RFLAGS_IF;
	BUG_ON(vcpu_set_regs(vcpu, &regs));
}

/* --- what it waits for ------------------------------------------------------------------------ */

void vcpu_set_mp_state(struct vcpu *vcpu, enum vcpu_mp_state s)
{
	static const u32 states[] = {
		[MP_RUNNABLE] = KVM_MP_STATE_RUNNABLE,
		[MP_HALTED] = KVM_MP_STATE_HALTED,
		[MP_WAIT_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
		[MP_HALTED_USERSPACE] = KVM_MP_STATE_HALTED_USERSPACE,
	};
	struct kvm_mp_state state;

	BUG_ON((unsigned int)s >= ARRAY_SIZE(states));
	state.mp_state = states[s];
	/* Without APICs a vCPU has no such state: it is runnable. */
	if (kvm_vm(vcpu->vm)->lapics || s != MP_RUNNABLE)
		BUG_ON(vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &state));
}

enum vcpu_mp_state vcpu_get_mp_state(struct vcpu *vcpu)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	BUG_ON(vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &state));
	switch (state.mp_state) {
	case KVM_MP_STATE_HALTED: return MP_HALTED;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED: return MP_WAIT_SIPI;
	case KVM_MP_STATE_HALTED_USERSPACE: return MP_HALTED_USERSPACE;
	default: return MP_RUNNABLE;
	}
}

/* --- the local APIC --------------------------------------------------------------------------- */

static u32 *lapic_reg(struct kvm_lapic_state *s, enum lapic_reg reg)
{
	return (u32 *)(void *)(s->regs + reg);
}

int lapic_start(struct vcpu *vcpu, enum lapic_mode mode)
{
	static const enum lapic_reg lvt[] = { LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PMC,
					      LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,	  LAPIC_LVT_ERROR };
	const u32 masked = 1 << 16, spurious = 0xff;
	struct kvm_lapic_state state;
	struct kvm_sregs s;
	int err;

	if (!kvm_vm(vcpu->vm)->lapics)
		return -EOPNOTSUPP;
	err = vcpu_ioctl(vcpu, KVM_GET_SREGS, &s);
	if (err)
		return err;
	s.apic_base |= LAPIC_BASE_EN | (mode == LAPIC_X2APIC ? LAPIC_BASE_EXTD : 0);
	err = vcpu_ioctl(vcpu, KVM_SET_SREGS, &s);
	if (!err)
		err = vcpu_ioctl(vcpu, KVM_GET_LAPIC, &state);
	if (err)
		return err;
	for (unsigned int i = 0; i < ARRAY_SIZE(lvt); i++)
		*lapic_reg(&state, lvt[i]) = masked;
	*lapic_reg(&state, LAPIC_SVR) = LAPIC_SVR_ENABLE | spurious;
	return vcpu_ioctl(vcpu, KVM_SET_LAPIC, &state);
}

enum lapic_mode lapic_mode(struct vcpu *vcpu)
{
	struct kvm_sregs s;

	BUG_ON(vcpu_ioctl(vcpu, KVM_GET_SREGS, &s));
	if (!(s.apic_base & LAPIC_BASE_EN))
		return LAPIC_DISABLED;
	return s.apic_base & LAPIC_BASE_EXTD ? LAPIC_X2APIC : LAPIC_XAPIC;
}

/* A message to its local APIC, by its physical ID, as a device would send it. */
static void send(struct vcpu *vcpu, u32 data)
{
	struct kvm_msi msi = { .address_lo = LAPIC_DEFAULT_BASE | vcpu->id << 12, .data = data };

	BUG_ON(vm_ioctl(vcpu->vm, KVM_SIGNAL_MSI, &msi) < 0);
}

void lapic_post(struct vcpu *vcpu, u8 vector)
{
	send(vcpu, vector);
}

void lapic_post_nmi(struct vcpu *vcpu)
{
	if (kvm_vm(vcpu->vm)->lapics)
		send(vcpu, 4 << 8);
	else
		BUG_ON(vcpu_ioctl(vcpu, KVM_NMI, NULL));
}

/* --- words ------------------------------------------------------------------------------------ */

void vcpu_report_entry_failure(struct vcpu *vcpu, bool dump)
{
	const struct kvm_run *run = kvm_vcpu(vcpu)->kvm_run;

	printk("vCPU %u at %#llx: the CPU refuses the entry: hardware reason %#llx\n", vcpu->id,
	       (unsigned long long)vcpu_rip(vcpu),
	       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
}

u32 tiny_counter(struct vm *vm, u32 i)
{
	u32 counter;

	BUG_ON(vm_read(vm, TINY_BOXES + i * PAGE_SIZE + TINY_BOX_COUNTER, &counter,
		       sizeof(counter)));
	return counter;
}
