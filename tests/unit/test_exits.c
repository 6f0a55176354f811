/* SPDX-License-Identifier: GPL-2.0-only */
/* What vmx/enter.c makes of exits that APIC virtualization causes, and what a flush promises. */
/* link: vmx/apic_rungs.c vmx/vmcs_fields.c vmx/caps.c vmx/control_names.c */
/* link: hv/host/print.c hv/host/string.c tests/unit/fake_host.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "vmx/vmcs.h"

static u64 read_field(u32 field);
static void write_field(u32 field, u64 v);
static bool fake_invept(enum invept_type type, hpa_t eptp);
#define vmcs_read  read_field
#define vmcs_write write_field
#define invept	   fake_invept
#include "vmx/enter.c"
#include "vmx/event.c"

struct vmx_caps vmx_caps;
struct vmx_config vmx_config;
u64 direct_map_base;

static u64 fields[0x8000];
static struct vmx_vm vm;
static struct vmx_vcpu v;
static unsigned int invepts;
static void (*during_invept)(void);
static enum machine machine;

static u64 read_field(u32 field)
{
	return fields[field];
}

static void write_field(u32 field, u64 value)
{
	fields[field] = value;
}

static bool fake_invept(enum invept_type type, hpa_t eptp)
{
	invepts++;
	assert_int_equal(type,
			 vmx_caps.ept_vpid & EPT_CAP_INVEPT_SINGLE ? INVEPT_SINGLE : INVEPT_ALL);
	assert_int_equal(eptp, type == INVEPT_SINGLE ? vm.ept.eptp : 0);
	if (during_invept)
		during_invept();
	return true;
}

enum machine machine_kind(void)
{
	return machine;
}

/* The rest of vmx/, which these paths do not reach. */
void vmx_launch_guest(void)
{
	fail();
}

u32 vmx_enter(struct vmx_vcpu *vcpu)
{
	fail();
	return 0;
}

bool vmx_end_shadow(struct vmx_vcpu *vcpu)
{
	return false;
}

void vmx_end_quick_shadow(struct vmx_vcpu *vcpu)
{
}

static unsigned int nr_irets;

void nmi_iret(void)
{
	nr_irets++;
}

static int setup(void **state)
{
	memset(fields, 0, sizeof(fields));
	fields[GUEST_CR0] = CR0_PE;
	vmx_caps = (struct vmx_caps){ .ept_vpid = EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL };
	vm = (struct vmx_vm){ .ept.eptp = 0x1234000 | EPTP_WB | EPTP_WALK_4, .flush_gen = 7 };
	v = (struct vmx_vcpu){ .vm = &vm, .flush_gen = &vm.flush_gen };
	memset(&v.exit, 0xee, sizeof(v.exit));
	invepts = 0;
	during_invept = NULL;
	nr_irets = 0;
	machine = MACHINE_BOCHS;
	return 0;
}

/* As the exit path does it: the table first, then what is left to read. */
static u32 exit_with(u32 reason, u64 qualification)
{
	fields[VM_EXIT_REASON] = reason;
	fields[EXIT_QUALIFICATION] = qualification;
	assert_true(vmx_translate[reason] & 0x80);
	return vmx_decode_exit(&v, reason);
}

static void test_apic_access(void **state)
{
	static const struct {
		u8 type, kind;
	} kinds[] = {
		{ 0, APIC_ACCESS_READ },  { 1, APIC_ACCESS_WRITE },  { 2, APIC_ACCESS_FETCH },
		{ 3, APIC_ACCESS_EVENT }, { 10, APIC_ACCESS_EVENT }, { 15, APIC_ACCESS_OTHER },
		{ 4, APIC_ACCESS_OTHER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		u64 q = 0xabc | (u64)kinds[i].type << 12 | BIT(16) | BIT(63);

		assert_int_equal(exit_with(44, q), VM_EXIT_APIC_ACCESS);
		assert_int_equal(v.exit.apic.offset, 0xabc);
		assert_int_equal(v.exit.apic.kind, kinds[i].kind);
		assert_int_equal(v.exit.hardware_reason, 44);
		assert_false(vmx_event_queued());
	}
}

static void test_traps(void **state)
{
	assert_int_equal(exit_with(56, 0x301), VM_EXIT_APIC_WRITE);
	assert_int_equal(v.exit.apic.offset, 0x301);
	assert_int_equal(exit_with(45, 0xe1), VM_EXIT_EOI);
	assert_int_equal(v.exit.vector, 0xe1);
	assert_int_equal(exit_with(43, 0), VM_EXIT_TPR);
	assert_int_equal(v.exit.hardware_reason, 43);
	assert_false(vmx_event_queued());
}

/* An event whose delivery each of these has interrupted is delivered again. */
static void test_events_are_queued_again(void **state)
{
	static const struct {
		u32 reason;
		u64 qualification;
	} exits[] = { { 43, 0 }, { 44, 3 << 12 }, { 44, 0 }, { 45, 0x51 }, { 56, 0xb0 } };

	for (size_t i = 0; i < ARRAY_SIZE(exits); i++) {
		setup(NULL);
		fields[IDT_VECTORING_INFO] = INTR_INFO_VALID | INTR_TYPE_EXT | 0x77;
		exit_with(exits[i].reason, exits[i].qualification);
		assert_int_equal(fields[VM_ENTRY_INTR_INFO],
				 INTR_INFO_VALID | INTR_TYPE_EXT | 0x77);
		setup(NULL);
		fields[IDT_VECTORING_INFO] =
			INTR_INFO_VALID | INTR_TYPE_EXCEPTION | INTR_INFO_ERROR | EXC_PF;
		fields[IDT_VECTORING_ERROR_CODE] = 5;
		exit_with(exits[i].reason, exits[i].qualification);
		assert_int_equal(fields[VM_ENTRY_INTR_INFO], fields[IDT_VECTORING_INFO]);
		assert_int_equal(fields[VM_ENTRY_EXCEPTION_ERROR_CODE], 5);
	}
}

/* In real mode without the error code that some CPUs tell of: the entry would refuse it. */
static void test_no_error_codes_in_real_mode(void **state)
{
	const struct vm_event gp = {
		.vector = EXC_GP, .type = EVENT_EXCEPTION, .has_error = true, .error = 8
	};

	fields[GUEST_CR0] = 0;
	fields[IDT_VECTORING_INFO] =
		INTR_INFO_VALID | INTR_TYPE_EXCEPTION | INTR_INFO_ERROR | EXC_SS;
	exit_with(48, 0);
	assert_int_equal(fields[VM_ENTRY_INTR_INFO],
			 INTR_INFO_VALID | INTR_TYPE_EXCEPTION | EXC_SS);
	fields[VM_ENTRY_INTR_INFO] = 0;
	assert_int_equal(vmx_inject(&v, &gp), 0);
	assert_int_equal(fields[VM_ENTRY_INTR_INFO],
			 INTR_INFO_VALID | INTR_TYPE_EXCEPTION | EXC_GP);
	fields[VM_ENTRY_INTR_INFO] = 0;
	fields[GUEST_CR0] = CR0_PE;
	assert_int_equal(vmx_inject(&v, &gp), 0);
	assert_int_equal(fields[VM_ENTRY_INTR_INFO],
			 INTR_INFO_VALID | INTR_TYPE_EXCEPTION | INTR_INFO_ERROR | EXC_GP);
	assert_int_equal(fields[VM_ENTRY_EXCEPTION_ERROR_CODE], 8);
}

/* What Bochs says when its own delivery of a virtual interrupt is interrupted; and what is so. */
static void test_interrupted_virtual_delivery(void **state)
{
	const u64 valid = INTR_INFO_VALID, svi = INTR_INFO_VALID | INTR_TYPE_EXT | 0x61;
	const u64 nmi = INTR_INFO_VALID | INTR_TYPE_NMI | EXC_NMI;
	const u64 fault = INTR_INFO_VALID | INTR_TYPE_EXCEPTION | INTR_INFO_ERROR | EXC_PF;
	const struct {
		u64 info;
		bool delivers;
		u8 in_service;
		u32 blocking;
		bool intr_flag;
		u64 queued;
	} cases[] = {
		{ svi, true, 0x61, 0, true, svi }, /* a processor */
		{ valid, true, 0x61, 0, true, svi },
		{ valid | 0x77, true, 0x61, 0, true, svi },
		{ nmi, true, 0x61, 0, true, svi },
		{ nmi, true, 0x61, INTR_STATE_NMI, true, nmi },
		{ nmi, true, 0, 0, true, nmi },
		{ fault, true, 0x61, 0, false, fault },
		{ fault, true, 0, 0, true, fault },
		{ fault, false, 0x61, 0, true, fault },
		{ fault, true, 0x61, 0, true, svi }, /* a guess, with Bochs alone */
		{ valid | 0x77, true, 0, 0, true, valid | 0x77 },
		{ valid | 0x77, false, 0x61, 0, true, valid | 0x77 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		setup(NULL);
		v.cpu2_controls = cases[i].delivers ? CPU2_VIRT_INTR_DELIVERY : 0;
		fields[IDT_VECTORING_INFO] = cases[i].info;
		fields[GUEST_INTR_STATUS] = (u64)cases[i].in_service << 8 | 0x41;
		fields[GUEST_INTERRUPTIBILITY_INFO] = cases[i].blocking;
		fields[GUEST_RFLAGS] = cases[i].intr_flag ? RFLAGS_IF : 0;
		exit_with(48, 0);
		assert_int_equal(fields[VM_ENTRY_INTR_INFO], cases[i].queued);
		/* An NMI that is to be delivered again blocks none meanwhile, here or there. */
		assert_int_equal(nr_irets, cases[i].queued == nmi);
		assert_true(cases[i].queued != nmi || !fields[GUEST_INTERRUPTIBILITY_INFO]);
		assert_false((fields[VM_ENTRY_INTR_INFO] & INTR_INFO_ERROR) &&
			     cases[i].queued == svi);
	}
	/* An exception is believed everywhere else. */
	setup(NULL);
	machine = MACHINE_UNKNOWN;
	v.cpu2_controls = CPU2_VIRT_INTR_DELIVERY;
	fields[IDT_VECTORING_INFO] = fault;
	fields[GUEST_INTR_STATUS] = 0x6100;
	fields[GUEST_RFLAGS] = RFLAGS_IF;
	exit_with(48, 0);
	assert_int_equal(fields[VM_ENTRY_INTR_INFO], fault);
}

static void another_change(void)
{
	vmx_vm_stale(&vm);
}

u64 vmx_vm_stale(struct vmx_vm *m)
{
	return ++m->flush_gen;
}

/* Only what was announced before the flush has been flushed. */
static void test_flush(void **state)
{
	u64 before = counter_read(&vmx_flushes);

	vmx_flush_translations(&v);
	assert_int_equal(invepts, 1);
	assert_int_equal(v.flushed_gen, 7);
	during_invept = another_change;
	vmx_flush_translations(&v);
	assert_int_equal(vm.flush_gen, 8);
	assert_int_equal(v.flushed_gen, 7);
	vmx_caps.ept_vpid = EPT_CAP_INVEPT_ALL;
	during_invept = NULL;
	vmx_flush_translations(&v);
	assert_int_equal(v.flushed_gen, 8);
	assert_int_equal(counter_read(&vmx_flushes) - before, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_apic_access, setup),
		cmocka_unit_test_setup(test_traps, setup),
		cmocka_unit_test_setup(test_events_are_queued_again, setup),
		cmocka_unit_test_setup(test_no_error_codes_in_real_mode, setup),
		cmocka_unit_test_setup(test_interrupted_virtual_delivery, setup),
		cmocka_unit_test_setup(test_flush, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
