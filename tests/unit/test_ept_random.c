/* SPDX-License-Identifier: GPL-2.0-only */
/* Extended page tables: operations at random, by seeds. */
/* link: tests/unit/ept_fixture.c tests/unit/ept_view.c tests/unit/fake_pages.c hv/host/random.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/ept_fixture.h"

/* Addresses that matter: around borders of all levels, over a few gigabytes and at the far end. */
static gpa_t random_gpa(struct rng *r, u64 align)
{
	static const gpa_t arenas[] = { 0, 510 * G1, BIT(48) - 4 * G1 };
	gpa_t gpa = arenas[rng_below(r, ARRAY_SIZE(arenas))];

	gpa += rng_below(r, 4) * G1;
	if (align < G1)
		gpa += rng_below(r, 3) * (rng_below(r, 2) ? M2 : 255 * M2);
	if (align < M2)
		gpa += rng_below(r, 3) * (rng_below(r, 2) ? K4 : 255 * K4);
	return gpa;
}

/* Not over gigabytes, which become a table for every 2 MiB. */
static struct op random_arming(struct rng *r, struct op op)
{
	op.prot = ept.eptp & EPTP_AD ? (unsigned int)rng_below(r, 2) : EPT_LOG_PROTECT;
	op.gpa = random_gpa(r, K4);
	op.len = min_u64((1 + rng_below(r, 600)) * K4, BIT(48) - op.gpa);
	if (op.kind == REARM) {
		op.len = rng_next(r) & rng_next(r);
		op.gpa = min_u64(op.gpa, BIT(48) - 64 * K4);
	}
	return op;
}

static struct op random_op(struct rng *r)
{
	static const unsigned int prots[] = { EPT_READ, EPT_READ | EPT_WRITE, EPT_READ | EPT_EXEC,
					      EPT_RWX, EPT_EXEC };
	static const u64 sizes[] = { K4, K4, M2, M2, G1 };
	u64 size = sizes[rng_below(r, ARRAY_SIZE(sizes))];
	struct op op = { .prot = prots[rng_below(r, ARRAY_SIZE(prots))] };

	op.kind = (enum op_kind)(rng_below(r, 9) % 6); /* MAP, UNMAP and PROTECT twice as often */
	if (op.kind == MAP_PAGE)
		size = K4;
	op.gpa = random_gpa(r, size);
	op.len = size;
	if (op.kind == LOG || op.kind == REARM)
		return random_arming(r, op);
	if (rng_below(r, 2))
		op.prot |= EPT_DIRTY;
	if (op.kind == MAP || op.kind == MAP_PAGE) {
		/* Often the frame that is there already, or would be in a larger leaf. */
		op.hpa = rng_below(r, 2) ? op.gpa & (4 * G1 - 1) : rng_below(r, 64) * size;
	} else {
		op.len *= 1 + rng_below(r, 3);
		if (!rng_below(r, 3)) /* ends anywhere */
			op.len += rng_below(r, 2) ? rng_below(r, 1100) * K4
						  : rng_below(r, 2) * G1 + rng_below(r, 600) * M2;
		op.len = min_u64(op.len, BIT(48) - op.gpa);
	}
	return op;
}

static void random_run(u64 seed, unsigned int ops)
{
	struct rng r;

	rng_init(&r, seed, 0);
	rng_init(&hw_rng, seed, 1);
	start_with(rng_below(&r, 4) ? CAPS_ALL : CAPS_ALL & ~EPT_CAP_AD);
	hw_plays = true;
	for (unsigned int i = 0; i < ops; i++) {
		struct op op = random_op(&r);
		const struct extent *e;
		struct ept_mapping m;
		gpa_t probe;
		u64 entry;

		if (!rng_below(&r, 8))
			fake_page_fail(1 + (unsigned int)rng_below(&r, 4));
		checked(&op);
		fake_page_fail(0);
		if (!rng_below(&r, 16)) {
			u64 n = ept.nr_tables - linked();

			assert_int_equal(free_unlinked(), n);
			check_books();
		}
		probe = random_gpa(&r, K4) + rng_below(&r, K4);
		hw_access(probe);
		e = view_find(&now, probe);
		assert_int_equal(ept_lookup(&ept, probe, &m), e ? 0 : -ENOENT);
		assert_int_equal(m.prot, e ? e->prot : 0);
		assert_int_equal(m.hpa, e ? e->hpa + (probe - e->gpa) : 0);
		assert_null(ept_misconfigured(&ept, probe, &entry));
	}
	ept_destroy(&ept);
	assert_int_equal(fake_pages_live, 0);
}

static void test_random(void **state)
{
	ept_destroy(&ept);
	for (u64 seed = 1; seed <= 12; seed++)
		random_run(seed, 250);
	start_with(CAPS_ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
