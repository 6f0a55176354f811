/* SPDX-License-Identifier: GPL-2.0-only */
/* See hw.h. A guest's accesses to memory, and the log of pages that become dirty. */
#include <string.h>

#include "hv/host/mem.h"
#include "tests/stress/hw_internal.h"
#include "tests/stress/stress.h"
#include "vmx/ept.h"

#define LEVELS	       4
#define ENTRY_LEAF     BIT(7)
#define ENTRY_ACCESSED BIT(8)
#define ENTRY_DIRTY    BIT(9)
#define ENTRY_ADDRESS  0x000ffffffffff000ull
#define LOG_EMPTY      (~0ull)

void hw_point(void)
{
	sched_point();
}

static int violation(struct hw_vcpu *h, gpa_t gpa, bool write)
{
	struct vm_exit *e = &h->vmx->exit;

	memset(e, 0, sizeof(*e));
	e->mem.gpa = gpa;
	e->mem.read = !write;
	e->mem.write = write;
	return VM_EXIT_MEMORY;
}

/* --- the log --------------------------------------------------------------------------------- */

void hw_log_init(struct hw_vcpu *h)
{
	h->vmx->dirty_log = page_alloc(0, 0);
	memset(h->vmx->dirty_log, 0xff, PAGE_SIZE);
	h->log_next = h->vmx->dirty_next = VMX_DIRTY_LOG - 1;
}

/* False: it is full. */
static bool log_dirty(struct hw_vcpu *h, gpa_t gpa)
{
	if (!h->vmx->dirty_log)
		return true;
	if (h->log_next < 0)
		return false;
	h->vmx->dirty_log[h->log_next--] = gpa & PAGE_MASK;
	return true;
}

unsigned int vmx_dirty_take(struct vmx_vcpu *v, gpa_t out[VMX_DIRTY_LOG])
{
	unsigned int n = 0;

	for (; v->dirty_log && v->dirty_next >= 0; v->dirty_next--) {
		if (v->dirty_log[v->dirty_next] == LOG_EMPTY)
			break;
		out[n++] = v->dirty_log[v->dirty_next];
		v->dirty_log[v->dirty_next] = LOG_EMPTY;
	}
	return n;
}

void vmx_dirty_rewind(struct vmx_vcpu *v)
{
	struct hw_vcpu *h = v->vmcs;

	if (v->dirty_log)
		h->log_next = v->dirty_next = VMX_DIRTY_LOG - 1;
}

/* --- translation ----------------------------------------------------------------------------- */

static struct hw_translation *slot_of(struct hw_translation *cache, u64 page)
{
	return &cache[page % HW_TLB];
}

static u64 load_entry(_Atomic u64 *e)
{
	hw_point();
	frame_use(virt_to_phys((const void *)e), "the CPU walks a table");
	return atomic_load_explicit(e, memory_order_acquire);
}

/* Where the walk begins: at the root, or at a table that the CPU remembers. */
static _Atomic u64 *first_table(struct hw_vcpu *h, gpa_t gpa, unsigned int *level)
{
	struct hw_translation *t = slot_of(h->table, gpa >> 21);

	if (t->valid && t->page == gpa >> 21 && sched_random(4)) {
		*level = 1;
		return phys_to_virt(t->frame);
	}
	*level = LEVELS;
	return phys_to_virt(h->vmx->vm->ept.eptp & ENTRY_ADDRESS);
}

/* The entry that maps @gpa, or the one that is missing. */
static _Atomic u64 *find_entry(struct hw_vcpu *h, gpa_t gpa, unsigned int *level, u64 *entry)
{
	_Atomic u64 *table = first_table(h, gpa, level), *e;

	for (;; --*level) {
		e = &table[gpa >> (12 + 9 * (*level - 1)) & 511];
		*entry = load_entry(e);
		if (!(*entry & EPT_RWX) || *level == 1 || *entry & ENTRY_LEAF)
			return e;
		table = phys_to_virt(*entry & ENTRY_ADDRESS);
		if (*level == 2)
			*slot_of(h->table, gpa >> 21) = (struct hw_translation){
				.valid = true, .page = gpa >> 21, .frame = *entry & ENTRY_ADDRESS
			};
	}
}

bool hw_look_up(struct hw_vcpu *h, gpa_t gpa, hpa_t *hpa)
{
	_Atomic u64 *table = phys_to_virt(h->vmx->vm->ept.eptp & ENTRY_ADDRESS);
	unsigned int level = LEVELS;
	u64 entry, span;

	for (;; level--) {
		entry = load_entry(&table[gpa >> (12 + 9 * (level - 1)) & 511]);
		if (!(entry & EPT_RWX))
			return false;
		if (level == 1 || entry & ENTRY_LEAF)
			break;
		table = phys_to_virt(entry & ENTRY_ADDRESS);
	}
	span = PAGE_SIZE << 9 * (level - 1);
	*hpa = (entry & ENTRY_ADDRESS & ~(span - 1)) + (gpa & (span - 1));
	return true;
}

/* Set accessed and dirty bits as the CPU does; false when the entry has changed meanwhile. */
static bool set_bits(struct hw_vcpu *h, _Atomic u64 *e, u64 old, bool write)
{
	u64 new = old | ENTRY_ACCESSED | (write ? ENTRY_DIRTY : 0);

	hw_point();
	return new == old || atomic_compare_exchange_strong_explicit(
				     e, &old, new, memory_order_acq_rel, memory_order_acquire);
}

static int walk(struct hw_vcpu *h, gpa_t gpa, bool write, struct hw_translation *out)
{
	unsigned int level;
	_Atomic u64 *e;
	u64 entry, span;

	for (;;) {
		e = find_entry(h, gpa, &level, &entry);
		if (!(entry & (write ? EPT_WRITE : EPT_READ)))
			return violation(h, gpa, write);
		/* The log comes before the bit: a full one is an exit before the access. */
		if (write && !(entry & ENTRY_DIRTY) && h->vmx->dirty_log && h->log_next < 0)
			return VM_EXIT_DIRTY_FULL;
		if (set_bits(h, e, entry, write))
			break;
	}
	if (write && !(entry & ENTRY_DIRTY))
		log_dirty(h, gpa);
	span = PAGE_SIZE << 9 * (level - 1);
	*out = (struct hw_translation){
		.valid = true,
		.dirty = write || entry & ENTRY_DIRTY,
		.page = gpa / PAGE_SIZE,
		.frame = (entry & ENTRY_ADDRESS & ~(span - 1)) + (gpa & (span - 1) & PAGE_MASK),
		.rights = entry & EPT_RWX,
	};
	return HW_GOES_ON;
}

/* The TLB may forget what it has at any time. */
static int translate(struct hw_vcpu *h, gpa_t gpa, bool write, hpa_t *hpa)
{
	struct hw_translation *t = slot_of(h->tlb, gpa / PAGE_SIZE), new;
	int exit;

	if (!t->valid || t->page != gpa / PAGE_SIZE ||
	    (write && (!t->dirty || !(t->rights & EPT_WRITE))) || !sched_random(16)) {
		exit = walk(h, gpa, write, &new);
		if (exit != HW_GOES_ON) {
			/* A violation invalidates what the CPU has cached for the address. */
			if (t->page == gpa / PAGE_SIZE)
				t->valid = false;
			slot_of(h->table, gpa >> 21)->valid = false;
			return exit;
		}
		*t = new;
	}
	*hpa = t->frame + gpa % PAGE_SIZE;
	hw_point();
	return HW_GOES_ON;
}

int hw_read(struct hw_vcpu *h, gpa_t gpa, u64 *value)
{
	hpa_t hpa;
	int exit = translate(h, gpa, false, &hpa);

	if (exit != HW_GOES_ON)
		return exit;
	if (hw_apic_access(h, hpa, false))
		return VM_EXIT_APIC_ACCESS;
	frame_use(hpa, "a guest reads");
	*value = quiet_load(hpa);
	return HW_GOES_ON;
}

int hw_write(struct hw_vcpu *h, gpa_t gpa, u64 value)
{
	hpa_t hpa;
	int exit = translate(h, gpa, true, &hpa);

	if (exit != HW_GOES_ON)
		return exit;
	if (hw_apic_access(h, hpa, true))
		return VM_EXIT_APIC_ACCESS;
	frame_use(hpa, "a guest writes");
	quiet_store(hpa, value);
	return HW_GOES_ON;
}
