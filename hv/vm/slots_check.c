/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether an item of a change list can be done, and if not, why: each reason has its own error. */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/vm/vcpu.h"
#include "hv/vm/slots_internal.h"
#include "hv/vm/userfault.h"

typedef unsigned long long llu;

int slot_refuse(struct slot_report *report, int err, const char *fmt, ...)
{
	size_t n = (size_t)fmt_print(report->why, sizeof(report->why), "item %u: ", report->item);
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(report->why + n, sizeof(report->why) - n, fmt, ap);
	va_end(ap);
	return err;
}

static int check_exists(struct slot_set *set, u32 id, struct slot_report *r)
{
	if (id >= VM_MAX_SLOTS || !set->by_id[id])
		return slot_refuse(r, -ENOENT, "there is no slot %u", id);
	return 0;
}

static int check_new_id(struct slot_set *set, u32 id, struct slot_report *r)
{
	if (id >= VM_MAX_SLOTS)
		return slot_refuse(r, -ENOSPC, "slot %u is one too many, there are %u", id,
				   VM_MAX_SLOTS);
	if (set->by_id[id])
		return slot_refuse(r, -EEXIST, "there is a slot %u already", id);
	return 0;
}

int slot_check_memory(const struct slot_change *s, struct slot_report *r)
{
	u64 size;

	if (!s->backing)
		return slot_refuse(r, -EINVAL, "slot %u would have no backing", s->id);
	if (!IS_ALIGNED(s->offset, PAGE_SIZE))
		return slot_refuse(r, -EINVAL, "offset %#llx is no multiple of 4 KiB",
				   (llu)s->offset);
	size = backing_size(s->backing);
	if (s->offset > size || s->size > size - s->offset)
		return slot_refuse(r, -ERANGE, "%#llx bytes from %#llx: the backing has only %#llx",
				   (llu)s->size, (llu)s->offset, (llu)size);
	return 0;
}

/* A range that a slot could have. */
static int check_range(struct vm *vm, const struct slot_change *s, struct slot_report *r)
{
	if (!s->size)
		return slot_refuse(r, -EINVAL, "slot %u would have no bytes", s->id);
	if (!IS_ALIGNED(s->base | s->size, PAGE_SIZE))
		return slot_refuse(r, -EINVAL, "base %#llx or size %#llx is no multiple of 4 KiB",
				   (llu)s->base, (llu)s->size);
	if (s->base + s->size - 1 < s->base)
		return slot_refuse(r, -ERANGE, "%#llx bytes at %#llx wrap", (llu)s->size,
				   (llu)s->base);
	if (s->base + s->size > vm->vmx.ept.limit || !(s->base + s->size))
		return slot_refuse(r, -ERANGE, "%#llx bytes at %#llx: no address beyond %#llx",
				   (llu)s->size, (llu)s->base, (llu)vm->vmx.ept.limit - 1);
	/* Also when its slot has been deleted: the vCPUs have it there. */
	if (vm->apic_page.backing && s->base <= LAPIC_DEFAULT_BASE &&
	    LAPIC_DEFAULT_BASE - s->base < s->size)
		return slot_refuse(r, -EEXIST, "slot %u would overlap the local APIC at %#llx",
				   s->id, (llu)LAPIC_DEFAULT_BASE);
	return slot_check_memory(s, r);
}

u32 vm_slot_flags(const struct vm *vm)
{
	return SLOT_READONLY | SLOT_EXIT_ON_MISSING | SLOT_USERFAULT |
	       (dirty_possible(vm) ? SLOT_LOG_DIRTY : 0);
}

/* Flags that exclude each other, and why. */
static const struct {
	u32 flags;
	const char *why;
} contradictions[] = {
	{ SLOT_READONLY | SLOT_LOG_DIRTY, "a read-only slot has no dirty log" },
	{ SLOT_READONLY | SLOT_EXIT_ON_MISSING, "a read-only slot has no exits on missing pages" },
	{ SLOT_EXIT_ON_MISSING | SLOT_USERFAULT, "a slot exits on missing pages or by a bitmap" },
};

static int check_flags(struct vm *vm, const struct slot_change *c, const struct backing *backing,
		       struct slot_report *r)
{
	u32 unknown = c->flags & ~vm_slot_flags(vm);

	if (unknown == SLOT_LOG_DIRTY)
		return slot_refuse(r, -EOPNOTSUPP, "no dirty log without EPT dirty flags");
	if (unknown)
		return slot_refuse(r, -EOPNOTSUPP, "flags %#x: there is no such flag", c->flags);
	for (unsigned int i = 0; i < ARRAY_SIZE(contradictions); i++)
		if ((c->flags & contradictions[i].flags) == contradictions[i].flags)
			return slot_refuse(r, -EPERM, "%s", contradictions[i].why);
	if (!(c->flags & SLOT_USERFAULT))
		return c->userfault ? slot_refuse(r, -EPERM, "a bitmap without SLOT_USERFAULT") : 0;
	if (!c->userfault)
		return slot_refuse(r, -EINVAL, "SLOT_USERFAULT without a bitmap");
	if (userfault_backing(c->userfault) != backing)
		return slot_refuse(r, -EINVAL, "the bitmap is another backing's");
	return 0;
}

/* Nothing but @except, which goes, is where @s is to be. */
static int check_free(struct slot_set *set, const struct slot_change *s,
		      const struct vm_slot *except, struct slot_report *r)
{
	struct vm_slot *o = slot_set_below(set, s->base + s->size - 1);

	while (o == except && o && o->base)
		o = slot_set_below(set, o->base - 1);
	if (o && o != except && o->base + o->size > s->base)
		return slot_refuse(r, -EEXIST, "slot %u would overlap slot %u at %#llx", s->id,
				   o->id, (llu)max_u64(o->base, s->base));
	return 0;
}

static int check_create(struct vm *vm, struct slot_set *set, const struct slot_change *c,
			struct slot_report *r)
{
	int err = check_new_id(set, c->id, r);

	if (!err)
		err = check_flags(vm, c, c->backing, r);
	if (!err)
		err = check_range(vm, c, r);
	return err ? err : check_free(set, c, NULL, r);
}

/* @s as it is to be. */
static int check_reshape(struct vm *vm, struct slot_set *set, const struct vm_slot *old, gpa_t base,
			 u64 size, struct slot_report *r)
{
	const struct slot_change s = { .id = old->id,
				       .base = base,
				       .size = size,
				       .backing = old->backing,
				       .offset = old->offset };
	int err = check_range(vm, &s, r);

	return err ? err : check_free(set, &s, old, r);
}

static int check_split(struct slot_set *set, const struct vm_slot *s, const struct slot_change *c,
		       struct slot_report *r)
{
	if (!IS_ALIGNED(c->size, PAGE_SIZE))
		return slot_refuse(r, -EINVAL, "size %#llx is no multiple of 4 KiB", (llu)c->size);
	if (!c->size || c->size == s->size)
		return slot_refuse(r, -EINVAL, "split at %#llx, slot %u would have no bytes",
				   (llu)c->size, c->size ? c->other : c->id);
	if (c->size > s->size)
		return slot_refuse(r, -ERANGE, "split at %#llx, but slot %u has %#llx bytes",
				   (llu)c->size, c->id, (llu)s->size);
	return check_new_id(set, c->other, r);
}

static int check_merge(struct slot_set *set, const struct vm_slot *s, const struct slot_change *c,
		       struct slot_report *r)
{
	const struct vm_slot *o;
	const char *why = NULL;
	int err = check_exists(set, c->other, r);

	if (err)
		return err;
	o = set->by_id[c->other];
	if (o->base != s->base + s->size)
		why = "does not begin where it ends";
	else if (o->backing != s->backing || o->offset != s->offset + s->size)
		why = "does not go on in the same backing";
	else if (o->flags != s->flags || o->userfault != s->userfault)
		why = "has other flags";
	return why ? slot_refuse(r, -EPROTO, "slot %u cannot take in slot %u: that %s", c->id,
				 c->other, why)
		   : 0;
}

/* Its id and its flags nobody else can ask for. */
static int check_private(struct slot_set *set, const struct slot_change *c, struct slot_report *r)
{
	if (c->op == SLOT_DELETE)
		return set->by_id[c->id] ? 0 : -ENOENT;
	return set->by_id[c->id] ? -EEXIST : check_free(set, c, NULL, r);
}

int slot_check(struct vm *vm, struct slot_set *set, const struct slot_change *c,
	       struct slot_report *r)
{
	const struct vm_slot *s;
	int err;

	if (unlikely(vm->slots.changing_private))
		return check_private(set, c, r);
	if (c->op == SLOT_CREATE)
		return check_create(vm, set, c, r);
	err = check_exists(set, c->id, r);
	if (err)
		return err;
	s = set->by_id[c->id];
	switch (c->op) {
	case SLOT_DELETE: return 0;
	case SLOT_MOVE: return check_reshape(vm, set, s, c->base, s->size, r);
	case SLOT_RESIZE: return check_reshape(vm, set, s, s->base, c->size, r);
	case SLOT_FLAGS: return check_flags(vm, c, s->backing, r);
	case SLOT_SPLIT: return check_split(set, s, c, r);
	case SLOT_MERGE: return check_merge(set, s, c, r);
	default: return slot_refuse(r, -EINVAL, "there is no change %d", (int)c->op);
	}
}
