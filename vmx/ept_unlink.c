/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Table pages on their way out. A CPU that has not flushed yet may walk an unlinked table, so its
 * entries must stay what they were; and there may be no memory for a list node. The list therefore
 * lives in bits 55:52 of the subtree's top table, which hardware ignores in every kind of entry:
 * entries 0..9 hold the address of the next subtree four bits at a time, entry 10 the level.
 */
#include "vmx/ept_internal.h"

#define NOTE_SHIFT 52
#define NOTE_BITS  4
#define LINK_NOTES 10
#define LEVEL_NOTE LINK_NOTES

_Static_assert(PAGE_SHIFT + LINK_NOTES * NOTE_BITS == 52, "the notes hold any physical address");

/* The bits are 0 in linked tables. Atomic: hardware may be setting accessed and dirty bits. */
static void write_note(ept_entry *table, unsigned int i, u64 value)
{
	EPT_STORING(&table[i]);
	atomic_fetch_or_explicit(&table[i], (value & 0xf) << NOTE_SHIFT, memory_order_relaxed);
	EPT_STORED(&table[i]);
}

static u64 read_note(const ept_entry *table, unsigned int i)
{
	return ept_load(&table[i]) >> NOTE_SHIFT & 0xf;
}

/* NULL (the end of the list) is 0: physical page 0 is never a table. */
static void write_link(ept_entry *table, const ept_entry *next)
{
	hpa_t hpa = next ? virt_to_phys((const void *)next) : 0;

	for (unsigned int i = 0; i < LINK_NOTES; i++)
		write_note(table, i, hpa >> (PAGE_SHIFT + i * NOTE_BITS));
}

static ept_entry *read_link(const ept_entry *table)
{
	hpa_t hpa = 0;

	for (unsigned int i = 0; i < LINK_NOTES; i++)
		hpa |= read_note(table, i) << (PAGE_SHIFT + i * NOTE_BITS);
	return hpa ? phys_to_virt(hpa) : NULL;
}

static u64 count_subtree(ept_entry *table, unsigned int level)
{
	u64 n = 1;

	for (unsigned int i = 0; level > 1 && i < EPT_ENTRIES; i++) {
		u64 entry = ept_load(&table[i]);

		if (epte_is_table(entry, level))
			n += count_subtree(epte_table(entry), level - 1);
	}
	return n;
}

u64 ept_free_subtree(ept_entry *table, unsigned int level)
{
	u64 n = 1;

	for (unsigned int i = 0; level > 1 && i < EPT_ENTRIES; i++) {
		u64 entry = ept_load(&table[i]);

		if (epte_is_table(entry, level))
			n += ept_free_subtree(epte_table(entry), level - 1);
	}
	page_free((void *)table, 0);
	return n;
}

void ept_unlink(struct ept *ept, u64 entry, unsigned int level)
{
	ept_entry *table = epte_table(entry);
	u64 n = count_subtree(table, level - 1);

	write_link(table, ept->unlinked);
	write_note(table, LEVEL_NOTE, level - 1);
	ept->unlinked = table;
	ept->nr_unlinked += n;
	ept->nr_tables -= n;
}

u64 ept_free_unlinked(struct ept *ept)
{
	u64 n = 0;

	while (ept->unlinked) {
		ept_entry *table = ept->unlinked;

		ept->unlinked = read_link(table);
		n += ept_free_subtree(table, (unsigned int)read_note(table, LEVEL_NOTE));
	}
	ept->nr_unlinked = 0;
	return n;
}
