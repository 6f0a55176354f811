/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `apic` works on, whoever runs it: see lab/apic.h. */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "lab/apic.h"

extern const u8 apic_guest_start[], apic_guest_end[];
extern const u8 apic_stubs_start[], apic_stubs_end[];
extern const u8 apic_startup_start[], apic_startup_end[];

#define GUEST ((struct tiny_code){ apic_guest_start, apic_guest_end })

/* --- a vCPU's thread ------------------------------------------------------------------------- */

static void handle_exit(struct apic_vcpu *v)
{
	const struct vcpu_run *run = &v->vcpu->run;

	switch (run->reason) {
	case RUN_EXIT_IO: wake_all(&v->a->told); return;
	case RUN_EXIT_EOI:
		atomic_store(&v->end_vector, run->eoi.vector);
		atomic_fetch_add(&v->ends, 1);
		return;
	case RUN_EXIT_ERROR: v->what = run->error.what; break;
	default: v->what = "left for a strange reason";
	}
	atomic_store(&v->error, -EIO);
}

static void run_vcpu(void *arg)
{
	struct apic_vcpu *v = arg;
	bool over = false;

	while (!over && !atomic_load(&v->error)) {
		int err = vcpu_run(v->vcpu);

		if (!err) {
			handle_exit(v);
		} else if (err == -EINTR) {
			apic_left(v);
			over = vm_wait_resumed(v->a->vm);
		} else {
			v->what = "cannot run";
			atomic_store(&v->error, err);
		}
	}
	vcpu_unload(v->vcpu);
	wake_all(&v->a->told);
}

/* --- the guest's tables ---------------------------------------------------------------------- */

#define PAGE_PRESENT  3ull /* and writable */
#define PAGE_LARGE    BIT(7)
#define PAGE_UNCACHED BIT(4)
#define APIC_GIB      (APIC_MMIO >> 30)

/* The first and the fourth GiB, one to one. */
static void write_page_tables(struct apic_vm *a)
{
	u64 *pml4 = (u64 *)(void *)(a->ram + APIC_TABLES), *pdpt = pml4 + 512;
	u64 *first = pdpt + 512, *fourth = first + 512;

	pml4[0] = (APIC_TABLES + PAGE_SIZE) | PAGE_PRESENT;
	pdpt[0] = (APIC_TABLES + 2 * PAGE_SIZE) | PAGE_PRESENT;
	pdpt[APIC_GIB] = (APIC_TABLES + 3 * PAGE_SIZE) | PAGE_PRESENT;
	for (u64 i = 0; i < 512; i++) {
		first[i] = i * MIB(2) | PAGE_LARGE | PAGE_PRESENT;
		fourth[i] = (APIC_GIB * GIB(1) + i * MIB(2)) | PAGE_LARGE | PAGE_UNCACHED |
			    PAGE_PRESENT;
	}
}

struct gate {
	u16 low, selector;
	u16 type;
	u16 middle;
	u64 high;
};

#define EXCEPTIONS 32
#define VECTORS	   (TINY_VECTOR + TINY_NR_VECTORS)

_Static_assert(sizeof(struct gate) == 16, "an entry of a 64-bit IDT");

static void set_gate(struct gate *g, u32 stub)
{
	*g = (struct gate){ .low = (u16)(TINY_STUBS + 16 * stub),
			    .selector = 0x08,
			    .type = 0x8e00 };
}

/* In the places of tiny_create_many()'s. */
static void write_idt(struct apic_vm *a)
{
	struct gate *idt = (struct gate *)(void *)(a->ram + TINY_IDT + 16);
	u16 *limit = (u16 *)(void *)(a->ram + TINY_IDT);

	*limit = VECTORS * sizeof(struct gate) - 1;
	memset(idt, 0, *limit + 1u);
	for (u32 n = 0; n < EXCEPTIONS; n++)
		set_gate(&idt[n], TINY_NR_VECTORS + (n != EXC_NMI));
	for (u32 n = 0; n < TINY_NR_VECTORS; n++)
		set_gate(&idt[TINY_VECTOR + n], n);
	memcpy(a->ram + TINY_STUBS, apic_stubs_start, (size_t)(apic_stubs_end - apic_stubs_start));
	memcpy(a->ram + APIC_STARTUP, apic_startup_start,
	       (size_t)(apic_startup_end - apic_startup_start));
}

/* --- the whole ------------------------------------------------------------------------------- */

void apic_expect(struct apic_vm *a, u32 i, u32 mode)
{
	struct apic_box *b = a->v[i].box;
	u32 version = apic_version(a, i);

	atomic_store(&b->mode, mode);
	switch (mode) {
	case APIC_MODE_XAPIC:
		atomic_store(&b->expect[0], i << 24);
		atomic_store(&b->expect[1], version);
		atomic_store(&b->expect[2], 1u << (24 + i));
		break;
	case APIC_MODE_X2APIC:
		atomic_store(&b->expect[0], i);
		atomic_store(&b->expect[1], version);
		atomic_store(&b->expect[2], (i / 16) << 16 | 1u << (i % 16));
		break;
	default:
		for (unsigned int n = 0; n < ARRAY_SIZE(b->expect); n++)
			atomic_store(&b->expect[n], ~0u);
	}
}

static int add_vcpu(struct apic_vm *a, u32 i)
{
	const struct apic_config *c = &a->config;
	struct apic_vcpu *v = &a->v[i];
	int err = tiny_add(&a->tiny);

	if (err)
		return err;
	v->a = a;
	v->vcpu = a->vm->vcpu[i];
	v->box = (struct apic_box *)(void *)(a->ram + tiny_box_gpa(i));
	atomic_store(&v->box->me, i);
	atomic_store(&v->box->nr, c->vcpus);
	apic_expect(a, i, c->x2apic & BIT(i) ? APIC_MODE_X2APIC : APIC_MODE_XAPIC);
	if (c->asleep & BIT(i))
		vcpu_set_mp_state(v->vcpu, MP_WAIT_SIPI);
	return 0;
}

static int create_vm(struct apic_vm *a)
{
	int err = tiny_create_many(&a->tiny, GUEST, 0);

	if (err)
		return err;
	a->vm = a->tiny.vm;
	vm_expect_events(a->vm);
	return apic_vm_setup(a);
}

int apic_vm_create(struct apic_vm *a, const struct apic_config *c)
{
	int err;

	memset(a, 0, sizeof(*a));
	a->config = *c;
	wait_queue_init(&a->told);
	err = create_vm(a);
	if (!err) {
		write_page_tables(a);
		write_idt(a);
	}
	for (u32 i = 0; i < c->vcpus && !err; i++)
		err = add_vcpu(a, i);
	if (err)
		apic_vm_destroy(a);
	else
		apic_fill(a);
	return err;
}

int apic_vm_start(struct apic_vm *a)
{
	for (u32 i = 0; i < a->config.vcpus; i++) {
		u32 cpu = (a->config.first_cpu + i) % nr_cpus;
		char name[16];
		int err;

		fmt_print(name, sizeof(name), "vcpu%u", i);
		err = thread_create(&a->v[i].thread, cpu, name, run_vcpu, &a->v[i]);
		if (err)
			return err;
	}
	return 0;
}

static bool all_started(struct apic_vm *a)
{
	struct waiter w;

	for (u32 i = 0; i < a->config.vcpus; i++) {
		u64 end = ticks_now() + APIC_SOON;

		while (!(a->config.asleep & BIT(i)) && !atomic_load(&a->v[i].box->started)) {
			/* Nobody wakes it: it lets the vCPUs of this CPU run. */
			wait_prepare(&a->told, &w);
			wait_sleep_until(&w, ticks_now() + patient(2000));
			wait_finish(&a->told, &w);
			if (ticks_now() > end || atomic_load(&a->v[i].error))
				return false;
		}
	}
	return true;
}

bool apic_vm_run(struct apic_vm *a, const struct apic_config *c)
{
	int err = apic_vm_create(a, c);

	if (!err) {
		err = apic_vm_start(a);
		if (!err && !all_started(a))
			err = -ETIMEDOUT;
		if (err) {
			apic_intact(a);
			apic_vm_destroy(a);
		}
	}
	if (err) {
		ktap_result(false, "a VM with %u vCPUs can be started: %s", c->vcpus,
			    vmx_apic_rung_name(c->rung));
		ktap_note("%s", errno_name(err));
	}
	return !err;
}

void apic_vm_destroy(struct apic_vm *a)
{
	if (!a->vm)
		return;
	vm_stop(a->vm);
	for (u32 i = 0; i < a->config.vcpus; i++)
		if (a->v[i].thread)
			thread_join(a->v[i].thread);
	tiny_destroy(&a->tiny);
	a->vm = NULL;
}

/* --- what the guests do ---------------------------------------------------------------------- */

bool apic_intact(struct apic_vm *a)
{
	bool ok = true;

	for (u32 i = 0; i < a->config.vcpus; i++) {
		struct apic_vcpu *v = &a->v[i];
		struct apic_box *b = v->box;
		int err = atomic_load(&v->error);

		if (err)
			ktap_note("vCPU %u: %s (%s)", i, v->what, errno_name(err));
		if (atomic_load(&b->errors))
			ktap_note("vCPU %u: an exception (%#x, %#x)", i, atomic_load(&b->fault[0]),
				  atomic_load(&b->fault[1]));
		if (atomic_load(&b->wrong))
			ktap_note("vCPU %u: %u of %u registers were wrong, %u of them raw: %#x", i,
				  atomic_load(&b->wrong), atomic_load(&b->reads),
				  atomic_load(&b->raw), atomic_load(&b->found));
		ok &= !err && !atomic_load(&b->errors) && !atomic_load(&b->wrong);
	}
	return ok;
}

void apic_begin(struct apic_vm *a, u32 i, u32 job)
{
	struct apic_box *b = a->v[i].box;

	atomic_store(&b->stop, 0);
	atomic_store(&b->job, job);
	atomic_fetch_add(&b->go, 1);
	if (atomic_load(&b->halt))
		lapic_post(a->v[i].vcpu, TINY_VECTOR + APIC_WAKE);
}

bool apic_wait(struct apic_vm *a, u32 i)
{
	struct apic_vcpu *v = &a->v[i];
	u64 end = ticks_now() + APIC_SOON;
	struct waiter w;

	for (;;) {
		wait_prepare(&a->told, &w);
		if (atomic_load(&v->box->done) == atomic_load(&v->box->go) ||
		    atomic_load(&v->error) || ticks_now() > end)
			break;
		wait_sleep_until(&w, end);
	}
	wait_finish(&a->told, &w);
	return atomic_load(&v->box->done) == atomic_load(&v->box->go);
}

bool apic_watch(struct apic_vm *a)
{
	bool run = true;

	for (u32 i = 0; i < a->config.vcpus; i++)
		apic_begin(a, i, APIC_JOB_WATCH);
	for (u32 i = 0; i < a->config.vcpus; i++)
		run &= apic_runs(a, i);
	return run;
}

bool apic_rest(struct apic_vm *a, u32 i)
{
	atomic_store(&a->v[i].box->stop, 1);
	return apic_wait(a, i);
}

bool apic_switch(struct apic_vm *a, u32 i, u32 mode)
{
	apic_expect(a, i, mode);
	return apic_do(a, i, APIC_JOB_MODE);
}

bool apic_runs(struct apic_vm *a, u32 i)
{
	u32 before = atomic_load(&a->v[i].box->beats);

	return APIC_WAIT(atomic_load(&a->v[i].box->beats) != before || atomic_load(&a->v[i].error));
}

bool apic_frozen(struct apic_vm *a, u32 i, u64 ticks)
{
	u32 before = atomic_load(&a->v[i].box->beats);

	spin_ticks(ticks);
	return atomic_load(&a->v[i].box->beats) == before;
}
