/* SPDX-License-Identifier: GPL-2.0-only */
/* Capabilities: which MSRs are read on which CPU, and what becomes of wishes. */
/* link: vmx/caps.c vmx/control_names.c vmx/vmcs_fields.c tests/unit/cpu_models.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "tests/unit/cpu_models.h"
#include "vmx/controls.h"
#include "vmx/vmcs_fields.h"

static void test_everything(void **state)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_skylake);

	assert_int_equal(cpu_model_bad_reads, 0);
	assert_true(caps.true_controls);
	assert_int_equal(caps.revision, 4);
	assert_int_equal(caps.preempt_shift, 7);
	assert_int_equal(caps.phys_bits, 46);
	assert_int_equal(caps.lin_bits, 48);
	assert_int_equal(caps.vmfunc, 1);
	assert_int_equal(caps.ept_vpid, 0x00000f0106334141);
	assert_int_equal(caps.cr4_fixed1, 0x3767ff);
	/* The TRUE range: CR3-load and CR3-store exiting may be 0. */
	assert_int_equal(caps.ctl[CTL_CPU].must_be_1, 0x04006172);
	assert_int_equal(caps.ctl[CTL_CPU2].may_be_1, 0x0217ffff);
	assert_true(vmx_can(&caps, CTL_CPU2, CPU2_EPT | CPU2_VPID));
}

static void test_without_true_controls(void **state)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_penryn);

	assert_int_equal(cpu_model_bad_reads, 0);
	assert_false(caps.true_controls);
	assert_int_equal(caps.ctl[CTL_CPU].must_be_1, 0x0401e172);
	assert_true(vmx_can(&caps, CTL_CPU, CPU_SECONDARY));
	assert_true(vmx_can(&caps, CTL_CPU2, CPU2_APIC_ACCESS));
	assert_false(vmx_can(&caps, CTL_CPU2, CPU2_EPT));
	assert_int_equal(caps.ept_vpid, 0);
	assert_int_equal(caps.vmfunc, 0);
}

static void test_without_secondary_controls(void **state)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_merom);
	u32 v;

	assert_int_equal(cpu_model_bad_reads, 0);
	assert_int_equal(caps.ctl[CTL_CPU2].may_be_1, 0);
	assert_int_equal(vmx_control(&caps, CTL_CPU2, CPU2_EPT, 0, &v), -EOPNOTSUPP);
	assert_int_equal(v, CPU2_EPT);
	assert_int_equal(vmx_control(&caps, CTL_CPU2, 0, CPU2_EPT, &v), 0);
	assert_int_equal(v, 0);
}

static void test_vpid_alone_has_a_capability_msr(void **state)
{
	struct cpu_model m = cpu_penryn;
	struct vmx_caps caps;

	m.msr[0x0b] = (u64)CPU2_VPID << 32;
	m.msr[0x0c] = VPID_CAP_INVVPID;
	caps = cpu_model_caps(&m);
	assert_int_equal(caps.ept_vpid, VPID_CAP_INVVPID);
}

static void test_five_level_paging_widens_addresses(void **state)
{
	struct cpu_model m = cpu_skylake;

	m.msr[0x09] |= BIT(12);
	m.phys_bits = 52;
	assert_int_equal(cpu_model_caps(&m).lin_bits, 57);
}

static void test_no_vmx_reads_nothing(void **state)
{
	struct vmx_caps caps;

	cpu_model_use(&cpu_merom);
	assert_int_equal(vmx_caps_read(&caps, NULL, false, 36), -ENODEV);
	assert_int_equal(caps.revision, 0);
}

static void test_address_width_out_of_range(void **state)
{
	struct vmx_caps caps;

	cpu_model_use(&cpu_skylake);
	assert_int_equal(vmx_caps_read(&caps, cpu_model_read, true, 31), -ERANGE);
	assert_int_equal(vmx_caps_read(&caps, cpu_model_read, true, 53), -ERANGE);
	assert_int_equal(vmx_caps_read(&caps, cpu_model_read, true, 52), 0);
}

/* Every MSR that a CPU advertises must be readable; which ones are read follows from the others. */
static void test_each_missing_msr_is_an_error(void **state)
{
	static const struct cpu_model *const models[] = { &cpu_skylake, &cpu_penryn, &cpu_merom };
	unsigned int errors[ARRAY_SIZE(models)] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(models[i]->msr); j++) {
			struct cpu_model m = *models[i];
			struct vmx_caps caps, zero;
			int err;

			m.msr[j] = 0;
			cpu_model_use(&m);
			err = vmx_caps_read(&caps, cpu_model_read, true, m.phys_bits);
			assert_int_equal(err, cpu_model_bad_reads ? -EIO : 0);
			memset(&zero, 0, sizeof(zero));
			if (err)
				assert_memory_equal(&caps, &zero, sizeof(caps));
			errors[i] += err != 0;
		}
	}
	/* BASIC, MISC, 4 fixed; 4 words; secondary; EPT/VPID; VM functions. */
	assert_int_equal(errors[0], 6 + 4 + 3);
	assert_int_equal(errors[1], 6 + 4 + 1);
	assert_int_equal(errors[2], 6 + 4);
}

static void test_control(void **state)
{
	struct vmx_caps caps = { 0 };
	u32 v = 0;

	caps.ctl[CTL_EXIT] = (struct vmx_control_range){ .must_be_1 = 0x11, .may_be_1 = 0xff };
	assert_int_equal(vmx_control(&caps, CTL_EXIT, 0, 0, &v), 0);
	assert_int_equal(v, 0x11);
	assert_int_equal(vmx_control(&caps, CTL_EXIT, 0x02, 0x104, &v), 0);
	assert_int_equal(v, 0x17);
	assert_int_equal(vmx_control(&caps, CTL_EXIT, 0x302, 0x4, &v), -EOPNOTSUPP);
	assert_int_equal(v, 0x300);
	assert_true(vmx_can(&caps, CTL_EXIT, 0));
	assert_true(vmx_can(&caps, CTL_EXIT, 0xff));
	assert_false(vmx_can(&caps, CTL_EXIT, 0x180));
}

static void test_names(void **state)
{
	static const char *const words[NR_CTL] = { "pin-based control bit ", "primary control bit ",
						   "secondary control bit ", "exit control bit ",
						   "entry control bit " };

	assert_string_equal(vmx_control_name(CTL_CPU2, 7),
			    "unrestricted guest (secondary control bit 7)");
	assert_string_equal(vmx_control_name(CTL_CPU2, 29), "secondary control bit 29");
	assert_string_equal(vmx_control_name(CTL_PIN, 3), "NMI exiting (pin-based control bit 3)");
	assert_string_equal(vmx_control_name(CTL_CPU2, 32), "?");
	assert_string_equal(vmx_control_name(NR_CTL, 0), "?");
	for (unsigned int word = 0; word < NR_CTL; word++) {
		for (unsigned int bit = 0; bit < 32; bit++) {
			const char *s = strstr(vmx_control_name(word, bit), words[word]);

			assert_non_null(s);
			s += strlen(words[word]);
			assert_int_equal(s[0] - '0', bit < 10 ? bit : bit / 10);
			if (bit >= 10)
				assert_int_equal(s[1] - '0', bit % 10);
		}
	}
}

static void test_feature_control(void **state)
{
	static const struct {
		u64 v;
		enum feature_control_state state;
		u64 write;
	} cases[] = {
		{ 0x0, FC_UNLOCKED, 0x5 }, { 0x1, FC_LOCKED_OFF, 0 },
		{ 0x2, FC_UNLOCKED, 0x7 }, { 0x3, FC_LOCKED_OFF, 0 }, /* inside SMX only */
		{ 0x4, FC_UNLOCKED, 0x5 }, { 0x5, FC_READY, 0 },
		{ 0x7, FC_READY, 0 },	   { 0x40000, FC_UNLOCKED, 0x40005 },
		{ 0x100005, FC_READY, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 write = 0;

		assert_int_equal(vmx_feature_control(cases[i].v, &write), cases[i].state);
		assert_int_equal(write, cases[i].write);
	}
}

static void test_fields_exist(void **state)
{
	struct vmx_caps sky = cpu_model_caps(&cpu_skylake), merom = cpu_model_caps(&cpu_merom);

	for (size_t i = 0; i < NR_VMCS_FIELDS; i++)
		assert_true(vmcs_field_exists(&sky, vmcs_field_list[i].field));
	assert_true(vmcs_field_exists(&merom, GUEST_RIP));
	assert_true(vmcs_field_exists(&merom, VIRTUAL_APIC_PAGE_ADDR));
	assert_true(vmcs_field_exists(&merom, CR3_TARGET_VALUE3));
	assert_false(vmcs_field_exists(&merom, EPT_POINTER));
	assert_false(vmcs_field_exists(&merom, PML_ADDRESS));
	assert_false(vmcs_field_exists(&merom, GUEST_PML_INDEX));
	assert_false(vmcs_field_exists(&merom, VIRTUAL_PROCESSOR_ID));
	assert_false(vmcs_field_exists(&merom, SECONDARY_VM_EXEC_CONTROL));
	assert_false(vmcs_field_exists(&merom, GUEST_IA32_EFER));
	assert_false(vmcs_field_exists(&merom, EPTP_LIST_ADDRESS));
	assert_false(vmcs_field_exists(&sky, 0x7ffe));
	sky.misc &= ~(0x1ffull << 16);
	sky.misc |= 2 << 16;
	assert_true(vmcs_field_exists(&sky, CR3_TARGET_VALUE1));
	assert_false(vmcs_field_exists(&sky, CR3_TARGET_VALUE2));
}

/* Either of the two controls brings the field. */
static void test_field_of_two_controls(void **state)
{
	struct vmx_caps caps = cpu_model_caps(&cpu_skylake);

	caps.ctl[CTL_ENTRY].may_be_1 &= ~(u32)ENTRY_LOAD_EFER;
	assert_true(vmcs_field_exists(&caps, GUEST_IA32_EFER));
	caps.ctl[CTL_EXIT].may_be_1 &= ~(u32)EXIT_SAVE_EFER;
	assert_false(vmcs_field_exists(&caps, GUEST_IA32_EFER));
}

static void test_field_list_is_sound(void **state)
{
	for (size_t i = 0; i < NR_VMCS_FIELDS; i++) {
		u32 f = vmcs_field_list[i].field;

		assert_false(f & 1); /* no high halves */
		assert_int_equal(f & ~0x6c7eu & ~0x0300u, 0);
		if (i && vmcs_field_width(f) == vmcs_field_width(vmcs_field_list[i - 1].field))
			assert_true(f > vmcs_field_list[i - 1].field);
		assert_string_equal(vmcs_field_name(f), vmcs_field_list[i].name);
	}
	assert_string_equal(vmcs_field_name(GUEST_RIP), "GUEST_RIP");
	assert_string_equal(vmcs_field_name(0x7ffe), "?");
	assert_int_equal(vmcs_field_width(GUEST_RIP), VMCS_WIDTH_NATURAL);
	assert_int_equal(vmcs_field_width(EPT_POINTER), VMCS_WIDTH_64);
	assert_int_equal(vmcs_field_type(VM_EXIT_REASON), VMCS_TYPE_EXIT_INFO);
	assert_int_equal(vmcs_field_type(HOST_CR3), VMCS_TYPE_HOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_without_true_controls),
		cmocka_unit_test(test_without_secondary_controls),
		cmocka_unit_test(test_vpid_alone_has_a_capability_msr),
		cmocka_unit_test(test_five_level_paging_widens_addresses),
		cmocka_unit_test(test_no_vmx_reads_nothing),
		cmocka_unit_test(test_address_width_out_of_range),
		cmocka_unit_test(test_each_missing_msr_is_an_error),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_feature_control),
		cmocka_unit_test(test_fields_exist),
		cmocka_unit_test(test_field_of_two_controls),
		cmocka_unit_test(test_field_list_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
