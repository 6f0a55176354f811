/* SPDX-License-Identifier: GPL-2.0-only */
/* The ELF parser: good files give exact plans, every kind of lie gives its own line. */
/* link: hv/dev/elf.c hv/dev/load.c hv/dev/memmap.c */
/* link: hv/host/print.c hv/host/string.c hv/host/errno.c */
/* link: tests/unit/make_elf.c tests/unit/fake_vm.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/dev/elf.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "tests/unit/fake_vm.h"
#include "tests/unit/make_elf.h"

#define RAM MIB(16)

static struct make_elf m;

/* Parse a copy of exactly the file's size at an odd address: the sanitizer sees a read beyond it.
 */
static int parse(struct load_plan *plan, size_t size, struct load_error *err)
{
	u8 *copy = malloc(size + 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy + 1, m.file, size);
	err->text[0] = '\0';
	ret = elf_parse(plan, copy + 1, size, err);
	free(copy);
	return ret;
}

static void good_file(bool is64)
{
	make_elf_begin(&m, is64, 0x400010);
	make_elf_segment(&m, 0x400000, 0x300, 0x300);
	make_elf_segment(&m, 0x500000, 0x123, 0x2000);
}

static void test_good(void **state)
{
	for (int is64 = 0; is64 < 2; is64++) {
		struct load_plan plan;
		struct load_error err;

		good_file(is64);
		make_elf_finish(&m);
		assert_int_equal(parse(&plan, m.size, &err), 0);
		assert_string_equal(err.text, "");
		assert_int_equal(plan.nr_segments, 2);
		assert_int_equal(plan.entry, 0x400010);
		assert_int_equal(plan.segment[0].offset, 0x1000);
		assert_int_equal(plan.segment[0].gpa, 0x400000);
		assert_int_equal(plan.segment[0].filesz, 0x300);
		assert_int_equal(plan.segment[0].memsz, 0x300);
		assert_int_equal(plan.segment[1].offset, 0x1300);
		assert_int_equal(plan.segment[1].gpa, 0x500000);
		assert_int_equal(plan.segment[1].filesz, 0x123);
		assert_int_equal(plan.segment[1].memsz, 0x2000);
		assert_int_equal(load_check(&plan, RAM, &err), 0);
		assert_int_equal(load_end(&plan), 0x502000);
	}
}

static void test_apply_is_exact(void **state)
{
	struct load_plan plan;
	struct load_error err;
	struct fake_vm vm;

	good_file(false);
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), 0);
	fake_vm_init(&vm, RAM);
	assert_int_equal(load_apply(&vm.vm, &plan, m.file, &err), 0);
	for (gpa_t gpa = 0; gpa < RAM; gpa++) {
		u8 want = FAKE_VM_UNTOUCHED;

		if (gpa >= 0x400000 && gpa < 0x400300)
			want = make_elf_byte(0x1000 + gpa - 0x400000);
		else if (gpa >= 0x500000 && gpa < 0x502000)
			want = gpa < 0x500123 ? make_elf_byte(0x1300 + gpa - 0x500000) : 0;
		if (vm.ram[gpa] != want)
			fail_msg("byte at %#lx: %#x, not %#x", gpa, vm.ram[gpa], want);
	}
	fake_vm_destroy(&vm);
}

static void test_apply_reports_memory(void **state)
{
	struct load_plan plan;
	struct load_error err;
	struct fake_vm vm;

	good_file(false);
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), 0);
	fake_vm_init(&vm, RAM);
	vm.fail_writes_from = 0x500000;
	assert_int_equal(load_apply(&vm.vm, &plan, m.file, &err), -ENOMEM);
	assert_string_equal(err.text, "segment 1 at 0x500000: guest memory: ENOMEM");
	fake_vm_destroy(&vm);
}

/* Headers that load nothing are passed over; a bss-only segment's offset does not matter. */
static void test_empty_segments(void **state)
{
	struct load_plan plan;
	struct load_error err;

	good_file(true);
	make_elf_segment(&m, 0x600000, 0, 0);
	make_elf_segment(&m, 0x700000, 0, 0x1000)->p_offset = UINT64_MAX;
	make_elf_segment(&m, 0, 0, 0)->p_type = PT_GNU_STACK;
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), 0);
	assert_int_equal(plan.nr_segments, 3);
	assert_int_equal(plan.segment[2].gpa, 0x700000);
	assert_int_equal(plan.segment[2].filesz, 0);
	assert_int_equal(plan.segment[2].offset, 0);
	assert_int_equal(plan.segment[2].memsz, 0x1000);
}

/* The entry point moves with its segment when physical and virtual addresses differ. */
static void test_entry(void **state)
{
	struct load_plan plan;
	struct load_error err;
	Elf64_Phdr *ph;

	make_elf_begin(&m, true, 0xffffffff80000020);
	ph = make_elf_segment(&m, 0x200000, 0x100, 0x100);
	ph->p_vaddr = 0xffffffff80000000;
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), 0);
	assert_int_equal(plan.entry, 0x200020);

	m.eh.e_entry = 0x200040; /* given physically */
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), 0);
	assert_int_equal(plan.entry, 0x200040);

	/* Virtual wins over physical, executable over not. */
	make_elf_begin(&m, true, 0x300010);
	make_elf_segment(&m, 0x300000, 0x100, 0x100)->p_vaddr = 0x800000;
	make_elf_segment(&m, 0x400000, 0x100, 0x100)->p_vaddr = 0x300000;
	make_elf_segment(&m, 0x500000, 0x100, 0x100);
	m.ph[2].p_vaddr = 0x300000;
	m.ph[2].p_flags = PF_R;
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), 0);
	assert_int_equal(plan.entry, 0x400010);
}

/* One lie each: what is changed in a good ELF64 file, and the line it must give. */
struct lie {
	const char *line;
	int ret;
	bool is32;
	size_t offset; /* of the field in struct make_elf */
	u8 width;
	u64 value;
};

#define EH(field, v, r, l)                                                                         \
	{                                                                                          \
		l, r, false, offsetof(struct make_elf, eh.field), sizeof(m.eh.field), v            \
	}
#define EH32(field, v, r, l)                                                                       \
	{                                                                                          \
		l, r, true, offsetof(struct make_elf, eh.field), sizeof(m.eh.field), v             \
	}
#define PH(i, field, v, r, l)                                                                      \
	{                                                                                          \
		l, r, false, offsetof(struct make_elf, ph[i].field), sizeof(m.ph[i].field), v      \
	}

static const struct lie lies[] = {
	EH(e_ident[0], 0, -ENOEXEC, "not an ELF file (no magic number)"),
	EH(e_ident[EI_CLASS], 3, -ENOEXEC, "ELF class 3: must be 1 (32-bit) or 2 (64-bit)"),
	EH(e_ident[EI_DATA], 2, -ENOEXEC, "ELF byte order 2: must be 1 (little-endian)"),
	EH(e_ident[EI_VERSION], 9, -ENOEXEC, "ELF version 9/1: must be 1"),
	EH(e_version, 0, -ENOEXEC, "ELF version 1/0: must be 1"),
	EH(e_type, ET_DYN, -ENOEXEC,
	   "ELF type 3: must be 2 (executable linked to fixed addresses)"),
	EH(e_machine, EM_386, -ENOEXEC, "ELF machine 3: must be 62 (x86-64)"),
	EH32(e_machine, EM_X86_64, -ENOEXEC, "ELF machine 62: must be 3 (i386)"),
	EH(e_ehsize, 63, -ENOEXEC, "ELF header size 63: must be at least 64"),
	EH(e_phnum, 0, -ENOEXEC, "no program headers: nothing to load"),
	EH(e_phnum, 0xffff, -E2BIG, "more than 65534 program headers"),
	EH(e_phentsize, 32, -ENOEXEC, "ELF program header size 32: must be 56"),
	EH32(e_phentsize, 56, -ENOEXEC, "ELF program header size 56: must be 32"),
	EH(e_phoff, UINT64_MAX, -ENOEXEC,
	   "2 program headers at offset 0xffffffffffffffff: outside the file (5155 bytes)"),
	EH(e_phoff, 5155 - 2 * 56 + 1, -ENOEXEC,
	   "2 program headers at offset 0x13b4: outside the file (5155 bytes)"),
	EH(e_phnum, 65534, -ENOEXEC,
	   "65534 program headers at offset 0x40: outside the file (5155 bytes)"),
	EH(e_entry, 0x3fffff, -ENOEXEC, "entry point 0x3fffff is in no loaded segment"),
	EH(e_entry, 0x400300, -ENOEXEC, "entry point 0x400300 is in no loaded segment"),
	EH(e_entry, 0x501000, -ENOEXEC, "entry point 0x501000 is in no loaded segment"),
	PH(0, p_flags, PF_R, -ENOEXEC,
	   "entry point 0x400010 is in a segment that is not executable"),
	PH(0, p_type, PT_INTERP, -ENOEXEC, "wants a dynamic linker: link it statically"),
	PH(0, p_offset, UINT64_MAX, -ENOEXEC,
	   "program header 0: bytes 0xffffffffffffffff+0x300 are outside the file (5155 bytes)"),
	PH(1, p_offset, 0x1301, -ENOEXEC,
	   "program header 1: bytes 0x1301+0x123 are outside the file (5155 bytes)"),
	PH(1, p_filesz, UINT64_MAX, -ENOEXEC,
	   "program header 1: bytes 0x1300+0xffffffffffffffff are outside the file (5155 bytes)"),
	PH(1, p_memsz, 0x122, -ENOEXEC,
	   "program header 1: size in the file 0x123 exceeds size in memory 0x122"),
	PH(1, p_paddr, UINT64_MAX - 0x1fff + 1, -ENOEXEC,
	   "program header 1: address 0xffffffffffffe001 + size 0x2000 wraps around"),
	PH(1, p_memsz, UINT64_MAX, -ENOEXEC,
	   "program header 1: address 0x500000 + size 0xffffffffffffffff wraps around"),
};

static void test_lies(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++) {
		struct load_plan plan;
		struct load_error err;
		int ret;

		good_file(!lies[i].is32);
		memcpy((u8 *)&m + lies[i].offset, &lies[i].value, lies[i].width);
		make_elf_finish(&m);
		ret = parse(&plan, m.size, &err);
		if (ret != lies[i].ret || strcmp(err.text, lies[i].line))
			fail_msg("lie %u: got %d \"%s\", not %d \"%s\"", i, ret, err.text,
				 lies[i].ret, lies[i].line);
	}
}

static void test_no_loadable(void **state)
{
	struct load_plan plan;
	struct load_error err;

	make_elf_begin(&m, true, 0x400000);
	make_elf_segment(&m, 0x400000, 0, 0);
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), -ENOEXEC);
	assert_string_equal(err.text, "no loadable segments: nothing to load");
}

static void test_too_many_segments(void **state)
{
	struct load_plan plan;
	struct load_error err;

	make_elf_begin(&m, false, 0x100000);
	for (unsigned int i = 0; i < LOAD_MAX_SEGMENTS; i++)
		make_elf_segment(&m, 0x100000 + i * 0x1000, 16, 0x1000);
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), 0);
	assert_int_equal(load_check(&plan, RAM, &err), 0);

	make_elf_segment(&m, 0x200000, 16, 16);
	make_elf_finish(&m);
	assert_int_equal(parse(&plan, m.size, &err), -E2BIG);
	assert_string_equal(err.text, "more than 16 loadable segments");
}

/* Cut after any byte: an error with a line, never a read beyond the end. */
static void test_truncated(void **state)
{
	for (int is64 = 0; is64 < 2; is64++) {
		good_file(is64);
		make_elf_finish(&m);
		for (size_t size = 0; size < m.size; size++) {
			struct load_plan plan;
			struct load_error err;

			assert_int_equal(parse(&plan, size, &err), -ENOEXEC);
			assert_true(strlen(err.text) > 0);
		}
	}
}

static struct load_plan two_segments(gpa_t a, u64 alen, gpa_t b, u64 blen)
{
	return (struct load_plan){
		.nr_segments = 2,
		.segment = { { 0, alen, a, alen }, { 0, blen, b, blen } },
		.entry = a,
	};
}

static void test_placement(void **state)
{
	static const struct {
		gpa_t a;
		u64 alen;
		gpa_t b;
		u64 blen;
		int ret;
		const char *line;
	} cases[] = {
		{ 0, 0x9fc00, MIB(1), MIB(15), 0, "" },
		{ 0x1000, 0x1000, 0x2000, 0x1000, 0, "" },
		{ 0x1000, 0x1001, 0x2000, 0x1000, -EINVAL,
		  "segment 1 at 0x2000 overlaps segment 0 at 0x1000, 0x1001 bytes" },
		{ 0x2000, 0x1000, 0x1000, 0x1001, -EINVAL,
		  "segment 1 at 0x1000 overlaps segment 0 at 0x2000, 0x1000 bytes" },
		{ 0x1000, 0x3000, 0x2000, 1, -EINVAL,
		  "segment 1 at 0x2000 overlaps segment 0 at 0x1000, 0x3000 bytes" },
		{ 0x9f000, 0xc01, MIB(1), 1, -EFAULT,
		  "segment 0 at 0x9f000, 0xc01 bytes: not in the guest's RAM (16 MB)" },
		{ 0xa0000, 1, MIB(1), 1, -EFAULT,
		  "segment 0 at 0xa0000, 0x1 bytes: not in the guest's RAM (16 MB)" },
		{ MIB(1), MIB(15) + 1, 0, 1, -EFAULT,
		  "segment 0 at 0x100000, 0xf00001 bytes: not in the guest's RAM (16 MB)" },
		{ MIB(1), 1, MIB(16), 1, -EFAULT,
		  "segment 1 at 0x1000000, 0x1 bytes: not in the guest's RAM (16 MB)" },
		{ MIB(1), 1, 0xfffffffffffff000, 0x1000, -EFAULT,
		  "segment 1 at 0xfffffffffffff000, 0x1000 bytes: not in the guest's RAM (16 MB)" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct load_plan plan =
			two_segments(cases[i].a, cases[i].alen, cases[i].b, cases[i].blen);
		struct load_error err = { "" };
		int ret = load_check(&plan, RAM, &err);

		if (ret != cases[i].ret || strcmp(err.text, cases[i].line))
			fail_msg("case %u: got %d \"%s\"", i, ret, err.text);
	}
}

static void test_check_entry(void **state)
{
	struct load_plan plan = two_segments(0x100000, 16, 0x200000, 16);
	struct load_error err;

	plan.entry = 0x100010;
	assert_int_equal(load_check(&plan, RAM, &err), -EFAULT);
	assert_string_equal(err.text, "entry point 0x100010: nothing is loaded there");
	plan.nr_segments = 0;
	assert_int_equal(load_check(&plan, RAM, &err), -EINVAL);
	assert_string_equal(err.text, "nothing to load");
}

static void test_place(void **state)
{
	struct load_plan plan = two_segments(0x3000, 0x1800, 0x8000, 0x1000);
	gpa_t at;

	assert_int_equal(load_place_above(&plan, 0x1000, 0x1000, 0, 0x10000, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(load_place_above(&plan, 0x3001, 0x1000, 0, 0x10000, &at), 0);
	assert_int_equal(at, 0x9000);
	assert_int_equal(load_place_above(&plan, 0x3000, 0x1000, 0x2fff, 0x10000, &at), 0);
	assert_int_equal(at, 0x5000);
	assert_int_equal(load_place_above(&plan, 0x7001, 0x1000, 0, 0x10000, &at), -ENOSPC);
	assert_int_equal(load_place_above(&plan, UINT64_MAX, 0x1000, 0, 0x10000, &at), -ENOSPC);

	assert_int_equal(load_place_below(&plan, 0x10, 0x1000, 0, 0x10000, &at), 0);
	assert_int_equal(at, 0xf000);
	assert_int_equal(load_place_below(&plan, 0x1001, 0x1000, 0, 0xa000, &at), 0);
	assert_int_equal(at, 0x6000);
	assert_int_equal(load_place_below(&plan, 0x3800, 0x1000, 0, 0x9000, &at), -ENOSPC);
	assert_int_equal(load_place_below(&plan, 0x3000, 0x1000, 0, 0x9000, &at), 0);
	assert_int_equal(at, 0x5000);
	assert_int_equal(load_place_below(&plan, 0x3000, 0x1000, 0, 0x4000, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(load_place_below(&plan, 0x3000, 0x1000, 0x800, 0x4000, &at), -ENOSPC);
}

/* A line that does not fit says so, and no error buffer is needed. */
static void test_error_line(void **state)
{
	struct load_error err;
	char text[400];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(load_fail(&err, -EINVAL, "%s", text), -EINVAL);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_string_equal(err.text + sizeof(err.text) - 5, "x...");
	assert_int_equal(load_fail(NULL, -E2BIG, "%s", text), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_apply_is_exact),
		cmocka_unit_test(test_apply_reports_memory),
		cmocka_unit_test(test_empty_segments),
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_no_loadable),
		cmocka_unit_test(test_too_many_segments),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_check_entry),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_error_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
