/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entry rules: legal states pass, and for every rule there is a state that breaks it and
 * nothing else. That no rule was forgotten here is checked against the list of all rules' words.
 */
/* link: vmx/check.c vmx/check_controls.c vmx/check_event.c vmx/check_host.c vmx/check_guest.c */
/* link: vmx/check_segments.c vmx/check_nonregister.c vmx/dump.c vmx/names.c */
/* link: vmx/caps.c vmx/control_names.c vmx/vmcs_fields.c */
/* link: tests/unit/cpu_models.c tests/unit/legal_vmcs.c */
/* link: tests/unit/broken_controls.c tests/unit/broken_guest.c */
/* link: hv/host/print.c hv/host/string.c tests/unit/fake_host.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/print.h"
#include "hv/host/string.h"
#include "tests/unit/broken_vmcs.h"
#include "tests/unit/cpu_models.h"
#include "vmx/exit_reasons.h"

/* The words of all rules: see vmx/check_internal.h. */
extern const char *const __start_vmcs_rules, *const __stop_vmcs_rules;

static struct fake_vmcs vmcs;
static char reports[4][200];
static unsigned int nr_reports;
static char *seen[512];
static size_t nr_seen;

static void report(void *arg, const char *rule, const char *field, u64 value)
{
	assert_ptr_equal(arg, &vmcs);
	if (nr_reports < ARRAY_SIZE(reports))
		fmt_print(reports[nr_reports], sizeof(reports[0]), "%s: %s = %#llx", rule, field,
			  (unsigned long long)value);
	nr_reports++;
	assert_true(nr_seen < ARRAY_SIZE(seen));
	seen[nr_seen++] = strdup(rule);
}

static unsigned int check(const struct vmx_caps *caps, unsigned int areas, bool with_mem)
{
	struct vmcs_reader r = fake_reader(&vmcs, with_mem);
	unsigned int n;

	nr_reports = 0;
	n = vmcs_check(caps, &r, (enum vmcs_area)areas, report, &vmcs);
	assert_int_equal(n, nr_reports);
	return n;
}

static void fail_with_reports(const char *what)
{
	print_message("%s: %u reports\n", what, nr_reports);
	for (unsigned int i = 0; i < nr_reports && i < ARRAY_SIZE(reports); i++)
		print_message("  %s\n", reports[i]);
	fail();
}

static void test_legal_states(void **state)
{
	static const struct cpu_model *const models[] = { &cpu_skylake, &cpu_penryn, &cpu_merom };

	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		struct vmx_caps caps = cpu_model_caps(models[i]);
		bool unrestricted = vmx_can(&caps, CTL_CPU2, CPU2_UNRESTRICTED_GUEST);

		for (unsigned int kind = 0; kind < NR_GUEST_KINDS; kind++) {
			if (kind == GUEST_REAL && !unrestricted)
				continue;
			legal_vmcs(&vmcs, &caps, (enum guest_kind)kind);
			if (check(&caps, AREA_ALL, false) || check(&caps, AREA_ALL, true))
				fail_with_reports("legal state");
		}
	}
}

static void apply(const struct change *change)
{
	u64 *field;

	if (change->how == MEM) {
		memcpy(vmcs.mem + change->field, &change->value, sizeof(change->value));
		return;
	}
	field = fake_field(&vmcs, change->field);
	switch (change->how) {
	case SET: *field = change->value; break;
	case OR: *field |= change->value; break;
	default: *field &= ~change->value; break;
	}
}

/* Apply the changes to a legal state; exactly the one rule must be reported, with its field. */
static void break_rule(const struct broken *b)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_skylake);
	char expect[160];

	if (b->cpu)
		b->cpu(&caps);
	legal_vmcs(&vmcs, &caps, b->guest);
	for (unsigned int i = 0; i < MAX_CHANGES && b->change[i].how != END; i++)
		apply(&b->change[i]);
	fmt_print(expect, sizeof(expect), "%s: %s = ", b->rule, vmcs_field_name(b->field));
	if (check(&caps, AREA_ALL, true) != 1 || !strstr(reports[0], expect))
		fail_with_reports(expect);
}

static void break_rules(const struct broken *table)
{
	for (; table->rule; table++)
		break_rule(table);
}

static void test_controls(void **state)
{
	break_rules(broken_controls);
}

static void test_events(void **state)
{
	break_rules(broken_events);
}

static void test_host(void **state)
{
	break_rules(broken_host);
}

static void test_registers(void **state)
{
	break_rules(broken_registers);
}

static void test_segments(void **state)
{
	break_rules(broken_segments);
}

static void test_nonregister(void **state)
{
	break_rules(broken_nonregister);
}

/* Every field that holds the address of a page, with the controls that make it count. */
static void test_page_addresses(void **state)
{
	static const struct {
		u32 field;
		struct change on[2];
	} pages[] = {
		{ IO_BITMAP_A, { { END, 0, 0 } } },
		{ IO_BITMAP_B, { { END, 0, 0 } } },
		{ MSR_BITMAP, { { END, 0, 0 } } },
		{ VIRTUAL_APIC_PAGE_ADDR, { { OR, CPU, CPU_TPR_SHADOW } } },
		{ APIC_ACCESS_ADDR, { { OR, CPU2, CPU2_APIC_ACCESS } } },
		{ PML_ADDRESS, { { OR, CPU2, CPU2_PML } } },
		{ VE_INFORMATION_ADDRESS, { { OR, CPU2, CPU2_EPT_VE } } },
		{ VMREAD_BITMAP, { { OR, CPU2, CPU2_VMCS_SHADOWING } } },
		{ VMWRITE_BITMAP, { { OR, CPU2, CPU2_VMCS_SHADOWING } } },
		{ EPTP_LIST_ADDRESS,
		  { { OR, CPU2, CPU2_VMFUNC }, { OR, VM_FUNCTION_CONTROL, 1 } } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		struct broken b = { WORDS_PAGE, pages[i].field, GUEST_64, { { 0 } }, NULL };

		b.change[0] = (struct change){ OR, b.field, 0x800 };
		b.change[1] = pages[i].on[0];
		b.change[2] = pages[i].on[1];
		break_rule(&b);
		b.change[0].value = BEYOND;
		b.rule = WORDS_WIDTH;
		break_rule(&b);
	}
}

static void test_msr_lists(void **state)
{
	static const u32 lists[][2] = {
		{ VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT },
		{ VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT },
		{ VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		u32 addr = lists[i][0], count = lists[i][1];
		const struct broken broken[] = {
			{ "the list must not be longer than this CPU recommends",
			  count,
			  GUEST_64,
			  { { SET, count, 513 } },
			  NULL },
			{ "the address must be 16-byte aligned",
			  addr,
			  GUEST_64,
			  { { SET, count, 1 }, { SET, addr, 8 } },
			  NULL },
			{ "the list must not reach beyond the physical-address width",
			  addr,
			  GUEST_64,
			  { { SET, count, 2 }, { SET, addr, BEYOND - 16 } },
			  NULL },
			{ 0 },
		};

		break_rules(broken);
	}
}

static void test_canonical_fields(void **state)
{
	static const u32 fields[] = {
		HOST_FS_BASE,	    HOST_GS_BASE,	HOST_TR_BASE,
		HOST_GDTR_BASE,	    HOST_IDTR_BASE,	HOST_IA32_SYSENTER_ESP,
		GUEST_SYSENTER_ESP, GUEST_SYSENTER_EIP, HOST_IA32_SYSENTER_EIP,
		GUEST_FS_BASE,	    GUEST_GS_BASE,	GUEST_GDTR_BASE,
		GUEST_IDTR_BASE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct broken b = {
			WORDS_CANON, fields[i], GUEST_64, { { SET, fields[i], 0 } }, NULL
		};

		b.change[0].value = NON_CANON;
		break_rule(&b);
		b.change[0].value = ~NON_CANON;
		break_rule(&b);
	}
}

static void test_host_selectors(void **state)
{
	static const u32 fields[] = { HOST_ES_SELECTOR, HOST_CS_SELECTOR, HOST_SS_SELECTOR,
				      HOST_DS_SELECTOR, HOST_FS_SELECTOR, HOST_GS_SELECTOR,
				      HOST_TR_SELECTOR };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		for (u32 bit = 1; bit <= 4; bit *= 2) {
			const struct broken b = { "RPL and TI of a host selector must be 0",
						  fields[i],
						  GUEST_64,
						  { { OR, fields[i], bit } },
						  NULL };

			break_rule(&b);
		}
	}
}

static void break_segment(const char *rule, u32 field, enum guest_kind kind, unsigned int seg,
			  u32 limit, u64 ar)
{
	const struct broken b = { rule,
				  field + 2 * seg,
				  kind,
				  { { SET, SEG_FIELD(GUEST_ES_LIMIT, seg), limit },
				    { SET, SEG_FIELD(GUEST_ES_AR_BYTES, seg), ar } },
				  NULL };

	break_rule(&b);
}

/* What holds for every usable register. */
static void test_access_rights(void **state)
{
	static const u32 rights[NR_SEG] = { [SEG_CS] = 0xa09b, [SEG_LDTR] = 0x82, [SEG_TR] = 0x8b };
	const u32 field = GUEST_ES_AR_BYTES;

	for (unsigned int seg = 0; seg < NR_SEG; seg++) {
		u64 ar = rights[seg] ? rights[seg] : 0xc093;

		break_segment("a usable segment must be present", field, GUEST_64, seg, ~0u,
			      (ar | AR_G) & ~AR_P);
		break_segment("bits 11:8 must be 0", field, GUEST_64, seg, ~0u, ar | AR_G | BIT(8));
		break_segment("bits 11:8 must be 0", field, GUEST_64, seg, ~0u,
			      ar | AR_G | BIT(11));
		break_segment("bits 31:17 must be 0", field, GUEST_64, seg, ~0u,
			      ar | AR_G | BIT(17));
		break_segment("bits 31:17 must be 0", field, GUEST_64, seg, ~0u,
			      ar | AR_G | BIT(31));
		break_segment("G must be 0 when a bit in 11:0 of the limit is 0", field, GUEST_64,
			      seg, 0xffffe, ar | AR_G);
		break_segment("G must be 1 when a bit in 31:20 of the limit is 1", field, GUEST_64,
			      seg, 0x1fffff, ar & ~AR_G);
	}
}

static void test_data_segments(void **state)
{
	static const enum vmcs_segment segs[] = { SEG_DS, SEG_ES, SEG_FS, SEG_GS };
	const u32 field = GUEST_ES_AR_BYTES;

	for (size_t i = 0; i < ARRAY_SIZE(segs); i++) {
		u32 seg = segs[i];
		const struct broken dpl = { "DPL must not be below RPL",
					    SEG_FIELD(field, seg),
					    GUEST_64,
					    { { CLEAR, CPU2, CPU2_UNRESTRICTED_GUEST },
					      { OR, SEG_FIELD(GUEST_ES_SELECTOR, seg), 2 } },
					    NULL };

		break_segment("a usable segment must be accessed", field, GUEST_64, seg, ~0u,
			      0xc092);
		break_segment("code in a data register must be readable", field, GUEST_64, seg, ~0u,
			      0xc099);
		break_segment("a data register must hold a code or data segment (S = 1)", field,
			      GUEST_64, seg, ~0u, 0xc083);
		break_rule(&dpl);
	}
}

static void test_32_bit_bases(void **state)
{
	static const enum vmcs_segment segs[] = { SEG_CS, SEG_SS, SEG_DS, SEG_ES };

	for (size_t i = 0; i < ARRAY_SIZE(segs); i++) {
		u32 base = SEG_FIELD(GUEST_ES_BASE, segs[i]);
		const struct broken b = { "bits 63:32 of the base must be 0",
					  base,
					  GUEST_64,
					  { { OR, base, BIT(32) } },
					  NULL };

		break_rule(&b);
	}
}

static void test_v8086_segments(void **state)
{
	for (unsigned int seg = SEG_ES; seg <= SEG_GS; seg++) {
		const struct broken b = {
			"in virtual-8086 mode the base must be the selector times 16",
			SEG_FIELD(GUEST_ES_BASE, seg),
			GUEST_V8086,
			{ { OR, SEG_FIELD(GUEST_ES_BASE, seg), 0x10 } },
			NULL
		};

		break_rule(&b);
		break_segment("in virtual-8086 mode the limit must be 0xffff", GUEST_ES_LIMIT,
			      GUEST_V8086, seg, 0xfffff, 0xf3);
		break_segment("in virtual-8086 mode the access rights must be 0xf3",
			      GUEST_ES_AR_BYTES, GUEST_V8086, seg, 0xffff, 0x93);
	}
}

/* What looks odd and is legal. */
static void any_error_code(struct vmx_caps *caps)
{
	caps->basic |= VMX_BASIC_ANY_ERRCODE;
}

static void with_lam(struct vmx_caps *caps)
{
	caps->cr4_fixed1 |= BIT(28);
}

static void test_odd_but_legal(void **state)
{
	static const struct broken odd[] = {
		{ "#GP without error code in real mode",
		  0,
		  GUEST_REAL,
		  { { SET, INTR, EV_EXC | EXC_GP } } },
		{ "#UD with error code where the CPU allows any",
		  0,
		  GUEST_64,
		  { { SET, INTR, EV_EXC | EXC_UD | INTR_INFO_ERROR } },
		  any_error_code },
		{ "#GP without error code where the CPU allows any",
		  0,
		  GUEST_64,
		  { { SET, INTR, EV_EXC | EXC_GP } },
		  any_error_code },
		{ "MTF pending in HLT",
		  0,
		  GUEST_64,
		  { { SET, ACTIVITY, ACTIVITY_HLT }, { SET, INTR, EV_OTHER } } },
		{ "INT of length 0 where the CPU allows it",
		  0,
		  GUEST_64,
		  { { SET, INTR, EV_INT } } },
		{ "type 3 CS in an unrestricted guest",
		  0,
		  GUEST_FLAT_32,
		  { { SET, GUEST_CS_AR_BYTES, 0xc093 } } },
		{ "conforming CS above SS",
		  0,
		  GUEST_FLAT_32,
		  { { SET, GUEST_CS_AR_BYTES, 0xc09f }, { OR, GUEST_SS_AR_BYTES, AR_DPL } } },
		{ "unusable data and stack",
		  0,
		  GUEST_64,
		  { { SET, GUEST_SS_AR_BYTES, AR_UNUSABLE },
		    { SET, GUEST_DS_AR_BYTES, AR_UNUSABLE },
		    { SET, GUEST_DS_BASE, BIT(40) } } },
		{ "a RIP of which only bit 47 is set",
		  0,
		  GUEST_64,
		  { { SET, GUEST_RIP, NON_CANON } } },
		{ "linear-address masking",
		  0,
		  GUEST_64,
		  { { OR, GUEST_CR3, 3ull << 61 } },
		  with_lam },
		{ "a linked VMCS",
		  0,
		  GUEST_64,
		  { { SET, VMCS_LINK_POINTER, MEM_BASE + 0xc000 }, { MEM, 0xc000, 4 } } },
		{ "an empty MSR list anywhere",
		  0,
		  GUEST_64,
		  { { SET, VM_ENTRY_MSR_LOAD_ADDR, ~0ull } } },
		{ "PDPTEs that are not present", 0, GUEST_PAE, { { SET, GUEST_PDPTR0, ~1ull } } },
		{ "secondary controls that are not activated",
		  0,
		  GUEST_64,
		  { { CLEAR, CPU, CPU_SECONDARY }, { SET, CPU2, ~0ull } } },
		{ "no event behind a clear valid bit", 0, GUEST_64, { { SET, INTR, 0x7fffffff } } },
		{ "BS with TF while blocking",
		  0,
		  GUEST_64,
		  { { OR, GUEST_RFLAGS, RFLAGS_TF },
		    { OR, INFO, INTR_STATE_MOV_SS },
		    { OR, PENDING, PENDING_DBG_BS } } },
		{ "RTM", 0, GUEST_64, { { OR, PENDING, PENDING_DBG_RTM | PENDING_DBG_ENABLED } } },
		{ 0 },
	};

	for (const struct broken *b = odd; b->rule; b++) {
		struct vmx_caps caps = cpu_model_caps(&cpu_skylake);

		if (b->cpu)
			b->cpu(&caps);
		legal_vmcs(&vmcs, &caps, b->guest);
		for (unsigned int i = 0; i < MAX_CHANGES && b->change[i].how != END; i++)
			apply(&b->change[i]);
		if (check(&caps, AREA_ALL, true))
			fail_with_reports(b->rule);
	}
}

static void test_areas(void **state)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_skylake);

	legal_vmcs(&vmcs, &caps, GUEST_64);
	*fake_field(&vmcs, VIRTUAL_PROCESSOR_ID) = 0;
	*fake_field(&vmcs, HOST_TR_SELECTOR) = 0;
	*fake_field(&vmcs, GUEST_RFLAGS) = 0;
	assert_int_equal(check(&caps, AREA_CONTROLS, true), 1);
	assert_non_null(strstr(reports[0], "VIRTUAL_PROCESSOR_ID = 0"));
	assert_int_equal(check(&caps, AREA_HOST, true), 1);
	assert_non_null(strstr(reports[0], "HOST_TR_SELECTOR = 0"));
	assert_int_equal(check(&caps, AREA_GUEST, true), 1);
	assert_non_null(strstr(reports[0], "GUEST_RFLAGS = 0"));
	assert_int_equal(check(&caps, AREA_ALL, true), 3);
}

/* A VMCS of noise must neither crash the checks nor make them read what is not there. */
static void test_noise(void **state)
{
	static const struct cpu_model *const models[] = { &cpu_skylake, &cpu_penryn, &cpu_merom };
	u64 x = 1;

	for (unsigned int round = 0; round < 300; round++) {
		struct vmx_caps caps = cpu_model_caps(models[round % ARRAY_SIZE(models)]);

		vmcs.caps = &caps;
		for (size_t i = 0; i < NR_VMCS_FIELDS; i++) {
			x = x * 6364136223846793005ull + 1442695040888963407ull;
			vmcs.field[i] = x >> (round & 31);
		}
		nr_seen = 0; /* what noise breaks by chance does not count as tested */
		assert_true(check(&caps, AREA_ALL, true) > 0);
		while (nr_seen)
			free(seen[--nr_seen]);
	}
}

/* Last of the tests on rules. */
static void test_every_rule_was_broken(void **state)
{
	const uintptr_t start = (uintptr_t)&__start_vmcs_rules, end = (uintptr_t)&__stop_vmcs_rules;
	unsigned int missing = 0;

	assert_true(end - start > 100 * sizeof(const char *));
	for (uintptr_t at = start; at < end; at += sizeof(const char *)) {
		const char *words = *(const char *const *)at;
		size_t i = 0;

		while (i < nr_seen && !strstr(seen[i], words))
			i++;
		if (i == nr_seen) {
			print_message("never broken: %s\n", words);
			missing++;
		}
	}
	while (nr_seen)
		free(seen[--nr_seen]);
	assert_int_equal(missing, 0);
}

/* --- the dump and the names ----------------------------------------------------------------------
 */

static char dump[16384];

static void dump_line(void *arg, const char *text)
{
	assert_ptr_equal(arg, dump);
	assert_in_range(strlen(text), 1, 100);
	assert_null(strchr(text, '\n'));
	assert_int_not_equal(text[strlen(text) - 1], ' ');
	assert_true(strlen(dump) + strlen(text) + 2 < sizeof(dump));
	strcat(dump, text);
	strcat(dump, "\n");
}

static void test_dump_everything(void **state)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_skylake);
	struct vmcs_reader r;

	legal_vmcs(&vmcs, &caps, GUEST_64);
	r = fake_reader(&vmcs, false);
	dump[0] = '\0';
	vmcs_dump(&caps, &r, dump_line, dump);
	assert_non_null(strstr(dump, "GUEST_RIP                     ffffffff81000000"));
	assert_non_null(strstr(dump, "VIRTUAL_PROCESSOR_ID          0001"));
	assert_non_null(strstr(dump,
			       "GUEST_CS   SELECTOR 0008  BASE 0000000000000000  LIMIT ffffffff  "
			       "AR_BYTES 0000a09b\n"));
	for (size_t i = 0; i < NR_VMCS_FIELDS; i++) {
		const char *name = vmcs_field_list[i].name;

		if (strstr(name, "_SELECTOR") || strstr(name, "_AR_BYTES") ||
		    strstr(name, "_BASE") || strstr(name, "_LIMIT"))
			continue;
		if (!strstr(dump, name))
			fail_msg("%s is not in the dump", name);
	}
}

static void test_dump_of_a_small_cpu(void **state)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_merom);
	struct vmcs_reader r;

	legal_vmcs(&vmcs, &caps, GUEST_V8086);
	r = fake_reader(&vmcs, false); /* fails the test when a missing field is read */
	dump[0] = '\0';
	vmcs_dump(&caps, &r, dump_line, dump);
	assert_non_null(strstr(dump, "GUEST_RFLAGS"));
	assert_null(strstr(dump, "EPT_POINTER"));
}

static void test_names(void **state)
{
	assert_string_equal(vm_instruction_error(7), "VM entry with an invalid control field");
	assert_string_equal(vm_instruction_error(0), "?");
	assert_string_equal(vm_instruction_error(14), "?");
	assert_string_equal(vm_instruction_error(28), "INVEPT or INVVPID with an invalid operand");
	assert_string_equal(vm_instruction_error(29), "?");
	assert_string_equal(exit_reason_name(EXIT_REASON_EPT_VIOLATION), "EPT violation");
	assert_string_equal(exit_reason_name(EXIT_REASON_FAILED_ENTRY | EXIT_REASON_INVALID_STATE),
			    "entry failure: invalid guest state");
	assert_string_equal(exit_reason_name(35), "?");
	assert_string_equal(exit_reason_name(0xffff), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_legal_states),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_page_addresses),
		cmocka_unit_test(test_msr_lists),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_host_selectors),
		cmocka_unit_test(test_canonical_fields),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_access_rights),
		cmocka_unit_test(test_data_segments),
		cmocka_unit_test(test_32_bit_bases),
		cmocka_unit_test(test_v8086_segments),
		cmocka_unit_test(test_nonregister),
		cmocka_unit_test(test_odd_but_legal),
		cmocka_unit_test(test_areas),
		cmocka_unit_test(test_every_rule_was_broken),
		cmocka_unit_test(test_dump_everything),
		cmocka_unit_test(test_dump_of_a_small_cpu),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
