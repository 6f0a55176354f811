/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `missing` works on: making it, and telling its guests what to do. */
#include "hv/host/errno.h"
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/missing.h"

extern const u8 missing_guest_start[], missing_guest_end[];

/* --- the whole ------------------------------------------------------------------------------- */

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
	return missing_start_vcpu(v);
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
	err = missing_map_ram(m);
	if (!err)
		err = missing_create_memory(m);
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

void missing_write_source(struct missing_vm *m)
{
	u32 *word = (u32 *)(void *)m->source;

	for (u32 i = 0; i < m->config.pages * (PAGE_SIZE / 4); i++)
		word[i] = MISSING_VALUE + i / (u32)(PAGE_SIZE / 4);
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
	missing_stop(m);
	for (u32 i = 0; i < m->config.vcpus; i++)
		if (m->v[i].thread)
			thread_join(m->v[i].thread);
	atomic_store(&m->stop, true);
	if (m->handler)
		thread_join(m->handler);
	missing_destroy_memory(m);
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

void missing_report_left(const char *of, u64 left, u64 ops, const struct metric_param *p,
			 unsigned int n)
{
	struct metric_param all[METRIC_MAX_PARAMS] = {
		{ .key = "of", .word = of },
		{ .key = "ops", .value = ops },
	};

	if (!left)
		return;
	BUG_ON(n > METRIC_MAX_PARAMS - 2);
	memcpy(&all[2], p, n * sizeof(*p));
	metric_value("kvm.exits", "count", left, all, n + 2);
}
