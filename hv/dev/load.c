/* SPDX-License-Identifier: GPL-2.0-only */
/* Judging and carrying out a load plan. */
#include "hv/dev/load.h"
#include "hv/dev/memmap.h"
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/vm/vm.h"

int load_fail(struct load_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	fmt_vline(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

static bool overlaps(gpa_t a, u64 alen, gpa_t b, u64 blen)
{
	return a < b + blen && b < a + alen;
}

static int check_segment(const struct load_plan *plan, unsigned int i, u64 ram,
			 struct load_error *err)
{
	const struct load_segment *s = &plan->segment[i];

	if (!guest_is_ram(ram, s->gpa, s->memsz))
		return load_fail(
			err, -EFAULT,
			"segment %u at %#llx, %#llx bytes: not in the guest's RAM (%llu MB)", i,
			(unsigned long long)s->gpa, (unsigned long long)s->memsz,
			(unsigned long long)(ram >> 20));

	for (unsigned int j = 0; j < i; j++) {
		const struct load_segment *o = &plan->segment[j];

		if (overlaps(s->gpa, s->memsz, o->gpa, o->memsz))
			return load_fail(
				err, -EINVAL,
				"segment %u at %#llx overlaps segment %u at %#llx, %#llx bytes", i,
				(unsigned long long)s->gpa, j, (unsigned long long)o->gpa,
				(unsigned long long)o->memsz);
	}
	return 0;
}

int load_check(const struct load_plan *plan, u64 ram, struct load_error *err)
{
	bool entry_loaded = false;

	if (!plan->nr_segments)
		return load_fail(err, -EINVAL, "nothing to load");

	for (unsigned int i = 0; i < plan->nr_segments; i++) {
		const struct load_segment *s = &plan->segment[i];
		int ret = check_segment(plan, i, ram, err);

		if (ret)
			return ret;
		if (plan->entry >= s->gpa && plan->entry - s->gpa < s->filesz)
			entry_loaded = true;
	}
	if (!entry_loaded)
		return load_fail(err, -EFAULT, "entry point %#llx: nothing is loaded there",
				 (unsigned long long)plan->entry);
	return 0;
}

int load_apply(struct vm *vm, const struct load_plan *plan, const void *file,
	       struct load_error *err)
{
	for (unsigned int i = 0; i < plan->nr_segments; i++) {
		const struct load_segment *s = &plan->segment[i];
		int ret = vm_write(vm, s->gpa, (const u8 *)file + s->offset, s->filesz);

		if (!ret)
			ret = vm_fill(vm, s->gpa + s->filesz, 0, s->memsz - s->filesz);
		if (ret)
			return load_fail(err, ret, "segment %u at %#llx: guest memory: %s", i,
					 (unsigned long long)s->gpa, errno_name(ret));
	}
	return 0;
}

gpa_t load_end(const struct load_plan *plan)
{
	gpa_t end = 0;

	for (unsigned int i = 0; i < plan->nr_segments; i++)
		end = max_u64(end, plan->segment[i].gpa + plan->segment[i].memsz);
	return end;
}

/* The first segment that [at, at + size) runs into, or NULL. */
static const struct load_segment *in_the_way(const struct load_plan *plan, gpa_t at, u64 size)
{
	for (unsigned int i = 0; i < plan->nr_segments; i++) {
		const struct load_segment *s = &plan->segment[i];

		if (overlaps(at, size, s->gpa, s->memsz))
			return s;
	}
	return NULL;
}

/* Each step moves past at least one segment for good, so both searches end. */
int load_place_above(const struct load_plan *plan, u64 size, u64 align, gpa_t from, gpa_t to,
		     gpa_t *out)
{
	gpa_t at = ALIGN_UP(from, align);

	while (at < to && size <= to - at) {
		const struct load_segment *s = in_the_way(plan, at, size);

		if (!s) {
			*out = at;
			return 0;
		}
		at = ALIGN_UP(s->gpa + s->memsz, align);
	}
	return -ENOSPC;
}

int load_place_below(const struct load_plan *plan, u64 size, u64 align, gpa_t from, gpa_t to,
		     gpa_t *out)
{
	while (to > from && size <= to - from) {
		gpa_t at = ALIGN_DOWN(to - size, align);
		const struct load_segment *s;

		if (at < from)
			break;
		s = in_the_way(plan, at, size);
		if (!s) {
			*out = at;
			return 0;
		}
		to = s->gpa;
	}
	return -ENOSPC;
}
