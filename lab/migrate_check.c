/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `migrate`: the two memories beside each other. What the target has and its dirty log
 * does not name must be what the source has, byte by byte. The checksums are Fletcher's, over
 * words.
 */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "lab/migrate.h"

#define WORDS (PAGE_SIZE / sizeof(u64))

static u32 wrong_bytes(const u64 *a, const u64 *b)
{
	const u8 *x = (const u8 *)a, *y = (const u8 *)b;
	u32 n = 0;

	for (u32 i = 0; i < PAGE_SIZE; i++)
		n += x[i] != y[i];
	return n;
}

static void compare_page(struct migrate_result *r, const u64 *source, const u64 *target,
			 u64 sum[2][2])
{
	u64 differs = 0;

	for (u32 i = 0; i < WORDS; i++) {
		sum[0][0] += source[i];
		sum[0][1] += sum[0][0];
		sum[1][0] += target[i];
		sum[1][1] += sum[1][0];
		differs |= source[i] ^ target[i];
	}
	if (differs)
		r->number[NUMBER_WRONG] += wrong_bytes(source, target);
	r->number[NUMBER_COMPARED]++;
}

int migrate_compare(struct migration *m)
{
	u64 ram_words = m->ram / PAGE_SIZE / 64, sum[2][2] = { { 0 } };
	u64 *written = kzalloc(m->words * sizeof(u64));
	int err = written ? 0 : -ENOMEM;

	if (!err)
		err = vm_dirty_read_last(m->target.vm, 0, written, NULL);
	if (!err)
		err = vm_dirty_read_last(m->target.vm, 1, written + ram_words, NULL);
	for (u64 page = 0; page < m->pages && !err; page++) {
		struct backing_page a = { .hpa = 0 }, b = { .hpa = 0 };

		if (!migrate_bit(m->here, page) || migrate_bit(written, page))
			continue;
		err = backing_find(m->source.mem, page * PAGE_SIZE, &a);
		if (!err)
			err = backing_find(m->target.mem, page * PAGE_SIZE, &b);
		if (!err)
			compare_page(&m->result, phys_to_virt(a.hpa), phys_to_virt(b.hpa), sum);
	}
	for (u32 i = 0; i < 2; i++)
		m->result.checksum[i] = sum[i][0] ^ (sum[i][1] << 32 | sum[i][1] >> 32);
	kfree(written);
	return err;
}
