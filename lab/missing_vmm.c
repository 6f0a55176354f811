/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMM of experiment `missing`: a thread for each vCPU, a handler, and the bringing of pages.
 * What it takes from an exit to the page and back is part of what is measured.
 */
#include "hv/host/errno.h"
#include "lab/missing.h"

#define POLL 20000 /* ticks after which a handler without work looks whether it is to stop */

/* --- the handler ----------------------------------------------------------------------------- */

/* What vCPUs wait for, until that is over. */
void missing_serve_until(struct missing_vm *m, bool (*over)(struct missing_vm *m))
{
	u64 end = ticks_now() + MISSING_SOON;
	struct fetch f;

	while (!over(m) && ticks_now() < end) {
		if (vm_next_fetch(m->vm, &f, ticks_now() + POLL))
			continue;
		m->order[atomic_fetch_add(&m->served, 1) % ARRAY_SIZE(m->order)] =
			(u16)(f.offset / PAGE_SIZE);
		m->config.fault(&m->v[0], f.offset);
		backing_put(f.backing);
		end = ticks_now() + MISSING_SOON;
	}
}

static bool is_stopped(struct missing_vm *m)
{
	return atomic_load(&m->stop);
}

static void serve(void *arg)
{
	struct missing_vm *m = arg;

	while (!is_stopped(m))
		missing_serve_until(m, is_stopped);
}

int missing_serve(struct missing_vm *m, u32 cpu)
{
	return thread_create(&m->handler, cpu, "handler", serve, m);
}

/* --- a vCPU's thread ------------------------------------------------------------------------- */

static void end_badly(struct missing_vcpu *v, int err)
{
	const struct vcpu_run *run = &v->vcpu->run;

	v->what = "cannot run";
	if (!err)
		v->what = run->reason == RUN_EXIT_ERROR ? run->error.what
							: "left for a strange reason";
	atomic_store(&v->error, err ? err : -EIO);
}

static __always_inline void handle_exit(struct missing_vcpu *v)
{
	const struct vcpu_run *run = &v->vcpu->run;
	u64 offset = run->memory_fault.gpa - MISSING_BASE;

	if (likely(run->reason == RUN_EXIT_MEMORY_FAULT && offset < v->m->size)) {
		v->m->config.fault(v, offset);
		atomic_fetch_add_explicit(&v->exits, 1, memory_order_release);
	} else if (run->reason == RUN_EXIT_MMIO && run->mmio.gpa >= MISSING_BASE) {
		atomic_fetch_add(&v->holes, 1);
	} else {
		end_badly(v, 0);
	}
}

void missing_run_vcpu(void *arg)
{
	struct missing_vcpu *v = arg;
	bool over = false;

	while (!over && !atomic_load(&v->error)) {
		int err = vcpu_run(v->vcpu);

		if (likely(!err))
			handle_exit(v);
		else if (err == -EINTR)
			over = vm_wait_resumed(v->m->vm);
		else
			end_badly(v, err);
	}
	vcpu_unload(v->vcpu);
}

void missing_bring_reported(struct missing_vcpu *v, u64 offset)
{
	missing_bring(v->m, offset);
}
