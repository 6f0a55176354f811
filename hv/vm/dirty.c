/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See hv/vm/dirty.h.
 *
 * Why no write is lost. Reading a log does, in this order: collect what PML has logged; take the
 * bits of the log and clear them; arm the pages whose bits were set (take away write permission, or
 * clear the dirty bit); flush; return. Whoever reads copies the pages after that.
 *   - A write that a vCPU makes before it has flushed, unnoticed through a translation that was
 *     writable or dirty: its page's bit was taken just now, for a page gets that way only after its
 *     bit was set, or its address was logged. The reader sees the write when it copies the page.
 *   - A write after the flush: it faults, or its address is logged again. It is in the next log.
 *   - A page whose bit is set between the taking and the arming stays in the log, armed or not, for
 *     the next time. Were the pages armed before the bits are taken, such a page would be reported
 *     now, and its writes from now on in no log.
 *   - The hypervisor's own writes: first the bytes, then the bit. If the reader takes the log in
 *     between, the bit is in the next one.
 * With PML a write's address may still be in the vCPU's buffer when the bits are taken; then it is
 * not among those that are armed, so its dirty bit stays set, its address stays in the buffer, and
 * it is in the next log.
 *
 * The buffers. A vCPU's buffer is emptied by its own thread, or, under change_mutex, by a collector
 * on another CPU. The collector asks for REQ_DIRTY, which bars the entry until the vCPU's thread
 * has been here; waits until the vCPU is outside; and, under the vCPU's dirty_lock, looks whether
 * its thread has been here since: if so everything was moved, and the vCPU may be in the guest
 * again; if not it cannot be, since it has to get the lock first. The lock is held until the marks
 * are made, so when the collector has had it nothing is on its way from the buffer to the logs.
 */
#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "hv/vm/internal.h"
#include "hv/vm/slots_internal.h"

COUNTER(dirty_logged, "dirty.logged", "pages that PML has logged");
COUNTER(dirty_strays, "dirty.strays", "logged pages that no slot with a dirty log shows any more");

_Static_assert((int)DIRTY_WRITE_PROTECT == (int)EPT_LOG_PROTECT &&
		       (int)DIRTY_PML == (int)EPT_LOG_DIRTY,
	       "the ways of logging have the same values");

struct dirty_log {
	u64 words;
	unsigned int order; /* of the pages of .bit */
	_Atomic u64 *bit;
};

/* --- logs ------------------------------------------------------------------------------------ */

bool dirty_possible(const struct vm *vm)
{
	return ept_has_dirty(&vm->vmx.ept);
}

int vm_set_dirty(struct vm *vm, enum dirty_how how)
{
	if (!dirty_possible(vm) || (how == DIRTY_PML && !vm->vmx.pml))
		return -EOPNOTSUPP;
	vm->dirty_how = how;
	return 0;
}

int dirty_attach(struct vm_slot *slot)
{
	u64 words = ALIGN_UP(slot->size / PAGE_SIZE, 64) / 64;
	struct dirty_log *log;

	if (words * sizeof(u64) > PAGE_SIZE << PAGE_MAX_ORDER)
		return -ENOMEM;
	log = kzalloc(sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->words = words;
	log->order = page_order(words * sizeof(u64));
	log->bit = page_alloc(log->order, PAGE_ZERO);
	if (!log->bit) {
		kfree(log);
		return -ENOMEM;
	}
	slot->dirty = log;
	return 0;
}

void dirty_detach(struct vm_slot *slot)
{
	if (!slot->dirty)
		return;
	page_free((void *)slot->dirty->bit, slot->dirty->order);
	kfree(slot->dirty);
	slot->dirty = NULL;
}

static void set_bit(struct dirty_log *log, u64 page)
{
	_Atomic u64 *word = &log->bit[page / 64];
	u64 bit = BIT(page % 64);

	/*
	 * Always the read-modify-write, which is ordered after the write that it records, and which
	 * a reader of the log cannot overtake: the bit may be on its way out.
	 */
	atomic_fetch_or_explicit(word, bit, memory_order_seq_cst);
}

void dirty_mark(struct vm_slot *slot, gpa_t gpa)
{
	if (slot->dirty)
		set_bit(slot->dirty, (gpa - slot->base) / PAGE_SIZE);
}

/* Word by word, most of which are 0. */
void dirty_carry(struct vm_slot *to, const struct vm_slot *from)
{
	if (!to->dirty || !from->dirty || to->backing != from->backing)
		return;
	for (u64 i = 0; i < from->dirty->words; i++) {
		u64 bits = atomic_load_explicit(&from->dirty->bit[i], memory_order_acquire);

		for (; bits; bits &= bits - 1) {
			u64 page = i * 64 + (u64)__builtin_ctzll(bits);
			u64 offset = from->offset + page * PAGE_SIZE;

			if (offset >= to->offset && offset - to->offset < to->size)
				set_bit(to->dirty, (offset - to->offset) / PAGE_SIZE);
		}
	}
}

/* --- from PML's buffers into the logs -------------------------------------------------------- */

/* vCPU's dirty_lock held; in a read section, or under change_mutex. */
static void move_logged(struct vcpu *vcpu)
{
	gpa_t logged[VMX_DIRTY_LOG];
	unsigned int n = vmx_dirty_take(&vcpu->vmx, logged);
	struct vm_slot *slot = NULL;

	for (unsigned int i = 0; i < n; i++) {
		if (!slot || logged[i] - slot->base >= slot->size)
			slot = slot_find(vcpu->vm, logged[i]);
		if (slot && slot->dirty)
			dirty_mark(slot, logged[i]);
		else
			count(&dirty_strays);
		count(&dirty_logged);
	}
}

void dirty_drain(struct vcpu *vcpu)
{
	unsigned int phase;

	if (!slots_read_try(vcpu->vm, &phase)) {
		/* The pause ends this vcpu_run(); the next one comes here again. */
		atomic_fetch_or_explicit(&vcpu->requests, REQ_DIRTY, memory_order_seq_cst);
		return;
	}
	race_point();
	spin_lock(&vcpu->dirty_lock);
	move_logged(vcpu);
	vmx_dirty_rewind(&vcpu->vmx);
	atomic_store(&vcpu->dirty_wanted, false);
	spin_unlock(&vcpu->dirty_lock);
	slots_read_end(vcpu->vm, phase);
}

void dirty_retire(struct vcpu *vcpu)
{
	unsigned int phase = slots_read_begin(vcpu->vm);

	spin_lock(&vcpu->dirty_lock);
	move_logged(vcpu);
	spin_unlock(&vcpu->dirty_lock);
	slots_read_end(vcpu->vm, phase);
}

static void want_all(struct vm *vm, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		atomic_store(&vm->vcpu[i]->dirty_wanted, true);
		atomic_fetch_or_explicit(&vm->vcpu[i]->requests, REQ_DIRTY, memory_order_seq_cst);
	}
	race_point();
	vm_kick_all(vm, false);
}

static int collect_one(struct vcpu *v, u64 deadline)
{
	while (atomic_load(&v->mode) != OUTSIDE_GUEST_MODE && atomic_load(&v->dirty_wanted)) {
		if (ticks_now() > deadline) {
			printk("# vCPU %u on CPU %u does not leave the guest for its dirty log\n",
			       v->id, atomic_load(&v->cpu));
			return -ETIMEDOUT;
		}
		cpu_relax();
	}
	race_point();
	spin_lock(&v->dirty_lock);
	/* One that is destroyed has moved its log itself. */
	if (atomic_load(&v->dirty_wanted) && !atomic_load(&v->gone))
		move_logged(v);
	spin_unlock(&v->dirty_lock);
	return 0;
}

int dirty_collect(struct vm *vm, u64 deadline)
{
	/* Grows only under change_mutex. */
	u32 nr = atomic_load(&vm->nr_vcpus);
	int err = 0;

	want_all(vm, nr);
	for (u32 i = 0; i < nr && !err; i++)
		err = collect_one(vm->vcpu[i], deadline);
	return err;
}

/* --- reading a log --------------------------------------------------------------------------- */

static void put_back(struct dirty_log *log, const u64 *bitmap, u64 words)
{
	for (u64 i = 0; i < words; i++)
		if (bitmap[i])
			atomic_fetch_or(&log->bit[i], bitmap[i]);
}

/*
 * Take the bits and arm their pages, unless it is for the @last time. Returns how many words were
 * done: all, or there is no memory.
 */
static u64 take(struct vm *vm, struct vm_slot *slot, u64 *bitmap, u64 *n, bool last)
{
	struct dirty_log *log = slot->dirty;

	for (u64 i = 0; i < log->words; i++) {
		u64 bits = 0;
		int r;

		if (atomic_load_explicit(&log->bit[i], memory_order_relaxed))
			bits = atomic_exchange_explicit(&log->bit[i], 0, memory_order_seq_cst);
		bitmap[i] = bits;
		*n += count_bits(bits);
		if (!bits || last)
			continue;
		race_point();
		spin_lock(&vm->vmx.lock);
		r = ept_rearm(&vm->vmx.ept, slot->base + i * 64 * PAGE_SIZE, bits,
			      (enum ept_log)vm->dirty_how);
		spin_unlock(&vm->vmx.lock);
		if (r < 0)
			return i;
	}
	return log->words;
}

static int read_log(struct vm *vm, struct vm_slot *slot, u64 *bitmap, u64 *n, bool last)
{
	u64 deadline = ticks_now() + tsc_hz, words = slot->dirty->words, done;
	int err = vm->dirty_how == DIRTY_PML ? dirty_collect(vm, deadline) : 0;

	if (err)
		return err;
	race_point();
	done = take(vm, slot, bitmap, n, last);
	race_point();
	/*
	 * Also when no leaf had to be changed: an earlier zap of the page, by a change that did not
	 * succeed, may not have been flushed.
	 */
	if (!last && (*n || done < words))
		err = vm_flush(vm, deadline);
	if (done < words)
		err = -ENOMEM;
	if (err)
		put_back(slot->dirty, bitmap, done < words ? done + 1 : words);
	return err;
}

static int read_slot(struct vm *vm, u32 id, u64 *bitmap, u64 *n, bool last)
{
	struct vm_slot *slot;
	unsigned int phase;
	u64 count = 0;
	int err;

	/* A read section as well, so that a pause waits for it to end. */
	slots_lock(vm);
	while (!slots_read_try(vm, &phase)) {
		mutex_unlock(&vm->change_mutex);
		slots_lock(vm);
	}
	slot = slot_by_id(vm, id);
	if (!slot)
		err = -ENOENT;
	else
		err = slot->dirty ? read_log(vm, slot, bitmap, &count, last) : -EINVAL;
	slots_read_end(vm, phase);
	mutex_unlock(&vm->change_mutex);
	if (!err && n)
		*n = count;
	return err;
}

int vm_dirty_read(struct vm *vm, u32 id, u64 *bitmap, u64 *n)
{
	return read_slot(vm, id, bitmap, n, false);
}

int vm_dirty_read_last(struct vm *vm, u32 id, u64 *bitmap, u64 *n)
{
	return read_slot(vm, id, bitmap, n, true);
}
