/* SPDX-License-Identifier: GPL-2.0-only */
/* See lab/vmm.h. */
#include "lab/vmm.h"

#include "guest/embed.h"
#include "hv/host/errno.h"
#include "hv/host/machine.h"
#include "hv/host/mem.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"

#define DEFAULT_RAM MIB(32)

struct vmm {
	struct vm *vm;
	struct board board;
	const struct vmm_config *config;
	struct thread *thread[VM_MAX_VCPUS];
	struct thread *beside;
	_Atomic bool over;	 /* told to it */
	_Atomic u32 running;	 /* vCPU threads that have not ended */
	struct wait_queue ended; /* woken when running becomes 0 */
};

struct vcpu_thread {
	struct vmm *vmm;
	struct vcpu *vcpu;
};

static void say_failure(struct vcpu *vcpu)
{
	if (vcpu->run.reason == RUN_EXIT_ENTRY_FAILED)
		vcpu_report_entry_failure(vcpu, true);
}

static void run_vcpu(void *arg)
{
	struct vcpu_thread *t = arg;
	struct vmm *vmm = t->vmm;
	const struct vmm_config *config = vmm->config;
	bool over = false;
	int err;

	do {
		err = vcpu_run(t->vcpu);
		if (!err) {
			say_failure(t->vcpu);
			over = board_handle(&vmm->board, t->vcpu);
		}
		if (config->turn && !over)
			err = config->turn(&t->vcpu, err, config->arg);
	} while (!err && !over);
	if (err && err != -EINTR)
		board_end(&vmm->board, RUN_PANIC, "vCPU %u cannot run: %s", t->vcpu->id,
			  errno_name(err));
	vcpu_unload(t->vcpu);
	if (atomic_fetch_sub(&vmm->running, 1) == 1)
		wake_all(&vmm->ended);
}

static int create_vcpus(struct vmm *vmm, const struct vmm_config *config,
			struct vcpu_thread *threads)
{
	for (u32 i = 0; i < config->cpus; i++) {
		int err = vcpu_create(&threads[i].vcpu, vmm->vm);

		if (err)
			return err;
		threads[i].vmm = vmm;
		if (config->prepare)
			config->prepare(threads[i].vcpu, config->arg);
	}
	return 0;
}

static int start_vcpus(struct vmm *vmm, const struct vmm_config *config,
		       struct vcpu_thread *threads)
{
	atomic_store(&vmm->running, config->cpus);
	for (u32 i = 0; i < config->cpus; i++) {
		char name[16];
		int err;

		fmt_print(name, sizeof(name), "vcpu%u", i);
		err = thread_create(&vmm->thread[i], i % nr_cpus, name, run_vcpu, &threads[i]);
		if (err) {
			atomic_fetch_sub(&vmm->running, config->cpus - i);
			return err;
		}
	}
	return 0;
}

static void run_beside(void *arg)
{
	struct vmm *vmm = arg;

	vmm->config->beside(vmm->vm, &vmm->over, vmm->config->arg);
}

static int start_beside(struct vmm *vmm)
{
	if (!vmm->config->beside)
		return 0;
	return thread_create(&vmm->beside, nr_cpus - 1, "beside", run_beside, vmm);
}

/* Returns false when the time limit came first. */
static bool wait_ended(struct vmm *vmm, u64 seconds)
{
	u64 deadline = ticks_now() + seconds * tsc_hz;
	struct waiter w;
	int late = 0;

	for (;;) {
		wait_prepare(&vmm->ended, &w);
		if (!atomic_load(&vmm->running) || late)
			break;
		if (seconds)
			late = wait_sleep_until(&w, deadline);
		else
			wait_sleep(&w);
	}
	wait_finish(&vmm->ended, &w);
	return !atomic_load(&vmm->running);
}

static void supervise(struct vmm *vmm, const struct vmm_config *config)
{
	if (!wait_ended(vmm, config->seconds)) {
		board_end(&vmm->board, RUN_HANG, "no end after %llu s",
			  (unsigned long long)config->seconds);
		wait_ended(vmm, 0);
	}
	atomic_store(&vmm->over, true);
	for (u32 i = 0; i < config->cpus; i++)
		if (vmm->thread[i])
			thread_join(vmm->thread[i]);
	if (vmm->beside)
		thread_join(vmm->beside);
}

static void collect(struct vmm *vmm, struct vmm_result *out)
{
	bool used[MAX_CPUS] = { false };

	out->status = vmm->board.ending.status;
	str_copy(out->why, vmm->board.ending.why, sizeof(out->why));
	for (u32 i = 0; i < vmm->vm->nr_vcpus; i++) {
		u32 cpu = atomic_load(&vmm->vm->vcpu[i]->cpu);

		out->cpus_used += !used[cpu];
		used[cpu] = true;
	}
}

static int load(struct vmm *vmm, const struct vmm_config *config, struct vmm_result *out)
{
	struct multiboot_entry entry;
	struct load_error err;
	int e = multiboot_load(vmm->vm, &config->image, &entry, &err);

	if (e) {
		str_copy(out->why, err.text, sizeof(out->why));
		return e;
	}
	vcpu_set_flat32(vmm->vm->vcpu[0], entry.eip, entry.eax, entry.ebx);
	return 0;
}

static int run_guest(struct vmm *vmm, const struct vmm_config *config, struct vcpu_thread *threads,
		     struct vmm_result *out)
{
	const struct board_config board = { .name = "guest" };
	int err;

	vmm->config = config;
	if (config->hide_x2apic)
		vm_hide_x2apic(vmm->vm);
	err = config->choose_apic ? vm_set_apic(vmm->vm, config->apic) : 0;
	if (!err)
		err = vm_add_ram(vmm->vm, 0, config->ram);
	if (!err && config->populate)
		err = vm_populate(vmm->vm);
	if (!err)
		err = create_vcpus(vmm, config, threads);
	if (!err)
		err = board_init(&vmm->board, vmm->vm, &board);
	if (err) {
		fmt_print(out->why, sizeof(out->why),
			  "cannot give the guest %llu MiB and %u CPUs: %s",
			  (unsigned long long)(config->ram >> 20), config->cpus, errno_name(err));
		return err;
	}
	err = load(vmm, config, out);
	if (!err && config->ready) {
		err = config->ready(&vmm->board, config->arg);
		if (err)
			fmt_print(out->why, sizeof(out->why), "cannot prepare the guest: %s",
				  errno_name(err));
	}
	if (!err) {
		err = start_beside(vmm);
		if (!err)
			err = start_vcpus(vmm, config, threads);
		if (err)
			board_end(&vmm->board, RUN_PANIC, "no memory for the vCPUs' threads");
		supervise(vmm, config);
		collect(vmm, out);
	}
	board_destroy(&vmm->board);
	board_report(&vmm->board);
	return err;
}

int vmm_run(const struct vmm_config *config, struct vmm_result *out)
{
	struct vcpu_thread *threads;
	struct vmm *vmm;
	int err = -ENOMEM;

	*out = (struct vmm_result){ .status = RUN_USAGE };
	vmm = kzalloc(sizeof(*vmm));
	threads = kzalloc(config->cpus * sizeof(*threads));
	str_copy(out->why, "no memory for the virtual machine monitor", sizeof(out->why));
	if (vmm && threads) {
		wait_queue_init(&vmm->ended);
		err = vm_create(&vmm->vm);
		if (!err) {
			err = run_guest(vmm, config, threads, out);
			vm_destroy(vmm->vm);
		}
	}
	kfree(threads);
	kfree(vmm);
	return err;
}

int vmm_embedded(struct vmm_config *config, const char *name, const char *append)
{
	const struct guest_image *g = guest_image_find(name);

	*config = (struct vmm_config){ .ram = DEFAULT_RAM,
				       .cpus = 1,
				       .seconds = patient(VMM_DEFAULT_SECONDS) };
	if (!g)
		return -ENOENT;
	config->image.file = g->start;
	config->image.size = (size_t)((const u8 *)g->end - (const u8 *)g->start);
	config->image.name = name;
	config->image.append = append;
	return 0;
}
