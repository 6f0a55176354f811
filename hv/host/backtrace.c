/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses as function names (tools/ksyms.sh writes the table), and who called whom. */
#include "hv/host/backtrace.h"

#include "hv/host/print.h"
#include "hv/host/string.h"

#define MAX_FRAMES 32

/* Sorted start offsets from __text_start, and as many names, one after the other. */
extern const u32 ksyms_count, ksyms_offset[];
extern const char ksyms_name[];
extern char __text_start[], __text_end[];

const char *ksym_lookup(u64 addr, u64 *offset)
{
	u64 start = (u64)(uintptr_t)__text_start;
	u32 low = 0, high = ksyms_count;
	const char *name = ksyms_name;

	if (addr < start || addr >= (u64)(uintptr_t)__text_end)
		return NULL;
	addr -= start;
	while (low < high) { /* low: number of functions that start at or before addr */
		u32 middle = (low + high) / 2;

		if (ksyms_offset[middle] <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	*offset = addr - ksyms_offset[low - 1];
	while (--low)
		name += strlen(name) + 1;
	return name;
}

static void print_address(u64 addr, u64 symbol_addr, unsigned int times)
{
	u64 offset = 0;
	const char *name = ksym_lookup(symbol_addr, &offset);

	printk("  %#018llx", (unsigned long long)addr);
	if (name)
		printk(" %s+%#llx", name, (unsigned long long)(offset + addr - symbol_addr));
	if (times > 1)
		printk(" (%u times)", times);
	printk("\n");
}

bool backtrace_step(u64 *rbp, u64 *ret)
{
	const u64 *frame = (const u64 *)(uintptr_t)*rbp;
	u64 next;

	if (!*rbp)
		return false;
	if (*rbp % 8 || read_safe(frame, &next) || read_safe(frame + 1, ret)) {
		printk("  (the chain breaks at rbp %#llx)\n", (unsigned long long)*rbp);
		return false;
	}
	if (next && next <= *rbp) {
		printk("  (the chain turns back at rbp %#llx)\n", (unsigned long long)*rbp);
		next = 0;
	}
	*rbp = next;
	return *ret != 0;
}

void backtrace_print(u64 rip, u64 rbp)
{
	u64 ret, last = 0;
	unsigned int i, times = 0;

	if (rip)
		print_address(rip, rip, 1);
	/* A recursion takes one line. A call at a function's very end returns behind it, so the
	 * name is looked up for the call itself. */
	for (i = 0; i < MAX_FRAMES && backtrace_step(&rbp, &ret); i += times == 1) {
		if (times && ret != last) {
			print_address(last, last - 1, times);
			times = 0;
		}
		last = ret;
		times++;
	}
	if (times)
		print_address(last, last - 1, times);
}
