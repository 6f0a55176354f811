/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a hold of the VM promises, each promise a result. The names are those of lab/pause_*.c where
 * the promise is the same. Calls that are refused, and other threads' ioctls that wait, are the
 * subject of the kernel's own selftest, kick_all_test.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "linux/vmm/pause.h"

#define HOLDS	     100
#define FROZEN_TICKS 20000
#define REFUSALS     200
#define CHANGES	     200
#define HANG_MS	     300

static struct arena arena;

static int hold(struct arena *a)
{
	return vm_ioctl(a->vm, KVM_KICK_ALL_RUNNING_VCPUS, NULL);
}

static int resume(struct arena *a)
{
	return vm_ioctl(a->vm, KVM_RESUME_ALL_KICKED_VCPUS, NULL);
}

static struct arena_config all_cpus(void)
{
	return (struct arena_config){ .way = WAY_KICK_ALL, .vcpus = nr_cpus - 1 };
}

/* --- vCPUs ------------------------------------------------------------------------------------ */

/* @in: wait until they are in the guest; else they are on their way from the resume before. */
static bool frozen_often(bool in)
{
	bool ok = true;
	struct rng rng;

	rng_init(&rng, run_options.seed, in);
	for (unsigned int i = 0; i < HOLDS && ok; i++) {
		if (in)
			ok = arena_all_in(&arena);
		else
			spin_ticks(rng_below(&rng, FROZEN_TICKS));
		ok = ok && !hold(&arena) && arena_frozen(&arena, FROZEN_TICKS);
		ok &= !resume(&arena);
	}
	return ok;
}

static void test_frozen(void)
{
	const struct arena_config c = all_cpus();

	if (!arena_run(&arena, &c))
		return;
	ktap_result(arena_all_in(&arena) && frozen_often(true),
		    "from the return of a pause to the resume no guest instruction is executed");
	ktap_result(frozen_often(false),
		    "the same when vCPUs are on their way back in from the resume before");
	ktap_result(arena_all_in(&arena), "after all of them it goes on");
	arena_destroy(&arena);
}

/* The vCPU is run by this thread, which holds the VM: it is refused all the same. */
static void test_refused(void)
{
	const struct arena_config c = { .way = WAY_KICK_ALL, .vcpus = 1 };
	static u64 ticks[REFUSALS];
	struct vcpu_regs before, after;
	bool ok = true, same;

	if (arena_create(&arena, &c)) {
		ktap_result(false, "a VM can be created");
		return;
	}
	ok = !hold(&arena) && !vcpu_get_regs(arena.runner[0].vcpu, &before);
	for (unsigned int i = 0; i < REFUSALS && ok; i++) {
		u64 start = ticks_now();

		ok = vcpu_enter(arena.runner[0].vcpu) == -EINTR &&
		     kvm_vcpu(arena.runner[0].vcpu)->kvm_run->exit_reason == KVM_EXIT_INTR;
		ticks[i] = ticks_now() - start;
	}
	same = !vcpu_get_regs(arena.runner[0].vcpu, &after) &&
	       !memcmp(&before, &after, sizeof(before));
	ktap_result(ok, "KVM_RUN during a hold returns -EINTR, however often");
	ktap_result(same, "and leaves the guest's registers as they were");
	if (ok)
		metric_samples("pause.refused", "ticks", ticks, REFUSALS, NULL, 0);
	ktap_result(!arena_start(&arena, 0) && arena_frozen(&arena, FROZEN_TICKS),
		    "a vCPU that runs for the first time during a hold is held");
	ktap_result(!resume(&arena) && arena_all_in(&arena), "afterwards the guest goes on");
	arena_destroy(&arena);
}

static void test_created(void)
{
	const struct arena_config c = { .way = WAY_KICK_ALL };
	bool ok;

	if (arena_create(&arena, &c)) {
		ktap_result(false, "a VM can be created");
		return;
	}
	ok = !hold(&arena) && !arena_add(&arena) && !arena_start(&arena, 0);
	ktap_result(ok && arena_frozen(&arena, FROZEN_TICKS) &&
			    !atomic_load(&arena.runner[0].box->beats),
		    "a vCPU that is created during a hold is held");
	ktap_result(!resume(&arena) && arena_all_in(&arena), "after the resume it runs");
	arena_destroy(&arena);
}

static void test_halted(void)
{
	static const char name[] = "a pause brings a halted vCPU out of KVM_RUN";
	const struct arena_config c = { .way = WAY_KICK_ALL, .vcpus = 1, .code = TINY_HALT };
	struct runner *r = &arena.runner[0];
	bool ok;

	if (!arena_run(&arena, &c))
		return;
	ok = ARENA_WAIT(vcpu_stat(r->vcpu, "blocking"));
	ok = ok && !hold(&arena);
	ktap_result(ok && !vcpu_stat(r->vcpu, "blocking"), "%s", name);
	ok = ok && !resume(&arena) && ARENA_WAIT(vcpu_stat(r->vcpu, "blocking"));
	ktap_result(ok, "a halted vCPU is halted still after the resume");
	arena_destroy(&arena);
}

/* --- holders ---------------------------------------------------------------------------------- */

static struct {
	_Atomic u32 step;
	_Atomic int err;
} other;

/* Holds at step 1, gives it back at step 3. */
static void other_holder(void *arg)
{
	struct arena *a = arg;
	int err = hold(a);

	atomic_store(&other.step, 2);
	if (!ARENA_WAIT(atomic_load(&other.step) == 3))
		err = -ETIMEDOUT;
	atomic_store(&other.err, err ? err : resume(a));
}

static void test_two_holders(void)
{
	const struct arena_config c = all_cpus();
	struct thread *thread;
	bool ok;

	if (!arena_run(&arena, &c))
		return;
	atomic_store(&other.step, 1);
	ok = arena_all_in(&arena) && !hold(&arena);
	ok = ok && !thread_create(&thread, 0, "holder", other_holder, &arena);
	if (ok) {
		ok = ARENA_WAIT(atomic_load(&other.step) == 2) && !resume(&arena);
		ktap_result(ok && arena_frozen(&arena, FROZEN_TICKS),
			    "with two holders the first resume does not let the VM go on");
		atomic_store(&other.step, 3);
		thread_join(thread);
	}
	ktap_result(ok && !atomic_load(&other.err) && arena_all_in(&arena), "the last resume does");
	ktap_expect_eq(resume(&arena), -EINVAL, "a resume without a pause is an error");
	arena_destroy(&arena);
}

static void test_other_vm(void)
{
	const struct arena_config c = all_cpus();
	static struct arena second;

	if (!arena_run(&arena, &c))
		return;
	if (arena_run(&second, &(struct arena_config){ .way = WAY_KICK_ALL, .vcpus = 1 })) {
		bool ok = arena_all_in(&second) && !hold(&second);

		ktap_result(ok && arena_all_in(&arena),
			    "while one VM is held the other one runs on, undisturbed");
		ok = ok && !hold(&arena) && !resume(&arena);
		ktap_result(ok && arena_all_in(&arena), "and can be held and resumed meanwhile");
		ktap_result(ok && arena_frozen(&second, FROZEN_TICKS),
			    "which does not let the first one go on");
		resume(&second);
		arena_destroy(&second);
	}
	arena_destroy(&arena);
}

/* --- a vCPU that waits for a page ------------------------------------------------------------- */

static void on_alarm(int signal)
{
}

/* A hold that gives up after a while: the signal is for the process, and this is its first thread.
 */
static int hold_for_ms(struct arena *a, int ms)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval limit = { .it_value.tv_usec = ms * 1000 };
	const struct itimerval none = { 0 };
	int err;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &limit, NULL);
	err = hold(a);
	setitimer(ITIMER_REAL, &none, NULL);
	return err;
}

static int open_userfaultfd(struct arena *a)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)a->hva, .len = arena_size(a) },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg))
		return fd;
	close(fd);
	return -errno;
}

/* Whether a fault arrives; it is not served. */
static bool fault_arrives(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	return poll(&p, 1, 4000) == 1 && read(fd, &msg, sizeof(msg)) == sizeof(msg);
}

static bool serve_all(struct arena *a, int fd)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)a->hva, .len = arena_size(a) },
	};

	return !ioctl(fd, UFFDIO_ZEROPAGE, &zero);
}

/* The vCPU touches the page that is not there, and the VM is held meanwhile. */
static int hold_beside_fault(int fd)
{
	arena_places(&arena, 1, PAGE_SIZE);
	arena_go(&arena);
	return fault_arrives(fd) ? hold_for_ms(&arena, HANG_MS) : -ETIMEDOUT;
}

static void page_in(int fd, const char *who)
{
	int err = hold_beside_fault(fd);

	ktap_result(!err, "a pause wakes a vCPU that waits for a page: it leaves KVM_RUN; %s waits",
		    who);
	if (!err)
		err = resume(&arena);
	ktap_result(serve_all(&arena, fd) && !err && arena_all_in(&arena),
		    "and with the page's arrival the guest goes on");
}

static void page_in_broken(int fd, const char *who)
{
	int err = hold_beside_fault(fd);

	ktap_result(err == -EINTR,
		    "break_hold_pagein: a pause is seen to hang while %s waits for a page", who);
	if (!err)
		resume(&arena);
	serve_all(&arena, fd);
}

/*
 * KVM has a worker wait if the guest could take an interrupt, and halts the vCPU. While the guest
 * has interrupts disabled the vCPU's own thread waits.
 */
static void test_page_in(bool worker, void (*test)(int fd, const char *who))
{
	const char *who = worker ? "a worker" : "its thread";
	struct arena_config c = { .way = WAY_KICK_ALL, .vcpus = 1, .mib = 1 };
	int fd;

	if (!worker)
		c.code = TINY_TOUCH;
	if (!arena_run(&arena, &c))
		return;
	fd = open_userfaultfd(&arena);
	if (fd < 0) {
		ktap_skip("no userfaultfd in this kernel",
			  "a pause wakes a vCPU that waits for a page; %s waits", who);
	} else {
		test(fd, who);
		close(fd);
	}
	arena_destroy(&arena);
}

/* --- changes of slots ------------------------------------------------------------------------- */

/* One slot becomes two, and one again. */
static int split(struct arena *a)
{
	u64 half = arena_size(a) / 2;
	int err = arena_delete(a);

	if (!err)
		err = vm_set_region(a->vm, ARENA_SLOT, ARENA_BASE, half, a->hva, 0);
	if (!err)
		err = vm_set_region(a->vm, ARENA_SPARE, ARENA_BASE + half, half, a->hva + half, 0);
	return err;
}

static int merge(struct arena *a)
{
	int err = arena_delete(a);

	if (!err)
		err = vm_set_region(a->vm, ARENA_SPARE, ARENA_BASE, 0, a->hva, 0);
	return err ? err : arena_insert(a);
}

static int shrink_and_grow(struct arena *a)
{
	int err = arena_delete(a);

	if (!err)
		err = vm_set_region(a->vm, ARENA_SLOT, ARENA_BASE, arena_size(a) / 2, a->hva, 0);
	return err;
}

static int grow(struct arena *a)
{
	int err = arena_delete(a);

	return err ? err : arena_insert(a);
}

static int change_all(struct arena *a, bool held)
{
	static int (*const change[])(struct arena *) = { split, merge, grow };
	int err = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(change) && !err; i++) {
		if (held)
			err = hold(a);
		if (!err)
			err = change[i](a);
		if (held && !err)
			err = resume(a);
	}
	/* A slot that is half as long for a while: there is a hole in any case without a hold. */
	if (!err && held)
		err = hold(a);
	if (!err && held)
		err = shrink_and_grow(a);
	if (!err && held)
		err = grow(a);
	return err || !held ? err : resume(a);
}

/* Until an access has found no slot, or often. */
static void test_changes(bool held, bool until_seen, const char *name)
{
	const struct arena_config c = all_cpus();
	unsigned int i;
	int err = 0;
	u64 missing;

	if (!arena_run(&arena, &c))
		return;
	arena_places(&arena, 8, (u32)(arena_size(&arena) / 8));
	arena_free_run(&arena, true);
	for (i = 0; i < CHANGES && !err && !(until_seen && arena_missing(&arena)); i++)
		err = arena_all_in(&arena) ? change_all(&arena, held) : -ETIMEDOUT;
	missing = arena_missing(&arena);
	ktap_result(!err && !missing == !until_seen, "%s", name);
	ktap_note("%u times, %llu accesses found no slot", i, (unsigned long long)missing);
	if (err)
		ktap_note("%s", errno_name(err));
	ktap_result(arena_free_run(&arena, false) && arena_intact(&arena),
		    "the guests find in memory what they wrote, through all of it");
	arena_destroy(&arena);
}

/* --- what is switched off --------------------------------------------------------------------- */

static void broken(const char *knob, void (*test)(void))
{
	if (kvm_param_set(knob, 1)) {
		ktap_skip("this kernel has no such parameter", "%s is seen to break something",
			  knob);
		return;
	}
	test();
	kvm_param_set(knob, 0);
}

static void without_hold(void)
{
	test_changes(true, true, "break_hold: vCPUs are seen to find no slot");
}

static void without_wakeup(void)
{
	test_page_in(false, page_in_broken);
}

void pause_rules(void)
{
	test_changes(false, true, "split, merge and resize, live: vCPUs are seen to find no slot");
	if (!needs_cap(KVM_CAP_KICK_ALL_VCPUS, "what a hold of a VM promises"))
		return;
	test_frozen();
	test_refused();
	test_created();
	test_halted();
	test_two_holders();
	test_other_vm();
	test_page_in(true, page_in);
	test_page_in(false, page_in);
	test_changes(true, false, "split, merge and resize during a hold: none does");
	broken("kvm.break_hold", without_hold);
	broken("kvm.break_hold_pagein", without_wakeup);
}
