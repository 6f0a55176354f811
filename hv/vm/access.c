/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's own accesses to guest memory: for devices, for events, on a guest's behalf.
 *
 * An access keeps to the rules that a fault keeps to (hv/vm/memory.c). A page at a time, in a read
 * section of the slots: the invalidate sequence, the slot, the page of its backing; then under the
 * table lock the question whether that is still so, and the transfer. No pointer into guest memory
 * outlives the lock, so a page can be moved or made missing at any time: a move begins its
 * invalidation under that lock.
 *
 * A section never waits. When something is in the way the section is ended, the obstacle waited
 * for, and the access begun anew:
 *   - the VM is held: at the gate, until it is resumed. A vCPU's thread inside vcpu_run() leaves
 *     with -EINTR instead, and the instruction is executed again after the resume;
 *   - the page is missing: until it has been brought, or slots have changed. If its slot wants to
 * be told instead, the access fails with -EAGAIN;
 *   - an invalidation is under way, or the slot on its way out: other threads get the CPU, since
 * who began it may be one of them. When a vCPU's thread has waited, another vCPU may be the one
 * that is loaded on this CPU: it loads its own again.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/vm/backing.h"
#include "hv/vm/fault_internal.h"

enum access_how { ACCESS_READ, ACCESS_WRITE, ACCESS_FILL, ACCESS_CMPXCHG };

struct access {
	enum access_how how;
	gpa_t gpa;
	u64 len;  /* does not cross a page */
	u8 *data; /* what is read or written; FILL: one byte; CMPXCHG: what is expected, and found
		   */
	u64 new;  /* CMPXCHG: what is stored then */
	bool done;
	struct known_page *known; /* where to note the page that was found, or NULL */
};

#define LOOK_AGAIN 1 /* nothing was transferred, because something was changing */

/* --- the transfer: table lock held ----------------------------------------------------------- */

/* Numbers are read whole: others may be writing them. */
void access_read_bytes(const u8 *p, void *buf, u64 len)
{
	bool aligned = IS_ALIGNED((uintptr_t)p, len);
	u64 value8;
	u32 value4;

	if (len == 8 && aligned) {
		value8 = __atomic_load_n((const u64 *)(const void *)p, __ATOMIC_ACQUIRE);
		memcpy(buf, &value8, sizeof(value8));
	} else if (len == 4 && aligned) {
		value4 = __atomic_load_n((const u32 *)(const void *)p, __ATOMIC_ACQUIRE);
		memcpy(buf, &value4, sizeof(value4));
	} else {
		memcpy(buf, p, len);
	}
}

static void write_page(u8 *p, const struct access *a)
{
	u64 value = 0;

	if ((a->len != 8 && a->len != 4) || !IS_ALIGNED(a->gpa, a->len)) {
		memcpy(p, a->data, a->len);
		return;
	}
	memcpy(&value, a->data, a->len);
	if (a->len == 8)
		__atomic_store_n((u64 *)p, value, __ATOMIC_RELEASE);
	else
		__atomic_store_n((u32 *)p, (u32)value, __ATOMIC_RELEASE);
}

static bool cmpxchg_page(u8 *p, struct access *a)
{
	if (a->len == 8)
		return __atomic_compare_exchange_n((u64 *)p, (u64 *)a->data, a->new, false,
						   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	return __atomic_compare_exchange_n((u32 *)p, (u32 *)a->data, (u32)a->new, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void transfer(struct vm_slot *slot, u8 *p, struct access *a)
{
	a->done = true;
	switch (a->how) {
	case ACCESS_READ: access_read_bytes(p, a->data, a->len); return;
	case ACCESS_WRITE: write_page(p, a); break;
	case ACCESS_FILL: memset(p, *a->data, a->len); break;
	case ACCESS_CMPXCHG: a->done = cmpxchg_page(p, a); break;
	}
	/* After it has happened: a reader of the log that saw the old bytes is told once more. */
	if (slot->flags & SLOT_LOG_DIRTY)
		dirty_mark(slot, a->gpa);
}

/* --- one page, once -------------------------------------------------------------------------- */

/*
 * In a section. Returns 0, LOOK_AGAIN, -EFAULT, -ENOMEM; -EAGAIN: the page is missing, @m.
 */
static int try_access(struct vm *vm, struct access *a, struct missing *m)
{
	u64 seq = seq_read(vm);
	struct backing_page page;
	struct vm_slot *slot;
	int err;

	m->generation = slots_generation(vm);
	race_point();
	slot = slot_find(vm, a->gpa);
	if (!slot || slot->flags & SLOT_PRIVATE ||
	    (a->how != ACCESS_READ && slot->flags & SLOT_READONLY))
		return -EFAULT;
	if (slot->invalid)
		return LOOK_AGAIN;
	err = slot_page(slot, a->gpa, &page);
	race_point();
	if (err)
		return err == -EAGAIN && !slot_missing(vm, slot, a->gpa, seq, m) ? LOOK_AGAIN : err;
	spin_lock(&vm->vmx.lock);
	if (seq_retry(vm, a->gpa, seq))
		err = LOOK_AGAIN;
	else
		transfer(slot, (u8 *)phys_to_virt(page.hpa) + a->gpa % PAGE_SIZE, a);
	spin_unlock(&vm->vmx.lock);
	if (a->known && !err)
		*a->known = (struct known_page){ ALIGN_DOWN(a->gpa, PAGE_SIZE) | KNOWN_PAGE, seq,
						 page.hpa };
	return err;
}

/* --- waiting --------------------------------------------------------------------------------- */

/* What a page that does not come is not waited for any longer for. */
static bool must_leave(struct vcpu *vcpu)
{
	return atomic_load(&vcpu->requests) & REQ_EXIT || vm_is_held(vcpu->vm);
}

enum obstacle { GATE, MISSING_PAGE, CHANGE };

static int wait_for(struct vm *vm, struct vcpu *vcpu, enum obstacle what, struct missing *m)
{
	switch (what) {
	case GATE:
		if (vcpu)
			return -EINTR; /* the run loop sees the hold */
		gate_wait(vm);
		break;
	case MISSING_PAGE: return missing_wait(vm, vcpu, m, must_leave);
	case CHANGE:
		cpu_relax();
		thread_yield();
		break;
	}
	return 0;
}

/* The same for the thread of @vcpu, unless that is NULL: it is not in the guest meanwhile. */
static int stand_aside(struct vm *vm, struct vcpu *vcpu, enum obstacle what, struct missing *m)
{
	struct cpu *cpu = this_cpu();
	u32 in_guest;
	int err;

	if (!vcpu)
		return wait_for(vm, NULL, what, m);
	in_guest = atomic_exchange(&cpu->in_guest, 0);
	err = wait_for(vm, vcpu, what, m);
	atomic_store(&cpu->in_guest, in_guest);
	return vmx_load(&vcpu->vmx) ? -EBUSY : err;
}

/* What the guest, if it had made this access, would have done. */
static u32 as_guest(const struct vcpu *vcpu, const struct access *a)
{
	if (a->how == ACCESS_CMPXCHG)
		return FAULT_READ | FAULT_WRITE;
	if (a->how != ACCESS_READ)
		return FAULT_WRITE;
	return a->known == &vcpu->known[KNOWN_CODE] ? FAULT_FETCH : FAULT_READ;
}

/* The slot wants to be told. */
static int tell_missing(struct vcpu *vcpu, const struct access *a)
{
	if (vcpu) {
		vcpu->missing.gpa = a->gpa;
		vcpu->missing.access = as_guest(vcpu, a);
	}
	return -EAGAIN;
}

static int access_page(struct vm *vm, struct vcpu *vcpu, struct access *a)
{
	struct missing m;
	int ret;

	do {
		enum obstacle what = GATE;
		unsigned int phase;

		if (slots_read_try(vm, &phase)) {
			ret = try_access(vm, a, &m);
			slots_read_end(vm, phase);
			if (ret != LOOK_AGAIN && ret != -EAGAIN)
				return ret;
			if (ret == -EAGAIN && m.exit)
				return tell_missing(vcpu, a);
			what = ret == -EAGAIN ? MISSING_PAGE : CHANGE;
		}
		ret = stand_aside(vm, vcpu, what, &m);
	} while (!ret);
	return ret;
}

/* --- any length ------------------------------------------------------------------------------ */

static bool is_ram(struct vm *vm, gpa_t gpa, u64 len, bool write)
{
	unsigned int phase = slots_read_begin(vm);
	struct vm_slot *slot;
	bool ok = true;

	/* No slot reaches the end of what an address can say, so what wraps is not in one. */
	for (u64 n; len && ok; gpa += n, len -= n) {
		slot = slot_find(vm, gpa);
		ok = slot && !(slot->flags & (SLOT_PRIVATE | (write ? SLOT_READONLY : 0)));
		n = ok ? min_u64(len, slot->size - (gpa - slot->base)) : 0;
	}
	slots_read_end(vm, phase);
	return ok;
}

static int access(struct vm *vm, struct vcpu *vcpu, struct access *a, u64 len)
{
	int err = 0;

	if (a->gpa % PAGE_SIZE + len > PAGE_SIZE || len > PAGE_SIZE)
		err = is_ram(vm, a->gpa, len, a->how != ACCESS_READ) ? 0 : -EFAULT;
	for (; len && !err; len -= a->len) {
		a->len = min_u64(len, PAGE_SIZE - a->gpa % PAGE_SIZE);
		err = access_page(vm, vcpu, a);
		a->gpa += a->len;
		if (a->how != ACCESS_FILL)
			a->data += a->len;
	}
	return err;
}

int vm_read(struct vm *vm, gpa_t gpa, void *buf, size_t len)
{
	return access(vm, NULL, &(struct access){ ACCESS_READ, gpa, .data = buf }, len);
}

int vm_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len)
{
	return access(vm, NULL, &(struct access){ ACCESS_WRITE, gpa, .data = (u8 *)(uintptr_t)buf },
		      len);
}

int vm_fill(struct vm *vm, gpa_t gpa, u8 byte, u64 len)
{
	return access(vm, NULL, &(struct access){ ACCESS_FILL, gpa, .data = &byte }, len);
}

/* --- for a vCPU, by its own thread ----------------------------------------------------------- */

int vcpu_read(struct vcpu *vcpu, gpa_t gpa, void *buf, size_t len)
{
	return access(vcpu->vm, vcpu, &(struct access){ ACCESS_READ, gpa, .data = buf }, len);
}

int vcpu_read_noting(struct vcpu *vcpu, gpa_t gpa, void *buf, size_t len, struct known_page *known)
{
	return access_page(vcpu->vm, vcpu,
			   &(struct access){ ACCESS_READ, gpa, len, buf, .known = known });
}

int vcpu_write(struct vcpu *vcpu, gpa_t gpa, const void *buf, size_t len)
{
	return access(vcpu->vm, vcpu,
		      &(struct access){ ACCESS_WRITE, gpa, .data = (u8 *)(uintptr_t)buf }, len);
}

int vcpu_cmpxchg(struct vcpu *vcpu, gpa_t gpa, unsigned int size, u64 *expected, u64 value)
{
	/* Little-endian: its first @size bytes are what is compared. */
	struct access a = {
		ACCESS_CMPXCHG, gpa, size, (u8 *)expected, .new = value,
	};
	int err = access_page(vcpu->vm, vcpu, &a);

	return err ? err : a.done;
}

int vcpu_access_failed(struct vcpu *vcpu, int err, const char *what)
{
	switch (err) {
	case -EINTR: return RESUME_GUEST;
	case -EBUSY: return err;
	case -EAGAIN: return vcpu_report_missing(vcpu);
	case -ENOMEM: return vcpu_exit_error(vcpu, "no memory for a page");
	default: return vcpu_exit_error(vcpu, what);
	}
}
