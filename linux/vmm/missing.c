/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing` on KVM: lab/missing_rules.c, lab/missing_fault.c and lab/missing_rate.c as
 * they are, over the memory of linux/vmm/missing_memory.c. What is here is KVM's alone: which ways
 * there are, the flag's own rules, and the switch that shows what the annotation is for.
 *
 *   uffd    the vCPU's thread sleeps in KVM_RUN; a handler brings what userfaultfd says
 *   exit    KVM_MEM_EXIT_ON_MISSING: the fault is an exit of KVM_RUN, whose thread brings the page
 */
#include "hv/host/errno.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "linux/vmm/missing.h"

#define KNOB	 "break_missing_annotation"
#define KNOB2	 "break_missing_lookup"
#define UNKNOWN1 (1u << 2)
#define UNKNOWN2 (1u << 4)

extern const u8 missing_ops_start[], missing_ops_end[], missing_op_read[];

static struct missing_vm m;

static const struct param_spec missing_spec[] = {
	PARAM_ENUM("way", 0, "how missing pages are heard of", "all", "uffd", "exit"),
	MISSING_PARAMS,
	PARAM_ENUM("do", 0, "which part", "all", "check", "fault", "rate"),
};

/* --- one access, by hand --------------------------------------------------------------------- */

static bool create(enum missing_way way)
{
	const struct missing_config c = {
		.way = way, .code = { missing_ops_start, missing_ops_end }, .vcpus = 1, .pages = 1
	};
	bool lapics = vm_default_lapics(false);
	int err = missing_create(&m, &c);

	vm_default_lapics(lapics);
	return !missing_failed(way, err);
}

/* The guest is to read the page. */
static void aim(void)
{
	struct vcpu_regs r = { .rip = TINY_CODE + (u64)(missing_op_read - missing_ops_start),
			       .rflags = 2 };

	r.gpr[GPR_RSI] = MISSING_BASE;
	vcpu_set_regs(m.v[0].vcpu, &r);
}

static bool reports_missing(void)
{
	const struct vcpu_run *run = &m.v[0].vcpu->run;

	return !vcpu_run(m.v[0].vcpu) && run->reason == RUN_EXIT_MEMORY_FAULT &&
	       run->memory_fault.gpa == MISSING_BASE;
}

/* --- the flag -------------------------------------------------------------------------------- */

static int give(u32 flags)
{
	return vm_set_region(m.vm, MISSING_SLOT, MISSING_BASE, m.size, vm_hva(m.vm, MISSING_BASE),
			     flags);
}

/* As a slot that is created: whether it is read-only cannot change. */
static int create_again(u32 flags)
{
	void *hva = vm_hva(m.vm, MISSING_BASE);
	int err = vm_set_region(m.vm, MISSING_SLOT, MISSING_BASE, 0, hva, 0);

	if (!err)
		err = vm_set_region(m.vm, MISSING_SLOT, MISSING_BASE, m.size, hva, flags);
	if (err)
		vm_set_region(m.vm, MISSING_SLOT, MISSING_BASE, m.size, hva,
			      KVM_MEM_EXIT_ON_MISSING);
	return err;
}

static void test_flags(void)
{
	const u32 on = KVM_MEM_EXIT_ON_MISSING;

	if (!create(WAY_EXIT))
		return;
	ktap_result(!give(0) && !give(KVM_MEM_LOG_DIRTY_PAGES) &&
			    !give(KVM_MEM_LOG_DIRTY_PAGES | on) && !give(on),
		    "exit: the flag comes and goes while the slot exists, beside a dirty log");
	ktap_result(give(on | UNKNOWN1) == -EINVAL && give(on | UNKNOWN2) == -EINVAL &&
			    give(UNKNOWN1) == -EINVAL,
		    "exit: unknown flags are refused");
	ktap_result(create_again(on | KVM_MEM_READONLY) == -EINVAL,
		    "a read-only slot with exits on missing pages is refused");
	missing_destroy(&m);
}

/* The slot of a vCPU that waits outside loses its flag: KVM takes the page from userfaultfd. */
static void test_flag_goes(void)
{
	bool ok;

	if (!create(WAY_EXIT))
		return;
	aim();
	ok = reports_missing() && !give(0) && !missing_serve(&m, nr_cpus - 1) &&
	     !vcpu_run(m.v[0].vcpu) && m.v[0].vcpu->run.reason == RUN_EXIT_HLT;
	ktap_result(
		ok && atomic_load(&m.served) == 1,
		"a page that was reported and whose slot has lost the flag is no exit any more");
	missing_destroy(&m);
}

/* --- without the annotation ------------------------------------------------------------------ */

/*
 * KVM_RUN says EFAULT, and not for what: the VMM cannot go on. This is what a revert of the one
 * half would leave, if the exit and its annotation were two changes.
 */
static void test_annotation(void)
{
	const struct metric_param p = { .key = "knob", .word = KNOB };
	const struct kvm_run *run;
	u64 count = 0;
	int err;

	if (kvm_param_set("kvm." KNOB, 1) == -ENOENT) {
		ktap_skip("no kvm." KNOB, KNOB
			  ": a missing page is seen to be an error that says "
			  "nothing");
		return;
	}
	if (create(WAY_EXIT)) {
		run = kvm_vcpu(m.v[0].vcpu)->kvm_run;
		aim();
		err = vcpu_run(m.v[0].vcpu);
		count = err == -EFAULT && run->exit_reason != KVM_EXIT_MEMORY_FAULT;
		metric_value("missing.unannotated", "count", count, &p, 1);
		ktap_result(count,
			    KNOB ": a missing page is seen to be an error that says nothing");
		kvm_param_set("kvm." KNOB, 0);
		ktap_result(reports_missing(),
			    "exit: with the annotation the same access says which page is missing");
		missing_destroy(&m);
	}
	kvm_param_set("kvm." KNOB, 0);
}

/* --- without the lookup for reads ------------------------------------------------------------- */

static bool reads(void)
{
	return !vcpu_run(m.v[0].vcpu) && m.v[0].vcpu->run.reason == RUN_EXIT_HLT;
}

/*
 * What UFFDIO_ZEROPAGE maps cannot be written. Who looks for pages that can, as the fast lookup
 * does, misses it for reads as well; and userspace cannot bring what is there.
 */
static void test_zero_page(void)
{
	const struct metric_param p = { .key = "knob", .word = KNOB2 };
	bool seen;

	if (!create(WAY_EXIT))
		return;
	aim();
	if (kvm_param_set("kvm." KNOB2, 1) == -ENOENT) {
		ktap_skip("no kvm." KNOB2, KNOB2 ": a page of zeroes is seen to stay missing");
		seen = reports_missing() && !missing_bring_zero(&m, 0);
	} else {
		seen = reports_missing() && !missing_bring_zero(&m, 0) && reports_missing() &&
		       missing_bring_zero(&m, 0) == -EEXIST;
		metric_value("missing.zero_missing", "count", seen, &p, 1);
		ktap_result(seen, KNOB2 ": a page of zeroes is seen to stay missing");
		kvm_param_set("kvm." KNOB2, 0);
	}
	ktap_result(seen && reads(), "exit: a page of zeroes that was brought can be read");
	missing_destroy(&m);
}

/* --- the whole ------------------------------------------------------------------------------- */

static void check(const struct missing_options *o)
{
	bool lapics = vm_default_lapics(false); /* HLT is to be seen here */

	missing_test_rules(o);
	vm_default_lapics(lapics);
	if (o->ways & BIT(WAY_EXIT)) {
		test_flags();
		test_flag_goes();
		missing_test_together(o);
		test_annotation();
		test_zero_page();
	}
}

static void run_missing(const struct param_values *v)
{
	enum { ALL, CHECK, FAULT, RATE } what = (int)param_number(v, "do");
	struct missing_options o;

	missing_read_options(v, BIT(WAY_QUEUE) | BIT(WAY_EXIT), &o);
	if (o.ways & BIT(WAY_EXIT) &&
	    !needs_cap(KVM_CAP_EXIT_ON_MISSING, "exit: a missing page is an exit"))
		o.ways &= ~(u32)BIT(WAY_EXIT);
	if (what == ALL || what == CHECK)
		check(&o);
	if (what == ALL || what == FAULT)
		missing_fault(&o);
	if (what == ALL || what == RATE)
		missing_rate(&o);
}

EXPERIMENT(missing)
= {
	.name = "missing",
	.shows = "memory whose pages are missing: two ways to page, their promises, how they scale",
	.flags = EXP_NEEDS_VMX,
	.spec = missing_spec,
	.nr_spec = ARRAY_SIZE(missing_spec),
	.run = run_missing,
};
