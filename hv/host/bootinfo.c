/* SPDX-License-Identifier: GPL-2.0-only */
/* Questions about boot_info that need no hardware. */
#include "hv/host/bootinfo.h"

#include "hv/host/string.h"

struct boot_info boot_info;

static u64 range_end(const struct boot_range *r)
{
	return r->base + r->len < r->base ? ~0ull : r->base + r->len;
}

/* Does @r cover @pos? And if one of its ends comes next after @pos, lower @next to it. */
static bool range_covers(const struct boot_range *r, u64 pos, u64 *next)
{
	u64 end = range_end(r);

	if (end <= pos || !r->len)
		return false;
	*next = min_u64(*next, r->base > pos ? r->base : end);
	return r->base <= pos;
}

unsigned int boot_ram(const struct boot_info *info, const struct boot_range *hole,
		      unsigned int nr_holes, struct boot_range *out)
{
	unsigned int i, n = 0;
	u64 pos, next;

	/* From one end of any range to the next: between them nothing changes. */
	for (pos = 0; pos != ~0ull; pos = next) {
		bool ram = false, taken = false;

		next = ~0ull;
		for (i = 0; i < info->nr_ranges; i++) {
			if (!range_covers(&info->range[i], pos, &next))
				continue;
			if (info->range[i].type == BOOT_MEM_RAM)
				ram = true;
			else
				taken = true;
		}
		for (i = 0; i < nr_holes; i++)
			taken |= range_covers(&hole[i], pos, &next);
		if (!ram || taken)
			continue;
		if (n && range_end(&out[n - 1]) == pos)
			out[n - 1].len += next - pos;
		else
			out[n++] = (struct boot_range){ pos, next - pos, BOOT_MEM_RAM };
	}
	return n;
}

bool boot_option(const struct boot_info *info, const char *word)
{
	const char *s = info->cmdline;
	size_t len = strlen(word);
	bool quoted = false;

	for (; *s; s++) {
		bool start = s == info->cmdline || s[-1] == ' ';

		if (*s == '"')
			quoted = !quoted;
		if (start && !quoted && !strncmp(s, word, len) && (!s[len] || s[len] == ' '))
			return true;
	}
	return false;
}
