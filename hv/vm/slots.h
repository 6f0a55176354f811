/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Slots: which guest-physical addresses are memory, and which part of which backing they show.
 *
 * There are two sets. Readers see the active one; a change is made in the other, which then becomes
 * active by one store; after a grace period (hv/vm/readers.h) the same change is made in the set
 * that was active, so the cost of a change does not depend on how many slots there are. A slot
 * never changes while it is in a set (but for being marked invalid): a change takes it out and puts
 * another in.
 *
 * A change list is applied as a whole, in one of three ways:
 *   - SLOTS_LIVE: each item by itself, as KVM does it. A slot that goes is marked invalid,
 *     zapped, then taken out; one that is resized, split or merged is taken out, and then
 *     what it becomes is put in. vCPUs that run meanwhile can hit the hole.
 *   - SLOTS_PAUSED: the same with the VM held around it, so nothing need be marked.
 *   - SLOTS_ATOMIC: all items in the inactive set, one swap. vCPUs see the old slots or
 *     the new, and translations that mean the same as before stay.
 *
 * The whole list is checked before anything is done, and what is done is undone if a vCPU or a
 * reader does not let go.
 *
 * Each set is a red-black tree by address (hv/host/tree.h) and a table by id.
 */
#ifndef HV_VM_SLOTS_H
#define HV_VM_SLOTS_H

#include "hv/host/types.h"
#include "hv/vm/backing.h"

#define VM_MAX_SLOTS  512
#define SLOT_ID_APIC  VM_MAX_SLOTS /* the private slot of hv/vm/apic_page.h; not for callers */
#define SLOT_LIST_MAX 64	   /* items of a change list */

struct vm;
struct slot_set;
struct slot_edit;
struct slot_object;
struct dirty_log;
struct userfault;

enum slot_flags {
	SLOT_READONLY = 1,  /* a guest's write is an MMIO exit */
	SLOT_LOG_DIRTY = 2, /* keep a dirty log; not with SLOT_READONLY */
	SLOT_PRIVATE = 4,   /* not memory: only the guest's accesses find it; not for callers */
	/*
	 * What becomes of an access to a page of the backing that is missing. With neither of these
	 * the thread waits until somebody has brought it (hv/vm/fetch.h). They exclude each other.
	 */
	SLOT_EXIT_ON_MISSING = 8, /* RUN_EXIT_MEMORY_FAULT, at once; not with SLOT_READONLY */
	SLOT_USERFAULT = 16, /* the same for pages that .userfault hides; others are waited for */
};

struct vm_slot {
	gpa_t base;
	u64 size;
	struct backing *backing;
	u64 offset; /* into the backing: base shows this */
	u32 id;
	u32 flags;	      /* enum slot_flags */
	_Atomic bool invalid; /* on its way out (SLOTS_LIVE): accesses are retried */
	struct dirty_log *dirty;
	struct userfault *userfault; /* SLOT_USERFAULT: with a reference; else NULL */
	const _Atomic u64 *hidden;   /* its bits */
	struct backing_view view;    /* what the backing knows of it */
};

enum slot_op {
	SLOT_CREATE, /* .id .base .size .backing .offset .flags .userfault */
	SLOT_DELETE, /* .id */
	SLOT_MOVE,   /* .id .base */
	SLOT_RESIZE, /* .id .size: the end moves */
	SLOT_FLAGS,  /* .id .flags .userfault */
	SLOT_SPLIT,  /* .id .size: keeps its first .size bytes; the rest becomes slot .other */
	SLOT_MERGE, /* .id .other: .other begins where .id ends, in guest and backing; it disappears
		     */
};

struct slot_change {
	enum slot_op op;
	u32 id, other;
	gpa_t base;
	u64 size;
	struct backing *backing; /* the slot takes a reference of its own */
	u64 offset;
	u32 flags;
	struct userfault *userfault; /* with SLOT_USERFAULT: one for .backing; the slot takes a
					reference of its own */
};

enum slot_way { SLOTS_LIVE, SLOTS_PAUSED, SLOTS_ATOMIC };

enum slot_zap {
	ZAP_RANGE, /* what the change concerns */
	ZAP_ALL,   /* everything, as KVM does by default (KVM_X86_QUIRK_SLOT_ZAP_ALL) */
};

/* Where a change spent its time, in ticks; and why it was refused. */
struct slot_report {
	u64 pause, resume; /* SLOTS_PAUSED */
	u64 drain;	   /* grace periods: waiting for readers */
	u64 zap;	   /* taking translations away */
	u64 flush;	   /* until no CPU could use them any more */
	u64 free;	   /* giving back page-table pages */
	u64 total;
	unsigned int item; /* on error: which item of the list */
	char why[96];	   /* on error: one line */
};

/* A VM's slots. All but .active under vm->change_mutex. */
struct vm_slots {
	_Atomic(struct slot_set *) active;
	struct slot_set *set[2];
	struct slot_edit *edit;	   /* room for the change list under way */
	struct slot_object *spare; /* free ones, for the next change: up to SLOT_SPARES */
	u32 nr_objects;		   /* struct slot_object there are */
	u32 nr_spare;
	/* Taken out, but a vCPU that does not leave the guest may still use their memory. */
	struct slot_object *late;
	bool changing_private;	/* the change under way is of a private slot */
	_Atomic u32 generation; /* advanced at every swap */
	enum slot_zap zap;
};

int slots_init(struct vm *vm); /* 0, -ENOMEM */
void slots_destroy(struct vm *vm);

/**
 * vm_change_slots - apply a change list
 * @list, @n: 1..SLOT_LIST_MAX items
 * @report: may be NULL
 *
 * Returns 0, or for the first item that is refused, nothing having changed:
 *   -ENOENT      no such slot id
 *   -EEXIST      the range overlaps another slot, or the id is in use
 *   -EINVAL      size 0, or an address, size or offset that is not a multiple of 4 KiB; no backing;
 *                no items, or too many
 *   -ERANGE      the range wraps or lies beyond what second-level tables reach, or beyond
 *                the backing
 *   -EOPNOTSUPP  a flag that vm_slot_flags() does not offer: it does not exist, or this CPU cannot
 *   -EPERM       flags that exclude each other (read-only with a dirty log or with exits on missing
 *                pages; the two kinds of exits), or a bitmap without its flag
 *   -ENOSPC      an id beyond VM_MAX_SLOTS: too many slots
 *   -EPROTO      SLOT_MERGE of slots that do not fit together
 *   -ENOMEM, -ETIMEDOUT (a vCPU or reader does not let go)
 * On return no CPU uses what was taken out. Waits while another thread holds the VM; a change that
 * began before a pause may end during it. Thread context, in no read section. One change at a time
 * (vm->change_mutex). May run beside vCPUs.
 */
int vm_change_slots(struct vm *vm, const struct slot_change *list, unsigned int n,
		    enum slot_way way, struct slot_report *report);

/**
 * vm_slot_flags - what may be asked of a slot of this VM: a mask of enum slot_flags
 *
 * The same mask is what vm_change_slots() accepts. Whether flags go together it tells. Any context.
 */
u32 vm_slot_flags(const struct vm *vm);

/** slot_find - the slot that @gpa is in, or NULL. In a read section, or under vm->change_mutex. */
struct vm_slot *slot_find(struct vm *vm, gpa_t gpa);

/** slot_by_id - the slot with an id, or NULL. Context as slot_find(). */
struct vm_slot *slot_by_id(struct vm *vm, u32 id);

/** slot_next - the slot with the lowest base that is not below @gpa, or NULL. Context as
 * slot_find().
 */
struct vm_slot *slot_next(struct vm *vm, gpa_t gpa);

/** slots_count - how many there are, the private one left out. Any thread; a number that may have
 * changed since. */
u32 slots_count(struct vm *vm);

#endif
