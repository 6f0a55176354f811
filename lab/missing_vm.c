/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `missing` works on: making it, and telling its guests what to do. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/missing.h"

extern const u8 missing_guest_start[], missing_guest_end[];

const char *const missing_way_name[NR_MISSING_WAYS] = { "queue", "exit", "bitmap" };

/* --- the whole ------------------------------------------------------------------------------- */

u32 missing_flags(struct missing_vm *m)
{
	static const u32 flags[NR_MISSING_WAYS] = {
		[WAY_EXIT] = SLOT_EXIT_ON_MISSING,
		[WAY_BITMAP] = SLOT_USERFAULT,
	};

	return flags[m->config.way];
}

struct slot_change missing_slot(struct missing_vm *m, enum slot_op op, u32 flags)
{
	struct slot_change c = { .op = op, .id = MISSING_SLOT, .flags = flags };

	if (flags & SLOT_USERFAULT)
		c.userfault = m->hidden;
	if (op == SLOT_CREATE) {
		c.base = MISSING_BASE;
		c.size = m->size;
		c.backing = m->mem;
	}
	return c;
}

static unsigned int source_order(struct missing_vm *m)
{
	return page_order(m->size);
}

static int create_memory(struct missing_vm *m)
{
	const struct missing_config *c = &m->config;
	bool hide = c->way == WAY_BITMAP;
	struct slot_change slot;
	int err = backing_create(&m->mem, m->size,
				 hide || c->present ? BACKING_RESERVE : BACKING_MISSING);

	if (!err && (hide || c->present))
		err = backing_populate(m->mem);
	if (!err && hide)
		err = userfault_create(&m->hidden, m->mem, !c->present);
	m->source = page_alloc(source_order(m), 0);
	if (!err && !m->source)
		err = -ENOMEM;
	if (err)
		return err;
	for (u32 *word = (u32 *)(void *)m->source, i = 0; i < c->pages * (PAGE_SIZE / 4); i++)
		word[i] = MISSING_VALUE + i / (u32)(PAGE_SIZE / 4);
	if (c->present)
		err = backing_write(m->mem, 0, m->source, m->size);
	slot = missing_slot(m, SLOT_CREATE, missing_flags(m));
	return err ? err : vm_change_slots(m->vm, &slot, 1, SLOTS_ATOMIC, NULL);
}

static int map_ram(struct missing_vm *m)
{
	unsigned int phase = slots_read_begin(m->vm);
	struct vm_slot *slot = slot_find(m->vm, 0);
	struct backing_page page;
	int err = backing_find(slot->backing, slot->offset, &page);

	slots_read_end(m->vm, phase);
	if (!err)
		m->ram = phys_to_virt(page.hpa);
	return err;
}

static int add_vcpu(struct missing_vm *m, u32 i)
{
	struct missing_vcpu *v = &m->v[i];
	int err = vcpu_create(&v->vcpu, m->vm);

	if (err)
		return err;
	v->m = m;
	v->box = (struct missing_box *)(void *)(m->ram + tiny_box_gpa(i));
	if (!i)
		m->tiny.vcpu = v->vcpu;
	vcpu_set_mp_state(v->vcpu, MP_RUNNABLE);
	vcpu_set_flat32(v->vcpu, TINY_CODE, 0, (u32)tiny_box_gpa(i));
	return lapic_start(v->vcpu, LAPIC_XAPIC);
}

int missing_create(struct missing_vm *m, const struct missing_config *c)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->config = *c;
	m->size = c->pages * PAGE_SIZE;
	if (!c->code.start)
		m->config.code = (struct tiny_code){ missing_guest_start, missing_guest_end };
	if (!c->fault)
		m->config.fault = missing_bring_reported;
	err = tiny_create_many(&m->tiny, m->config.code, 0);
	if (err)
		return err;
	m->vm = m->tiny.vm;
	vm_set_traced(m->vm, c->traced);
	err = vm_set_apic(m->vm, VMX_APIC_EMULATE);
	if (!err)
		err = map_ram(m);
	if (!err)
		err = create_memory(m);
	for (u32 i = 0; i < c->vcpus && !err; i++)
		err = add_vcpu(m, i);
	if (err)
		missing_destroy(m);
	return err;
}

int missing_start(struct missing_vm *m)
{
	for (u32 i = 0; i < m->config.vcpus; i++) {
		char name[16];
		int err;

		fmt_print(name, sizeof(name), "vcpu%u", i);
		err = thread_create(&m->v[i].thread, (m->config.first_cpu + i) % nr_cpus, name,
				    missing_run_vcpu, &m->v[i]);
		if (err)
			return err;
	}
	return 0;
}

bool missing_failed(enum missing_way way, int err)
{
	if (err)
		ktap_result(false, "%s: %s", missing_way_name[way], errno_name(err));
	return err;
}

bool missing_run(struct missing_vm *m, const struct missing_config *c)
{
	int err = missing_create(m, c);

	if (!err) {
		err = missing_start(m);
		if (err)
			missing_destroy(m);
	}
	return !missing_failed(c->way, err);
}

void missing_destroy(struct missing_vm *m)
{
	if (!m->vm)
		return;
	vm_stop(m->vm);
	for (u32 i = 0; i < m->config.vcpus; i++)
		if (m->v[i].thread)
			thread_join(m->v[i].thread);
	atomic_store(&m->stop, true);
	if (m->handler)
		thread_join(m->handler);
	tiny_destroy(&m->tiny);
	if (m->hidden)
		userfault_put(m->hidden);
	if (m->mem)
		backing_put(m->mem);
	page_free(m->source, m->source ? source_order(m) : 0);
	m->vm = NULL;
	m->config.vcpus = 0;
}

/* --- what the guests do ---------------------------------------------------------------------- */

void missing_begin(struct missing_vm *m, u32 job, u32 count, u32 apart)
{
	for (u32 i = 0; i < m->config.vcpus; i++) {
		struct missing_box *b = m->v[i].box;

		atomic_store(&b->base, (u32)(MISSING_BASE + i * apart * PAGE_SIZE));
		atomic_store(&b->stride, (u32)PAGE_SIZE);
		atomic_store(&b->count, count);
		atomic_store(&b->value, MISSING_VALUE + i * apart);
		atomic_store(&b->samples, (u32)(MISSING_SAMPLES + i * PAGE_SIZE));
		atomic_store(&b->job, job);
		if (job == MISSING_WRITE)
			atomic_store(&b->written, 1);
	}
	for (u32 i = 0; i < m->config.vcpus; i++)
		atomic_fetch_add(&m->v[i].box->go, 1);
}

bool missing_done(struct missing_vm *m)
{
	for (u32 i = 0; i < m->config.vcpus; i++) {
		struct missing_vcpu *v = &m->v[i];

		if (atomic_load(&v->box->done) != atomic_load(&v->box->go) &&
		    !atomic_load(&v->error))
			return false;
	}
	return true;
}

bool missing_until(struct missing_vm *m, bool (*met)(struct missing_vm *m))
{
	u64 end = ticks_now() + MISSING_SOON;
	bool now;

	while (!(now = met(m)) && ticks_now() < end) {
		cpu_relax();
		thread_yield();
	}
	return now;
}

bool missing_finish(struct missing_vm *m)
{
	bool done;

	if (m->config.way == WAY_QUEUE && !m->handler)
		missing_serve_until(m, missing_done);
	done = missing_until(m, missing_done);

	for (u32 i = 0; i < m->config.vcpus; i++)
		done &= !atomic_load(&m->v[i].error);
	return done;
}

bool missing_free_run(struct missing_vm *m, bool on)
{
	for (u32 i = 0; i < m->config.vcpus; i++)
		atomic_store(&m->v[i].box->free, on);
	if (on)
		return true;
	for (u32 i = 0; i < m->config.vcpus; i++)
		atomic_fetch_add(&m->v[i].box->go, 1);
	return missing_finish(m);
}

bool missing_intact(struct missing_vm *m)
{
	bool ok = true;

	for (u32 i = 0; i < m->config.vcpus; i++) {
		struct missing_vcpu *v = &m->v[i];
		int err = atomic_load(&v->error);
		u32 errors = atomic_load(&v->box->errors);

		if (err)
			ktap_note("vCPU %u %s: %s", i, v->what, errno_name(err));
		if (errors)
			ktap_note("vCPU %u has seen %u wrong words", i, errors);
		ok &= !err && !errors;
	}
	return ok;
}

u64 missing_exits(struct missing_vm *m)
{
	u64 sum = 0;

	for (u32 i = 0; i < m->config.vcpus; i++)
		sum += atomic_load(&m->v[i].exits);
	return sum;
}

u32 missing_sample(struct missing_vm *m, u32 i, u32 n, bool after)
{
	const u32 *samples = (const u32 *)(const void *)(m->ram + MISSING_SAMPLES + i * PAGE_SIZE);

	return samples[2 * n + after];
}

u64 missing_metric(const char *name, const char *unit, u64 *samples, u32 n,
		   const struct missing_params *what)
{
	struct metric_param p[3];
	unsigned int nr = 0;

	if (what->way)
		p[nr++] = (struct metric_param){ .key = "way", .word = what->way };
	if (what->vcpus)
		p[nr++] = (struct metric_param){ .key = "vcpus", .value = what->vcpus };
	if (what->part)
		p[nr++] = (struct metric_param){ .key = "part", .word = what->part };
	metric_samples(name, unit, samples, n, p, nr);
	return samples[(n - 1) / 2];
}
