/* SPDX-License-Identifier: GPL-2.0-only */
/* Random change lists, in all ways, against a model that is an array. */
/* link: @vm hv/host/errno.c tests/unit/slots_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/random.h"
#include "tests/unit/slots_fixture.h"

#define SPACE 96 /* pages of guest-physical addresses, and of the backing */
#define IDS   12

struct model {
	struct {
		u32 base, size, offset, flags; /* in pages; size 0: no slot */
	} slot[IDS];
};

static struct model model;

static int model_clear(const struct model *m, u32 except, u32 base, u32 size)
{
	for (u32 i = 0; i < IDS; i++)
		if (m->slot[i].size && i != except && base < m->slot[i].base + m->slot[i].size &&
		    m->slot[i].base < base + size)
			return -EEXIST;
	return 0;
}

static int model_shape(struct model *m, u32 id, u32 base, u32 size, u32 offset, u32 except)
{
	int err;

	if (!size)
		return -EINVAL;
	if (offset + size > SPACE)
		return -ERANGE;
	err = model_clear(m, except, base, size);
	if (err)
		return err;
	m->slot[id].base = base;
	m->slot[id].size = size;
	m->slot[id].offset = offset;
	return 0;
}

static int model_flags(struct model *m, u32 id, u32 flags)
{
	if (flags > 3)
		return -EOPNOTSUPP;
	if (flags == 3)
		return -EPERM;
	m->slot[id].flags = flags;
	return 0;
}

static int model_merge(struct model *m, u32 a, u32 b)
{
	if (!m->slot[b].size)
		return -ENOENT;
	if (m->slot[b].base != m->slot[a].base + m->slot[a].size ||
	    m->slot[b].offset != m->slot[a].offset + m->slot[a].size ||
	    m->slot[b].flags != m->slot[a].flags)
		return -EPROTO;
	m->slot[a].size += m->slot[b].size;
	m->slot[b].size = 0;
	return 0;
}

static int model_split(struct model *m, u32 a, u32 b, u32 size)
{
	if (!size || size == m->slot[a].size)
		return -EINVAL;
	if (size > m->slot[a].size)
		return -ERANGE;
	if (m->slot[b].size)
		return -EEXIST;
	m->slot[b] = m->slot[a];
	m->slot[b].base += size;
	m->slot[b].offset += size;
	m->slot[b].size -= size;
	m->slot[a].size = size;
	return 0;
}

static int model_change(struct model *m, const struct slot_change *c)
{
	u32 base = (u32)((c->base - BASE) / K4), size = (u32)(c->size / K4), id = c->id;
	struct model before = *m;
	int err;

	if (c->op == SLOT_CREATE) {
		if (m->slot[id].size)
			return -EEXIST;
		err = model_flags(m, id, c->flags);
		if (!err)
			err = model_shape(m, id, base, size, (u32)(c->offset / K4), id);
		if (err)
			*m = before;
		return err;
	}
	if (!m->slot[id].size)
		return -ENOENT;
	switch (c->op) {
	case SLOT_MOVE: return model_shape(m, id, base, m->slot[id].size, m->slot[id].offset, id);
	case SLOT_RESIZE: return model_shape(m, id, m->slot[id].base, size, m->slot[id].offset, id);
	case SLOT_FLAGS: return model_flags(m, id, c->flags);
	case SLOT_SPLIT: return model_split(m, id, c->other, size);
	case SLOT_MERGE: return model_merge(m, id, c->other);
	default: m->slot[id].size = 0; return 0;
	}
}

static struct slot_change random_change(struct rng *rng)
{
	struct slot_change c = {
		.op = (enum slot_op)rng_below(rng, SLOT_MERGE + 1),
		.id = (u32)rng_below(rng, IDS),
		.other = (u32)rng_below(rng, IDS),
		.base = BASE + rng_below(rng, SPACE) * K4,
		.size = rng_below(rng, 8) * K4,
		.offset = rng_below(rng, SPACE) * K4,
		.backing = mem,
		.flags = (u32)rng_below(rng, 48),
	};

	/* What is mostly refused is mostly not asked for. */
	c.flags = c.flags < 5 ? c.flags : 0;
	if (rng_below(rng, 8)) {
		c.offset = min_u64(c.base - BASE, (SPACE - 8) * K4);
		if (!model.slot[c.id].size)
			c.op = SLOT_CREATE;
		else if (c.op == SLOT_CREATE)
			c.op = SLOT_DELETE;
	}
	if (c.op == SLOT_MERGE && rng_below(rng, 4)) {
		for (u32 i = 0; i < IDS; i++)
			if (model.slot[i].size &&
			    model.slot[i].base == model.slot[c.id].base + model.slot[c.id].size)
				c.other = i;
	}
	return c;
}

/* Every translation is that of a slot, with no right too many. */
static void check_translation(u32 page)
{
	const struct vm_slot *s = slot_find(vm, BASE + page * K4);
	struct backing_page p;
	struct ept_mapping m;

	if (ept_lookup(&vm->vmx.ept, BASE + page * K4, &m))
		return;
	assert_non_null(s);
	assert_int_equal(backing_find(s->backing, BASE + page * K4 - s->base + s->offset, &p), 0);
	assert_int_equal(m.hpa, p.hpa);
	if (s->flags & SLOT_READONLY)
		assert_false(m.prot & EPT_WRITE);
	if (s->flags & SLOT_LOG_DIRTY)
		assert_int_equal(m.size, K4);
}

static void check_model(void)
{
	u32 n = 1;

	for (u32 i = 0; i < IDS; i++) {
		const struct vm_slot *s = slot_by_id(vm, i + 1);

		assert_int_equal(!!s, !!model.slot[i].size);
		if (!s)
			continue;
		n++;
		assert_int_equal(s->base, BASE + model.slot[i].base * K4);
		assert_int_equal(s->size, model.slot[i].size * K4);
		assert_int_equal(s->offset, model.slot[i].offset * K4);
		assert_int_equal(s->flags, model.slot[i].flags);
		assert_int_equal(!!s->dirty, !!(s->flags & SLOT_LOG_DIRTY));
	}
	assert_int_equal(slots_count(vm), n);
}

static void random_list(struct rng *rng)
{
	unsigned int n = 1 + (unsigned int)(rng_below(rng, 2) * rng_below(rng, 4)), bad = n;
	struct slot_change list[4];
	struct model after = model;
	int expected = 0, err;

	for (unsigned int i = 0; i < n; i++) {
		list[i] = random_change(rng);
		if (!expected)
			expected = model_change(&after, &list[i]);
		if (expected && bad == n)
			bad = i;
		list[i].id++;
		list[i].other++;
	}
	err = change_list(list, n, (enum slot_way)rng_below(rng, WAYS));
	if (err != expected)
		fail_msg("item %u: %s, but the model says %s (%s)", bad, errno_name(err),
			 errno_name(expected), report.why);
	if (err)
		assert_int_equal(report.item, bad);
	else
		model = after;
}

static void random_faults(struct rng *rng)
{
	struct missing missing;

	for (unsigned int i = 0; i < 12; i++)
		vm_fault(vm, BASE + rng_below(rng, SPACE) * K4,
			 rng_below(rng, 2) ? FAULT_READ : FAULT_WRITE, &missing);
}

static void test_against_model(void **state)
{
	struct backing *whole = mem;
	unsigned int done = 0;
	struct rng rng;

	assert_int_equal(backing_create(&mem, SPACE * K4, 0), 0);
	memset(&model, 0, sizeof(model));
	rng_init(&rng, 20, 3);
	for (unsigned int i = 0; i < 12000; i++) {
		struct model before = model;

		random_list(&rng);
		done += memcmp(&before, &model, sizeof(model)) != 0;
		check_model();
		if (i % 8 == 0)
			check_sets();
		for (u32 page = 0; page < SPACE + 16; page++)
			check_translation(page);
		random_faults(&rng);
	}
	if (done <= 3000)
		fail_msg("only %u lists were applied", done);
	for (u32 id = 1; id <= IDS; id++)
		if (slot_by_id(vm, id))
			assert_int_equal(change(drop(id), SLOTS_ATOMIC), 0);
	backing_put(mem);
	mem = whole;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
