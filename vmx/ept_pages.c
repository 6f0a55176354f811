/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where table pages come from and go to. The page allocator poisons what it gets back and looks at
 * the poison of what it hands out, and a new table has to be zeroed: three passes over 512 words
 * for a table of which often only a few entries are used. A few tables are therefore kept, as they
 * were left; when one is wanted, the part of it that was used is cleared.
 */
#include "hv/host/string.h"
#include "vmx/ept_internal.h"

#define PAGE_NODES (PAGE_SIZE / sizeof(struct ept_unlinked))

/* A page of nodes; the first of them chains the pages. */
static bool more_nodes(struct ept *ept)
{
	struct ept_unlinked *page = page_alloc(0, 0);

	if (!page)
		return false;
	page->next = ept->node_pages;
	ept->node_pages = page;
	for (unsigned int i = 1; i < PAGE_NODES; i++)
		ept_node_put(ept, &page[i]);
	ept->nr_nodes += PAGE_NODES - 1;
	return true;
}

static void clear_used(u64 entry)
{
	unsigned int first = epte_first_used(entry), last = epte_last_used(entry);

	memset((void *)(epte_table(entry) + first), 0, (last - first + 1) * sizeof(ept_entry));
}

static ept_entry *take_cached(struct ept *ept, bool zeroed)
{
	struct ept_unlinked *node = ept->cache;
	u64 entry = node->entry;

	ept->cache = node->next;
	ept->nr_cached--;
	ept_node_put(ept, node);
	if (zeroed)
		clear_used(entry);
	return epte_table(entry);
}

ept_entry *ept_table_get(struct ept *ept, bool zeroed)
{
	ept_entry *table;

	if (ept->cache) {
		table = take_cached(ept, zeroed);
	} else {
		/* The root, which nr_tables counts too, stands for the new table. */
		if (ept->nr_nodes < ept->nr_tables && !more_nodes(ept))
			return NULL;
		table = page_alloc(0, zeroed ? PAGE_ZERO : 0);
	}
	ept->nr_tables += table != NULL;
	return table;
}

void ept_table_put_node(struct ept *ept, struct ept_unlinked *node)
{
	if (ept->nr_cached < EPT_MAX_CACHED) {
		ept_table_keep(ept, node);
		return;
	}
	page_free((void *)epte_table(node->entry), 0);
	ept_node_put(ept, node);
	ept->nr_tables--;
}

void ept_pages_destroy(struct ept *ept)
{
	while (ept->cache)
		page_free((void *)take_cached(ept, false), 0);
	while (ept->node_pages) {
		struct ept_unlinked *page = ept->node_pages;

		ept->node_pages = page->next;
		page_free(page, 0);
	}
}
