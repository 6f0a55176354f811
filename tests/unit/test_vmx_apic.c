/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ladder of APIC virtualization: which CPU has which rung, which controls are on in which mode,
 * which MSRs are direct, and that the entry checks have nothing against any of it.
 */
/* link: vmx/apic_rungs.c vmx/caps.c vmx/control_names.c vmx/vmcs_fields.c */
/* link: vmx/check.c vmx/check_controls.c vmx/check_event.c vmx/check_host.c vmx/check_guest.c */
/* link: vmx/check_segments.c vmx/check_nonregister.c */
/* link: tests/unit/cpu_models.c tests/unit/legal_vmcs.c */
/* link: hv/host/print.c hv/host/string.c tests/unit/fake_host.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "tests/unit/cpu_models.h"
#include "tests/unit/legal_vmcs.h"
#include "vmx/vmcs.h"

static u64 read_field(u32 field);
static void write_field(u32 field, u64 v);
#define vmcs_read  read_field
#define vmcs_write write_field
#include "vmx/apic.c"
#include "vmx/msr_bitmap.c"

#define REGS	   0x4000 /* the virtual-APIC page, in vmcs.mem */
#define BITMAPS	   0xb000 /* pages that are allocated */
#define NR_BITMAPS 2
#define VTPR	   0x80

struct vmx_caps vmx_caps;
struct vmx_config vmx_config;
u64 direct_map_base;

static struct fake_vmcs vmcs;
static struct vmx_vcpu v;
static unsigned int writes, pages, flushes, shadows_ended;
static bool no_pages;

static u64 read_field(u32 field)
{
	if (!vmcs_field_exists(&vmx_caps, field))
		fail_msg("%s is read, which this CPU does not have", vmcs_field_name(field));
	return *fake_field(&vmcs, field);
}

static void write_field(u32 field, u64 value)
{
	if (!vmcs_field_exists(&vmx_caps, field))
		fail_msg("%s is written, which this CPU does not have", vmcs_field_name(field));
	*fake_field(&vmcs, field) = value;
	writes++;
}

void *page_alloc(unsigned int order, unsigned int flags)
{
	if (no_pages || pages == NR_BITMAPS)
		return NULL;
	return vmcs.mem + BITMAPS + PAGE_SIZE * pages++;
}

void vmx_flush_translations(struct vmx_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	flushes++;
}

void vmx_end_quick_shadow(struct vmx_vcpu *vcpu)
{
	shadows_ended++;
}

/* --- machines -------------------------------------------------------------------------------- */

/* A server CPU that has these and no other controls of the ladder. */
static void use_controls(u32 cpu, u32 cpu2)
{
	const u32 ladder =
		CPU2_APIC_ACCESS | CPU2_APIC_REGISTER | CPU2_VIRT_INTR_DELIVERY | CPU2_X2APIC;

	vmx_caps = cpu_model_caps(&cpu_skylake);
	vmx_caps.ctl[CTL_CPU].may_be_1 &= ~(u32)CPU_TPR_SHADOW | cpu;
	vmx_caps.ctl[CTL_CPU2].may_be_1 &= ~ladder | cpu2;
}

static void use_rung(enum vmx_apic_rung rung)
{
	use_controls(vmx_apic_controls(CTL_CPU, rung), vmx_apic_controls(CTL_CPU2, rung));
}

/* As vmx_vcpu_init() leaves one: everything exits. */
static void make_vcpu(void)
{
	legal_vmcs(&vmcs, &vmx_caps, GUEST_64);
	*fake_field(&vmcs, CPU_BASED_VM_EXEC_CONTROL) |= CPU_CR8_LOAD | CPU_CR8_STORE;
	*fake_field(&vmcs, APIC_ACCESS_ADDR) = 0xbad;
	*fake_field(&vmcs, VIRTUAL_APIC_PAGE_ADDR) = 0xbad;
	*fake_field(&vmcs, TPR_THRESHOLD) = 0xbad;
	*fake_field(&vmcs, GUEST_INTR_STATUS) = 0xbad;
	for (u32 i = 0; i < 4; i++)
		*fake_field(&vmcs, EOI_EXIT_BITMAP0 + 2 * i) = 0xbad;
	direct_map_base = (uintptr_t)vmcs.mem - MEM_BASE;
	vmx_config = (struct vmx_config){ 0 };
	pages = 0;
	assert_int_equal(vmx_msr_bitmap_init(), 0);
	*fake_field(&vmcs, MSR_BITMAP) = vmx_config.msr_bitmap;
	v = (struct vmx_vcpu){
		.cpu_controls = (u32)*fake_field(&vmcs, CPU_BASED_VM_EXEC_CONTROL),
		.cpu2_controls = (u32)*fake_field(&vmcs, SECONDARY_VM_EXEC_CONTROL),
	};
	writes = 0;
}

static void report(void *arg, const char *rule, const char *field, u64 value)
{
	fail_msg("rung %s, mode %u: %s: %s = %#llx", vmx_apic_rung_name(v.apic_rung), v.apic_mode,
		 rule, field, (unsigned long long)value);
}

static void expect_legal(void)
{
	struct vmcs_reader r = fake_reader(&vmcs, true);

	assert_int_equal(vmcs_check(&vmx_caps, &r, AREA_ALL, report, NULL), 0);
}

static void make_apic(enum vmx_apic_rung rung)
{
	use_rung(rung);
	make_vcpu();
	vmx_apic_init(&v, rung, vmcs.mem + REGS);
}

/* --- the ladder ------------------------------------------------------------------------------ */

static void test_models(void **state)
{
	static const struct {
		const struct cpu_model *model;
		enum vmx_apic_rung best;
		const char *next; /* what it lacks for the rung above */
	} models[] = {
		{ &cpu_skylake, VMX_APIC_X2APIC, NULL },
		{ &cpu_penryn, VMX_APIC_ACCESS,
		  "APIC-register virtualization (secondary control bit 8)" },
		{ &cpu_merom, VMX_APIC_TPR, "virtualize APIC accesses (secondary control bit 0)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		vmx_caps = cpu_model_caps(models[i].model);
		assert_int_equal(vmx_apic_best(), models[i].best);
		assert_null(vmx_apic_missing(models[i].best));
		if (models[i].next)
			assert_string_equal(vmx_apic_missing(models[i].best + 1), models[i].next);
	}
}

static void test_each_rung_is_somebodys_best(void **state)
{
	static const char *const names[] = { "emulate",	 "tpr",	     "access",
					     "register", "delivery", "x2apic" };

	for (enum vmx_apic_rung r = 0; r < NR_VMX_APIC_RUNGS; r++) {
		use_rung(r);
		assert_int_equal(vmx_apic_best(), r);
		assert_string_equal(vmx_apic_rung_name(r), names[r]);
		for (enum vmx_apic_rung other = 0; other < NR_VMX_APIC_RUNGS; other++)
			assert_int_equal(!vmx_apic_missing(other), other <= r);
	}
}

/* A rung needs all below it, and what is missing is named from the bottom. */
static void test_the_ladder_has_no_gaps(void **state)
{
	use_controls(0,
		     CPU2_APIC_ACCESS | CPU2_APIC_REGISTER | CPU2_VIRT_INTR_DELIVERY | CPU2_X2APIC);
	assert_int_equal(vmx_apic_best(), VMX_APIC_EMULATE);
	assert_string_equal(vmx_apic_missing(VMX_APIC_X2APIC),
			    "use TPR shadow (primary control bit 21)");
	use_controls(CPU_TPR_SHADOW, CPU2_APIC_ACCESS | CPU2_VIRT_INTR_DELIVERY | CPU2_X2APIC);
	assert_int_equal(vmx_apic_best(), VMX_APIC_ACCESS);
	assert_string_equal(vmx_apic_missing(VMX_APIC_X2APIC),
			    "APIC-register virtualization (secondary control bit 8)");
	use_controls(CPU_TPR_SHADOW, CPU2_X2APIC);
	assert_int_equal(vmx_apic_best(), VMX_APIC_TPR);
}

/* --- controls -------------------------------------------------------------------------------- */

#define A CPU2_APIC_ACCESS
#define R CPU2_APIC_REGISTER
#define D CPU2_VIRT_INTR_DELIVERY
#define X CPU2_X2APIC

static const u32 controls[NR_VMX_APIC_RUNGS][4] = {
	/* disabled, in memory, elsewhere, MSRs */
	[VMX_APIC_EMULATE] = { 0, 0, 0, 0 },
	[VMX_APIC_TPR] = { 0, 0, 0, 0 },
	[VMX_APIC_ACCESS] = { 0, A, 0, 0 },
	[VMX_APIC_REGISTER] = { 0, A | R, 0, 0 },
	[VMX_APIC_DELIVERY] = { 0, A | R | D, D, D },
	[VMX_APIC_X2APIC] = { 0, A | R | D, D, X | R | D },
};

static void expect_mode(enum vmx_apic_rung rung, enum vmx_apic_mode mode)
{
	u64 cpu = *fake_field(&vmcs, CPU_BASED_VM_EXEC_CONTROL);
	u64 cpu2 = *fake_field(&vmcs, SECONDARY_VM_EXEC_CONTROL);
	u32 on = controls[rung][mode];

	assert_int_equal(v.apic_mode, mode);
	assert_int_equal(cpu2 & (A | R | D | X), on);
	assert_int_equal(cpu2, v.cpu2_controls);
	assert_int_equal(cpu, v.cpu_controls);
	assert_true(cpu2 & CPU2_EPT);
	assert_int_equal(!!(cpu & CPU_TPR_SHADOW), rung >= VMX_APIC_TPR);
	assert_int_equal(!!(cpu & CPU_CR8_LOAD), rung < VMX_APIC_TPR);
	assert_int_equal(!!(cpu & CPU_CR8_STORE), rung < VMX_APIC_TPR);
	assert_int_equal(vmx_apic_uses_page(&v), !!(on & A));
	assert_int_equal(vmx_apic_delivers(&v), !!(on & D));
	assert_int_equal(*fake_field(&vmcs, MSR_BITMAP),
			 on & X ? vmx_config.msr_bitmap_x2apic : vmx_config.msr_bitmap);
	expect_legal();
}

/* From every mode to every mode. */
static void test_modes(void **state)
{
	for (enum vmx_apic_rung r = 0; r < NR_VMX_APIC_RUNGS; r++) {
		make_apic(r);
		expect_mode(r, VMX_APIC_MEMORY);
		for (unsigned int from = 0; from < 4; from++) {
			for (unsigned int to = 0; to < 4; to++) {
				vmx_apic_set_mode(&v, from);
				expect_mode(r, from);
				vmx_apic_set_mode(&v, to);
				expect_mode(r, to);
			}
		}
	}
}

/* What the vCPU had on besides stays, also what was switched off for it alone. */
static void test_other_controls_are_kept(void **state)
{
	use_rung(VMX_APIC_X2APIC);
	make_vcpu();
	v.cpu_controls |= (u32)CPU_INTR_WINDOW;
	v.cpu2_controls = (v.cpu2_controls | (u32)CPU2_PML) & ~(u32)CPU2_VPID;
	vmx_apic_init(&v, VMX_APIC_X2APIC, vmcs.mem + REGS);
	vmx_apic_set_mode(&v, VMX_APIC_MSRS);
	assert_true(*fake_field(&vmcs, CPU_BASED_VM_EXEC_CONTROL) & CPU_INTR_WINDOW);
	assert_true(*fake_field(&vmcs, SECONDARY_VM_EXEC_CONTROL) & CPU2_PML);
	assert_false(*fake_field(&vmcs, SECONDARY_VM_EXEC_CONTROL) & CPU2_VPID);
}

static void test_words_are_written_when_they_change(void **state)
{
	make_apic(VMX_APIC_X2APIC);
	writes = 0;
	vmx_apic_set_mode(&v, VMX_APIC_MEMORY);
	assert_int_equal(writes, 0);
	vmx_apic_set_mode(&v, VMX_APIC_ELSEWHERE);
	assert_int_equal(writes, 1);
	vmx_apic_set_mode(&v, VMX_APIC_MSRS); /* the bitmap too */
	assert_int_equal(writes, 3);
	make_apic(VMX_APIC_TPR);
	writes = 0;
	vmx_apic_set_mode(&v, VMX_APIC_MSRS);
	assert_int_equal(writes, 0);
}

static void test_a_lower_rung_than_the_cpu_has(void **state)
{
	for (enum vmx_apic_rung r = 0; r < NR_VMX_APIC_RUNGS; r++) {
		use_rung(VMX_APIC_X2APIC);
		make_vcpu();
		vmx_apic_init(&v, r, vmcs.mem + REGS);
		for (unsigned int mode = 0; mode < 4; mode++) {
			vmx_apic_set_mode(&v, mode);
			expect_mode(r, mode);
		}
	}
}

static void test_cr8_exits_that_this_cpu_insists_on(void **state)
{
	use_rung(VMX_APIC_TPR);
	vmx_caps.ctl[CTL_CPU].must_be_1 |= (u32)CPU_CR8_STORE;
	make_vcpu();
	vmx_apic_init(&v, VMX_APIC_TPR, vmcs.mem + REGS);
	assert_false(v.cpu_controls & CPU_CR8_LOAD);
	assert_true(v.cpu_controls & CPU_CR8_STORE);
	expect_legal();
}

/* --- what the CPU is told -------------------------------------------------------------------- */

static void test_fields_after_init(void **state)
{
	make_apic(VMX_APIC_X2APIC);
	assert_int_equal(*fake_field(&vmcs, VIRTUAL_APIC_PAGE_ADDR), MEM_BASE + REGS);
	assert_int_equal(vmx_apic_get_page(&v), 0);
	assert_int_equal(*fake_field(&vmcs, TPR_THRESHOLD), 0);
	assert_int_equal(*fake_field(&vmcs, GUEST_INTR_STATUS), 0);
	for (u32 i = 0; i < 4; i++)
		assert_int_equal(*fake_field(&vmcs, EOI_EXIT_BITMAP0 + 2 * i), 0);
	assert_ptr_equal(v.apic_regs, vmcs.mem + REGS);
	vmx_apic_set_page(&v, MEM_BASE + 0x5000);
	assert_int_equal(vmx_apic_get_page(&v), MEM_BASE + 0x5000);
	vmx_apic_flush(&v);
	assert_int_equal(flushes, 1);
}

/* The CPU refuses a threshold above the TPR, but where the access page is in use. */
static void test_threshold(void **state)
{
	make_apic(VMX_APIC_REGISTER);
	vmcs.mem[REGS + VTPR] = 0x30;
	vmx_apic_set_threshold(&v, 5);
	assert_int_equal(*fake_field(&vmcs, TPR_THRESHOLD), 5);
	expect_legal();
	writes = 0;
	vmx_apic_set_threshold(&v, 5);
	assert_int_equal(writes, 0);
	vmx_apic_set_mode(&v, VMX_APIC_DISABLED);
	assert_int_equal(*fake_field(&vmcs, TPR_THRESHOLD), 0);
	expect_legal();
	vmx_apic_set_threshold(&v, 3);
	assert_int_equal(*fake_field(&vmcs, TPR_THRESHOLD), 3);
	expect_legal();
}

static void test_status(void **state)
{
	make_apic(VMX_APIC_DELIVERY);
	vmx_apic_set_requested(&v, 0x51);
	vmx_apic_set_in_service(&v, 0xf3);
	assert_int_equal(*fake_field(&vmcs, GUEST_INTR_STATUS), 0xf351);
	writes = 0;
	vmx_apic_set_requested(&v, 0x51);
	vmx_apic_set_in_service(&v, 0xf3);
	assert_int_equal(writes, 0);
	*fake_field(&vmcs, GUEST_INTR_STATUS) = 0x5100; /* by the CPU: delivered */
	vmx_apic_set_requested(&v, 0x51);
	assert_int_equal(*fake_field(&vmcs, GUEST_INTR_STATUS), 0x5151);
	vmx_apic_set_in_service(&v, 0);
	vmx_apic_set_requested(&v, 0);
	assert_int_equal(*fake_field(&vmcs, GUEST_INTR_STATUS), 0);
	expect_legal();
}

/* A shadow that vmx_skip_quickly() may have left would hold back what the CPU is to deliver. */
static void test_requested_ends_shadows(void **state)
{
	make_apic(VMX_APIC_DELIVERY);
	shadows_ended = 0;
	vmx_apic_set_requested(&v, 0x51);
	assert_int_equal(shadows_ended, 1);
	assert_true(v.careful);
	assert_true(vmx_apic_requested());
	*fake_field(&vmcs, GUEST_INTR_STATUS) = 0x5100; /* delivered */
	assert_false(vmx_apic_requested());
	vmx_apic_set_requested(&v, 0);
	assert_int_equal(shadows_ended, 1);
	assert_false(v.careful);
}

static void test_eoi_exits(void **state)
{
	static const u64 vectors[4] = { BIT(33), BIT(0), 0, BIT(63) };

	make_apic(VMX_APIC_DELIVERY);
	vmx_apic_set_eoi_exits(&v, vectors);
	assert_int_equal(*fake_field(&vmcs, EOI_EXIT_BITMAP0), vectors[0]);
	assert_int_equal(*fake_field(&vmcs, EOI_EXIT_BITMAP1), vectors[1]);
	assert_int_equal(*fake_field(&vmcs, EOI_EXIT_BITMAP2), vectors[2]);
	assert_int_equal(*fake_field(&vmcs, EOI_EXIT_BITMAP3), vectors[3]);
}

/* --- the MSR bitmaps ------------------------------------------------------------------------- */

static bool is_direct(hpa_t bitmap, u32 msr, bool write)
{
	const u8 *bits = phys_to_virt(bitmap);
	u32 n = msr & 0x1fff;

	return !(bits[(write ? 2048 : 0) + (msr >= 0xc0000000 ? 1024 : 0) + n / 8] >> n % 8 & 1);
}

/* By the SDM's table of x2APIC registers; "our" APIC has no CMCI entry. */
static bool is_x2apic_read(u32 msr)
{
	switch (msr) {
	case 0x802 ... 0x803:
	case 0x808:
	case 0x80a:
	case 0x80d:
	case 0x80f ... 0x828:
	case 0x830:
	case 0x832 ... 0x838:
	case 0x83e: return true;
	default: return false;
	}
}

static void test_x2apic_bitmap(void **state)
{
	make_apic(VMX_APIC_X2APIC);
	for (u32 i = 0; i < 0x4000; i++) {
		u32 msr = i < 0x2000 ? i : 0xc0000000 + i - 0x2000;
		hpa_t plain = vmx_config.msr_bitmap, x2apic = vmx_config.msr_bitmap_x2apic;

		if (msr >= 0x800 && msr <= 0x8ff) {
			assert_false(is_direct(plain, msr, false));
			assert_false(is_direct(plain, msr, true));
			assert_int_equal(is_direct(x2apic, msr, false), is_x2apic_read(msr));
			assert_int_equal(is_direct(x2apic, msr, true),
					 msr == 0x808 || msr == 0x80b || msr == 0x83f);
		} else {
			assert_int_equal(is_direct(x2apic, msr, false),
					 is_direct(plain, msr, false));
			assert_int_equal(is_direct(x2apic, msr, true), is_direct(plain, msr, true));
		}
	}
}

static void test_bitmap_memory(void **state)
{
	make_apic(VMX_APIC_DELIVERY);
	assert_int_equal(pages, 1); /* nobody needs the second */
	use_rung(VMX_APIC_X2APIC);
	pages = 1;
	assert_int_equal(vmx_msr_bitmap_init(), -ENOMEM);
	no_pages = true;
	assert_int_equal(vmx_msr_bitmap_init(), -ENOMEM);
	no_pages = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_each_rung_is_somebodys_best),
		cmocka_unit_test(test_the_ladder_has_no_gaps),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_other_controls_are_kept),
		cmocka_unit_test(test_words_are_written_when_they_change),
		cmocka_unit_test(test_a_lower_rung_than_the_cpu_has),
		cmocka_unit_test(test_cr8_exits_that_this_cpu_insists_on),
		cmocka_unit_test(test_fields_after_init),
		cmocka_unit_test(test_threshold),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_requested_ends_shadows),
		cmocka_unit_test(test_eoi_exits),
		cmocka_unit_test(test_x2apic_bitmap),
		cmocka_unit_test(test_bitmap_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
