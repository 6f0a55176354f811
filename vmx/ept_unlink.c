/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Subtrees on their way out. A CPU that has not flushed yet may walk an unlinked table, so nothing
 * is touched in it until it is freed; what is below it is only looked for then.
 */
#include "vmx/ept_internal.h"

struct ept_unlinked *ept_detach_unlinked(struct ept *ept)
{
	struct ept_unlinked *list = ept->unlinked;

	ept->unlinked = NULL;
	return list;
}

void ept_reattach(struct ept *ept, struct ept_unlinked *list)
{
	struct ept_unlinked **end = &ept->unlinked;

	while (*end)
		end = &(*end)->next;
	*end = list;
}

/* Free what is below a table, whose entries are of @level; @entry points or pointed to it. */
static void free_below(struct ept *ept, u64 entry, unsigned int level)
{
	const ept_entry *e = epte_table(entry) + epte_first_used(entry);
	const ept_entry *last = epte_table(entry) + epte_last_used(entry);
	unsigned int left = epte_nr_tables(entry);
	bool counted = left != EPTE_MANY_TABLES;

	for (; left && e <= last; e++) {
		u64 child = ept_load(e);

		if (!epte_is_table(child, level))
			continue;
		if (epte_nr_tables(child))
			free_below(ept, child, level - 1);
		ept_table_put(ept, child);
		left -= counted;
	}
}

/* Free a list. @before: ept->nr_tables before that began. Returns how many pages that were. */
static noinline u64 free_list(struct ept *ept, struct ept_unlinked *list, u64 before)
{
	for (struct ept_unlinked *next; list; list = next) {
		next = list->next;
		if (epte_nr_tables(list->entry))
			free_below(ept, list->entry, list->entry & EPTE_RWX);
		ept_table_put_node(ept, list);
	}
	return before - ept->nr_tables;
}

u64 ept_free_detached(struct ept *ept, struct ept_unlinked *list)
{
	u64 before = ept->nr_tables;

	/* Mostly there is nothing to do but to keep a table or two. */
	while (list && !epte_nr_tables(list->entry) && ept->nr_cached < EPT_MAX_CACHED) {
		struct ept_unlinked *next = list->next;

		ept_table_keep(ept, list);
		list = next;
	}
	return list ? free_list(ept, list, before) : before - ept->nr_tables;
}

void ept_destroy(struct ept *ept)
{
	if (!ept->root)
		return;
	ept_free_detached(ept, ept_detach_unlinked(ept));
	free_below(ept, ept_load(&ept->top), EPT_LEVELS);
	page_free((void *)ept->root, 0);
	ept_pages_destroy(ept);
	*ept = (struct ept){ 0 };
}
