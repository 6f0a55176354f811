/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See hv/vm/apic_page.h.
 *
 * The race. The page is in frame P: the second-level tables say so, and every VMCS. Its owner moves
 * it to frame Q, and asks the vCPUs to reload:
 *
 *	mover				vCPU
 *	requests the reload
 *					reloads: the page is in P still, APIC_ACCESS_ADDR := P
 *	zaps, flushes, moves to Q
 *					touches the page: a fault maps Q
 *					reads Q: not what APIC_ACCESS_ADDR names, so raw memory
 *
 * The reload is to a translation what a fault is, and follows the same rule (hv/vm/invalidate.h):
 *it reads the sequence, finds the frame, and asks under the table lock whether that may have
 *changed since. If so it writes nothing and requests itself again. A pending request bars the
 *entry, so the vCPU does not run a guest instruction until the move is over.
 *
 * That a reload is requested is not enough: the old address must not be in use when the move ends.
 * Since the request is published before the flush, the flush waits for it too: for a vCPU that is
 *in the guest and has not taken the request it waits until it is outside (vm_flush()). The flush
 * generation alone would not do: a vCPU can see the new generation, flush, and enter, all after its
 * last look at its requests.
 *
 * Who flushes. The mover, when it has zapped; once. A vCPU need not flush again when it reloads:
 * nothing that its CPU has cached since the zap can be the old frame. When a vCPU's use of the page
 * begins (a switch of its APIC's mode) it does flush.
 */
#include "hv/vm/apic_page.h"
#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/vm/backing.h"
#include "hv/vm/internal.h"
#include "hv/vm/slots_internal.h"

COUNTER(apic_requests, "apic.requests", "invalidations that made the vCPUs reload");
COUNTER(apic_reloads, "apic.reloads", "reloads of APIC_ACCESS_ADDR");
COUNTER(apic_retries, "apic.retries", "reloads that had to be done again");
COUNTER(apic_retries_ended, "apic.retries_ended",
	"those of them that only the sequence has shown: nothing was in progress any more");
COUNTER(apic_stale, "apic.stale_entries",
	"watched entries with another APIC_ACCESS_ADDR than the page is mapped to");
COUNTER(apic_unflushed, "apic.unflushed_entries",
	"watched entries without the flush that is owed since the page was zapped");

static u8 default_rung = NR_VMX_APIC_RUNGS; /* the best there is */

/* --- the rung -------------------------------------------------------------------------------- */

int vm_default_apic(unsigned int rung)
{
	if (rung > vmx_apic_best())
		return -EOPNOTSUPP;
	default_rung = (u8)rung;
	return 0;
}

void apic_page_init(struct vm *vm)
{
	vm->apic_rung = (u8)min_u64(default_rung, vmx_apic_best());
}

int vm_set_apic(struct vm *vm, unsigned int rung)
{
	if (rung > vmx_apic_best())
		return -EOPNOTSUPP;
	if (vm->apic_page.backing) /* with the first vCPU, also if that could not be made */
		return -EBUSY;
	vm->apic_rung = (u8)rung;
	return 0;
}

void vm_set_apic_policy(struct vm *vm, enum apic_reload reload, enum apic_stall stall,
			enum apic_flush flush)
{
	vm->apic_page.reload = reload;
	vm->apic_page.stall = stall;
	vm->apic_page.flush = flush;
}

/* --- the slot -------------------------------------------------------------------------------- */

int apic_page_create(struct vm *vm)
{
	struct slot_change c = { .op = SLOT_CREATE,
				 .id = SLOT_ID_APIC,
				 .flags = SLOT_PRIVATE,
				 .base = LAPIC_DEFAULT_BASE,
				 .size = PAGE_SIZE };
	int err = backing_create(&c.backing, PAGE_SIZE, BACKING_RESERVE);

	if (err)
		return err;
	err = backing_populate(c.backing);
	if (!err)
		err = slots_change_private(vm, &c);
	if (err) {
		backing_put(c.backing);
		return err;
	}
	/* Rungs below the access page: its address is taken, but nothing is ever mapped there. */
	vm->apic_page.inhibited = vm->apic_rung < VMX_APIC_ACCESS;
	vm->apic_page.backing = c.backing;
	return 0;
}

void apic_page_destroy(struct vm *vm)
{
	if (vm->apic_page.backing)
		backing_put(vm->apic_page.backing);
}

/*
 * Without the slot nobody would be told, and the frame that every VMCS still names would become
 * somebody's memory, the guest's perhaps.
 */
int vm_move_apic_page(struct vm *vm, int fill)
{
	int err = -ENOENT;

	mutex_lock(&vm->change_mutex);
	if (slot_private(vm)) /* which is settled while we hold the mutex */
		err = backing_move(vm->apic_page.backing, 0, PAGE_SIZE, fill);
	mutex_unlock(&vm->change_mutex);
	return err;
}

int vm_delete_apic_page(struct vm *vm)
{
	const struct slot_change c = { .op = SLOT_DELETE,
				       .id = SLOT_ID_APIC,
				       .flags = SLOT_PRIVATE };

	int err;

	slots_lock(vm);
	err = slots_change_private(vm, &c);
	mutex_unlock(&vm->change_mutex);
	return err;
}

hpa_t vm_apic_page_frame(struct vm *vm)
{
	unsigned int phase = slots_read_begin(vm);
	struct vm_slot *slot = slot_private(vm);
	struct backing_page page;
	hpa_t hpa = slot && backing_look(slot->backing, 0, &page) ? page.hpa : 0;

	slots_read_end(vm, phase);
	return hpa;
}

/* --- invalidation ---------------------------------------------------------------------------- */

static bool covers(gpa_t gpa, u64 len)
{
	return gpa <= LAPIC_DEFAULT_BASE && LAPIC_DEFAULT_BASE - gpa < len;
}

/* Published only: who invalidates flushes later, which kicks. */
void apic_page_invalidated(struct vm *vm, gpa_t gpa, u64 len)
{
	u32 nr;

	nr = atomic_load_explicit(&vm->nr_vcpus, memory_order_seq_cst);
	if (!nr || !covers(gpa, len))
		return;
	count(&apic_requests);
	if (unlikely(vm->traced))
		trace("apic: request", 0, 0);
	for (u32 i = 0; i < nr; i++)
		atomic_fetch_or_explicit(&vm->vcpu[i]->requests, REQ_APIC_PAGE,
					 memory_order_seq_cst);
}

bool apic_page_owes_flush(struct vm *vm, gpa_t gpa, u64 len)
{
	if (likely(vm->apic_page.flush != FLUSH_RELOAD) || !covers(gpa, len))
		return false;
	atomic_store(&vm->apic_page.owed_gen, atomic_load(&vm->vmx.flush_gen) + 1);
	atomic_fetch_add(&vm->apic_page.owed, 1);
	return true;
}

/* In a read section: the frame that the slot shows; 0 when there is none to be used. */
static hpa_t look_up(struct vm *vm)
{
	struct vm_slot *slot = slot_private(vm);
	struct backing_page page;

	if (!slot || slot->invalid || !backing_look(slot->backing, slot->offset, &page))
		return 0;
	return page.hpa;
}

/* Under the table lock. */
static bool has_changed(struct vm *vm, u64 seq)
{
	if (vm->apic_page.reload == RELOAD_NORETRY ||
	    !invalidate_retry(vm, LAPIC_DEFAULT_BASE, seq))
		return false;
	if (!vm->invalidation.in_progress)
		count(&apic_retries_ended);
	return true;
}

/* In a read section. As apic_page_reload(). */
static bool reload(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	bool reversed = vm->apic_page.reload == RELOAD_REVERSED, retry;
	hpa_t hpa = reversed ? look_up(vm) : 0;
	u64 seq;

	race_point();
	seq = invalidate_seq(vm);
	race_point();
	if (!reversed)
		hpa = look_up(vm);
	race_point();
	/*
	 * That there is no slot is believed on the same terms: one that is on its way out may be
	 * mapped still, by another vCPU, to a frame that this one does not know.
	 */
	spin_lock(&vm->vmx.lock);
	retry = has_changed(vm, seq);
	if (!retry && hpa)
		vmx_apic_set_page(&vcpu->vmx, hpa);
	spin_unlock(&vm->vmx.lock);
	if (retry)
		count(&apic_retries);
	else if (hpa)
		count(&apic_reloads);
	return !retry;
}

/*
 * With FLUSH_BOTH the flush that the zap asks for is carried out all the same, as it was where the
 * two are requests of their own; left to the generation alone, this one would have been both.
 */
static void flush_too(struct vcpu *vcpu, u64 owed)
{
	u64 gen = vcpu->vmx.flushed_gen;

	vmx_apic_flush(&vcpu->vmx);
	if (vcpu->vm->apic_page.flush == FLUSH_BOTH)
		__atomic_store_n(&vcpu->vmx.flushed_gen, gen, __ATOMIC_RELEASE);
	vcpu->flushed_owed = owed;
}

bool apic_page_reload(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	u64 owed = atomic_load(&vm->apic_page.owed);
	unsigned int phase;
	bool done;

	if (!vmx_apic_uses_page(&vcpu->vmx))
		return true;
	if (!slots_read_try(vm, &phase))
		return false;
	done = reload(vcpu);
	slots_read_end(vm, phase);
	if (unlikely(vm->traced))
		trace(done ? "apic: reload" : "apic: retry", vcpu->id, 0);
	if (unlikely(vm->apic_page.flush != FLUSH_ZAP) && done)
		flush_too(vcpu, owed);
	return done;
}

/*
 * What an emulator hides that flushes more than it has to. Nobody maps the page in another frame
 * while this vCPU may be on its way in: whoever moves it waits for us.
 */
void apic_page_watch(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct ept_mapping m;

	if (vcpu->vmx.flushed_gen < atomic_load(&vm->apic_page.owed_gen) &&
	    vcpu->flushed_owed < atomic_load(&vm->apic_page.owed))
		count(&apic_unflushed);
	if (!vmx_apic_uses_page(&vcpu->vmx))
		return;
	spin_lock(&vm->vmx.lock);
	if (!ept_lookup(&vm->vmx.ept, LAPIC_DEFAULT_BASE, &m) &&
	    m.hpa != vmx_apic_get_page(&vcpu->vmx))
		count(&apic_stale);
	spin_unlock(&vm->vmx.lock);
}

/* --- vCPUs that the page does not serve --------------------------------------------------------
 */

/* Take the translation of @gpa away. The caller has made sure that none is made afterwards. */
static int unmap(struct vm *vm, gpa_t gpa)
{
	struct ept_unlinked *tables;
	int r;

	spin_lock(&vm->vmx.lock);
	r = ept_unmap(&vm->vmx.ept, gpa, PAGE_SIZE);
	tables = r < 0 ? NULL : ept_detach_unlinked(&vm->vmx.ept);
	spin_unlock(&vm->vmx.lock);
	race_point();
	return r < 0 ? r : vm_flush_and_free(vm, tables, ticks_now() + tsc_hz);
}

static void change_inhibited(struct vm *vm, s32 by)
{
	spin_lock(&vm->vmx.lock);
	vm->apic_page.inhibited += (u32)by;
	spin_unlock(&vm->vmx.lock);
}

int apic_page_inhibit(struct vm *vm)
{
	int err;

	if (vm->apic_rung < VMX_APIC_ACCESS)
		return 0;
	invalidate_begin(vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);
	change_inhibited(vm, 1);
	race_point();
	err = unmap(vm, LAPIC_DEFAULT_BASE);
	if (err)
		change_inhibited(vm, -1);
	invalidate_end(vm);
	return err;
}

/*
 * The page may have been moved while it was inhibited, so that from now on it may only be mapped
 * when every vCPU has reloaded. Which is an invalidation, though there is nothing to zap: within it
 * nobody maps the page, and vm_flush() has every vCPU out that has not taken the request.
 */
int apic_page_allow(struct vm *vm)
{
	int err;

	if (vm->apic_rung < VMX_APIC_ACCESS)
		return 0;
	invalidate_begin(vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);
	err = vm_flush(vm, ticks_now() + tsc_hz);
	if (!err)
		change_inhibited(vm, -1);
	race_point();
	invalidate_end(vm);
	return err;
}

/* --- APICs that were moved to another address ------------------------------------------------- */

int apic_page_cover(struct vm *vm, gpa_t gpa)
{
	int err;

	invalidate_begin(vm, gpa, PAGE_SIZE);
	spin_lock(&vm->vmx.lock);
	vm->apic_page.covering++;
	spin_unlock(&vm->vmx.lock);
	err = unmap(vm, gpa);
	invalidate_end(vm);
	if (err)
		apic_page_uncover(vm, gpa);
	return err;
}

void apic_page_uncover(struct vm *vm, gpa_t gpa)
{
	spin_lock(&vm->vmx.lock);
	vm->apic_page.covering--;
	spin_unlock(&vm->vmx.lock);
}

bool apic_page_covered(struct vm *vm, gpa_t gpa)
{
	u32 nr = atomic_load_explicit(&vm->nr_vcpus, memory_order_acquire);

	for (u32 i = 0; i < nr; i++)
		if (lapic_covers(vm->vcpu[i], gpa))
			return true;
	return false;
}
