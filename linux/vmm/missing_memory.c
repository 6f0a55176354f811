/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory of experiment `missing` on KVM: anonymous memory whose pages are missing until
 * somebody brings them, in place of lab/missing_memory.c.
 *
 *   WAY_QUEUE  userfaultfd: KVM faults the page in, the fault sleeps, a handler reads of it
 *   WAY_EXIT   KVM_MEM_EXIT_ON_MISSING; accesses of KVM itself still come by userfaultfd
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/vm/fetch.h"
#include "hv/vm/pause.h"
#include "lab/missing.h"
#include "linux/vmm/missing.h"

#define NS_PER_S 1000000000ull

const char *const missing_way_name[NR_MISSING_WAYS] = { "uffd", "exit", "bitmap" };

const bool missing_on_kvm = true;

/* Here a row of pages of this process, in one slot of one VM. */
struct backing {
	struct backing *next;
	struct vm *vm; /* that shows it */
	u8 *hva;
	u64 size;
	int uffd; /* -1: no page is missing */
	_Atomic u32 users;
};

static struct backing *backings;
static struct spinlock backings_lock;

/* --- making it ------------------------------------------------------------------------------- */

static int watch(struct backing *b)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)b->hva, b->size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	b->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (b->uffd < 0 || ioctl(b->uffd, UFFDIO_API, &api) ||
	    ioctl(b->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

static int create(struct backing **out, struct vm *vm, u64 size, bool present)
{
	struct backing *b = kzalloc(sizeof(*b));
	int err = 0;

	if (!b)
		return -ENOMEM;
	*b = (struct backing){ .vm = vm, .size = size, .uffd = -1, .users = 1 };
	b->hva = vm_map_anonymous(size);
	if (!b->hva)
		err = -ENOMEM;
	else if (!present)
		err = watch(b);
	spin_lock(&backings_lock);
	b->next = backings;
	backings = b;
	spin_unlock(&backings_lock);
	if (err)
		backing_put(b);
	else
		*out = b;
	return err;
}

static void forget(struct backing *b)
{
	struct backing **p = &backings;

	spin_lock(&backings_lock);
	while (*p != b)
		p = &(*p)->next;
	*p = b->next;
	spin_unlock(&backings_lock);
}

void backing_put(struct backing *b)
{
	if (atomic_fetch_sub(&b->users, 1) > 1)
		return;
	forget(b);
	if (b->uffd >= 0)
		close(b->uffd);
	if (b->hva)
		munmap(b->hva, b->size);
	kfree(b);
}

static u32 flags_of(const struct missing_vm *m)
{
	return m->config.way == WAY_EXIT ? KVM_MEM_EXIT_ON_MISSING : 0;
}

int missing_create_memory(struct missing_vm *m)
{
	const struct missing_config *c = &m->config;
	int err = create(&m->mem, m->vm, m->size, c->present);

	m->source = vm_map_anonymous(m->size);
	if (!err && !m->source)
		err = -ENOMEM;
	if (err)
		return err;
	missing_write_source(m);
	/* As large as it goes; a page that is brought is one of 4 KiB. */
	madvise(m->mem->hva, m->size, c->present ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (c->present)
		memcpy(m->mem->hva, m->source, m->size);
	return vm_set_region(m->vm, MISSING_SLOT, MISSING_BASE, m->size, m->mem->hva, flags_of(m));
}

int missing_map_ram(struct missing_vm *m)
{
	return tiny_map_ram(&m->tiny, &m->ram);
}

/* Without userfaultfd whoever sleeps for a page gets one of zeroes, and comes to see the end. */
void missing_stop(struct missing_vm *m)
{
	struct uffdio_range all = { 0 };

	vm_stop(m->vm);
	if (!m->mem || m->mem->uffd < 0)
		return;
	all = (struct uffdio_range){ (uintptr_t)m->mem->hva, m->mem->size };
	ioctl(m->mem->uffd, UFFDIO_UNREGISTER, &all);
}

void missing_destroy_memory(struct missing_vm *m)
{
	tiny_destroy(&m->tiny);
	if (m->mem)
		backing_put(m->mem);
	if (m->source)
		munmap(m->source, m->size);
}

/* The guest's clock is the host's: what it says is compared with what the VMM says. */
static int share_clock(struct vcpu *vcpu)
{
	u64 offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	return vcpu_ioctl(vcpu, KVM_SET_DEVICE_ATTR, &attr);
}

/* The spinning guests run with interrupts enabled: nothing is posted to them. */
int missing_start_vcpu(struct missing_vcpu *v)
{
	int err = share_clock(v->vcpu);

	vcpu_set_open(v->vcpu);
	if (!err && kvm_vm(v->m->vm)->lapics)
		err = lapic_start(v->vcpu, LAPIC_XAPIC);
	return err;
}

u64 missing_left(struct missing_vm *m)
{
	u64 sum = 0;

	for (u32 i = 0; i < m->config.vcpus; i++)
		sum += vcpu_stat(m->v[i].vcpu, "exits");
	return sum;
}

/* --- pages ----------------------------------------------------------------------------------- */

/* Whoever sleeps for it is woken by either call. */
int backing_fill(struct backing *b, u64 offset, const void *data)
{
	struct uffdio_range range = { (uintptr_t)b->hva + offset, PAGE_SIZE };
	struct uffdio_copy copy;
	int err;

	do {
		copy = (struct uffdio_copy){ .dst = range.start,
					     .src = (uintptr_t)data,
					     .len = PAGE_SIZE };
		err = ioctl(b->uffd, UFFDIO_COPY, &copy) ? -errno : 0;
	} while (err == -EAGAIN);
	if (err == -EEXIST)
		ioctl(b->uffd, UFFDIO_WAKE, &range);
	return err;
}

int backing_punch(struct backing *b, u64 offset, u64 len)
{
	return madvise(b->hva + offset, len, MADV_DONTNEED) ? -errno : 0;
}

/* A page that is missing is not faulted in. */
int backing_read(struct backing *b, u64 offset, void *buf, u64 len)
{
	u64 first = ALIGN_DOWN(offset, PAGE_SIZE);
	u8 present[MISSING_MAX_PAGES];

	if (mincore(b->hva + first, offset + len - first, present))
		return -errno;
	for (u64 i = 0; i < (offset + len - first + PAGE_SIZE - 1) / PAGE_SIZE; i++)
		if (!(present[i] & 1))
			return -EAGAIN;
	memcpy(buf, b->hva + offset, len);
	return 0;
}

int missing_bring(struct missing_vm *m, u64 offset)
{
	return backing_fill(m->mem, offset, m->source + offset);
}

int missing_bring_zero(struct missing_vm *m, u64 offset)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)m->mem->hva + offset, PAGE_SIZE },
	};

	return ioctl(m->mem->uffd, UFFDIO_ZEROPAGE, &zero) ? -errno : 0;
}

int missing_take(struct missing_vm *m, u64 offset, u64 len)
{
	return backing_punch(m->mem, offset, len);
}

/* --- the queue ------------------------------------------------------------------------------- */

static struct backing *shown_by(struct vm *vm)
{
	struct backing *b;

	spin_lock(&backings_lock);
	for (b = backings; b && b->vm != vm; b = b->next)
		;
	if (b)
		atomic_fetch_add(&b->users, 1);
	spin_unlock(&backings_lock);
	return b;
}

static bool wait_for_event(struct backing *b, u64 deadline)
{
	struct pollfd p = { .fd = b->uffd, .events = POLLIN };
	u64 now = ticks_now(), ns;
	struct timespec t;

	if (now >= deadline)
		return false;
	ns = (u64)((unsigned __int128)(deadline - now) * NS_PER_S / tsc_hz);
	t = (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
			       .tv_nsec = (long)(ns % NS_PER_S) };
	return ppoll(&p, 1, &t, NULL) > 0;
}

int vm_next_fetch(struct vm *vm, struct fetch *out, u64 deadline)
{
	struct backing *b = shown_by(vm);
	struct uffd_msg msg;

	while (b && b->uffd >= 0) {
		if (read(b->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
			u64 at = msg.arg.pagefault.address - (uintptr_t)b->hva;

			*out = (struct fetch){ .backing = b, .offset = ALIGN_DOWN(at, PAGE_SIZE) };
			return 0;
		}
		if (!wait_for_event(b, deadline))
			break;
	}
	if (b)
		backing_put(b);
	return -ETIMEDOUT;
}

/* Where userfaultfd's queue spends its time is the kernel's secret: pages are brought, no more. */
void missing_queue_fault(struct missing_vcpu *v, u64 offset)
{
	missing_bring(v->m, offset);
}

void missing_queue_report(struct missing_vm *m, u32 pages)
{
}
