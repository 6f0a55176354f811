/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's CPUID on a processor that has everything, and on poorer ones. */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

static struct vcpu *vcpu;

static int setup(void **state)
{
	fixture_start(3);
	vcpu = fixture_vm->vcpu[0];
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

static struct cpuid_entry ask(u32 leaf, u32 subleaf)
{
	return *vcpu_cpuid_find(&vcpu->cpuid, leaf, subleaf);
}

static void expect(u32 leaf, u32 subleaf, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	struct cpuid_entry e = ask(leaf, subleaf);

	assert_int_equal(e.eax, eax);
	assert_int_equal(e.ebx, ebx);
	assert_int_equal(e.ecx, ecx);
	assert_int_equal(e.edx, edx);
}

/* The processor has changed: ask it anew. */
static void rebuild(void)
{
	vcpu_cpuid_init(vcpu);
}

static void test_hidden(void **state)
{
	/* DTES64 MONITOR DS-CPL VMX SMX EST TM2 CNXT SDBG xTPR PDCM bit16 DCA */
	const u32 ecx1 = 0x0005cdfc & ~(u32)(BIT(9) | BIT(12) | BIT(13));
	/* MCE MTRR MCA PSN DS ACPI IA64 TM PBE */
	const u32 edx1 = 0xe0645080;
	/* TSC_ADJUST SGX HLE RTM PQM MPX PQE PT AVX512PF AVX512ER */
	const u32 ebx7 = 0x0e00d816;
	/* WAITPKG CET TME LA57 MAWAU KL BUS-LOCK CLDEMOTE ENQCMD SGX-LC PKS */
	const u32 ecx7 = 0xe33f20a0 | 0x80000000;

	assert_int_equal(ask(1, 0).ecx & ecx1, 0);
	assert_int_equal(ask(1, 0).edx & edx1, 0);
	assert_int_equal(ask(7, 0).ebx & ebx7, 0);
	assert_int_equal(ask(7, 0).ecx & ecx7, 0);
	assert_int_equal(ask(7, 0).edx, BIT(4)); /* fast short REP MOV, no speculation control */
	assert_int_equal(ask(0xd, 1).eax, 7);	 /* no XSAVES */
	expect(0xd, 8, 0, 0, 0, 0);		 /* supervisor state */
	expect(0x80000001, 0, 0, 0, 0x121, 0x2c100800);
	expect(0x80000007, 0, 0, 0, 0, BIT(8));
	for (u32 leaf = 3; leaf < 0xd; leaf++)
		if (leaf != 4 && leaf != 7 && leaf != 0xb)
			expect(leaf, 0, 0, 0, 0, 0); /* MONITOR, thermal, DCA, PMU */
}

static void test_shown(void **state)
{
	assert_int_equal(ask(0, 0).eax, 0xd);
	assert_int_equal(ask(0, 0).ebx, 0x756e6547);
	assert_int_equal(ask(1, 0).eax, 0x306c3);
	assert_int_equal(ask(1, 0).ebx & 0xff00, 0x800); /* CLFLUSH */
	assert_true(ask(1, 0).ecx & BIT(21));		 /* x2APIC */
	assert_true(ask(1, 0).ecx & BIT(24));		 /* TSC-deadline */
	assert_true(ask(1, 0).ecx & BIT(31));		 /* a guest */
	assert_true(ask(1, 0).edx & BIT(9));		 /* APIC */
	expect(2, 0, 0x76036301, 0x00f0b6ff, 0, 0x00c10000);
	expect(0x80000000, 0, 0x80000008, 0, 0, 0);
	expect(0x80000008, 0, 0x3928, 0, 0, 0);
	expect(0x80000003, 0, ~0u, ~0u, ~0u, ~0u); /* the brand string is passed on */
}

/* Of the local APIC: as the VMM says, and as the guest has it in IA32_APIC_BASE. */
static void test_apic(void **state)
{
	fixture_vm->no_x2apic = true;
	rebuild();
	assert_false(ask(1, 0).ecx & BIT(21));
	assert_true(ask(1, 0).ecx & BIT(24));
	assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP), 0);
	assert_false(ask(1, 0).edx & BIT(9));
	assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_EN), 0);
	assert_true(ask(1, 0).edx & BIT(9));
}

/* What the processor lacks is not invented. */
static void test_not_invented(void **state)
{
	fake_machine.max_basic = 6;
	rebuild();
	assert_int_equal(ask(0, 0).eax, 6);
	assert_int_equal(vcpu->cr4_may & (CR4_SMEP | CR4_SMAP | CR4_UMIP | CR4_PKE | CR4_FSGSBASE),
			 0);
	fake_machine.max_basic = 0x16;
	fake_vmx.rdtscp = fake_vmx.invpcid = false;
	rebuild();
	assert_int_equal(ask(0x80000001, 0).edx & BIT(27), 0); /* RDTSCP */
	assert_int_equal(ask(7, 0).ecx & BIT(22), 0);	       /* RDPID */
	assert_int_equal(ask(7, 0).ebx & BIT(10), 0);	       /* INVPCID */
}

static void test_without_xsave(void **state)
{
	fake_machine.xcr0_mask = 0;
	rebuild();
	/* XSAVE, and AVX FMA F16C that nobody could switch on */
	assert_int_equal(ask(1, 0).ecx & (BIT(26) | BIT(27) | BIT(28) | BIT(12) | BIT(29)), 0);
	assert_int_equal(vcpu->cr4_may & CR4_OSXSAVE, 0);
	for (u32 subleaf = 0; subleaf < 4; subleaf++)
		expect(0xd, subleaf, 0, 0, 0, 0);
}

static void test_identity(void **state)
{
	for (u32 i = 0; i < 3; i++) {
		vcpu = fixture_vm->vcpu[i];
		assert_int_equal(ask(1, 0).ebx >> 24, i);
		assert_int_equal((ask(1, 0).ebx >> 16) & 0xff, VM_MAX_VCPUS);
		assert_true(ask(1, 0).edx & BIT(28)); /* HTT: the number above counts */
		assert_int_equal(ask(0xb, 0).edx, i);
		assert_int_equal(ask(0xb, 1).edx, i);
	}
}

/* One thread a core; the core level spans all ids; above it nothing, but ECX and the id stay. */
static void test_topology(void **state)
{
	vcpu = fixture_vm->vcpu[2];
	expect(0xb, 0, 0, 1, 0x100, 2);
	expect(0xb, 1, 6, VM_MAX_VCPUS, 0x201, 2);
	expect(0xb, 2, 0, 0, 2, 2);
	expect(0xb, 0x12345, 0, 0, 0x45, 2);
	expect(0xb, 1, 6, VM_MAX_VCPUS, 0x201, 2);
}

/* Caches of one vCPU's own in a package with room for VM_MAX_VCPUS cores. */
static void test_caches(void **state)
{
	const u32 cores = (VM_MAX_VCPUS - 1u) << 26;

	expect(4, 0, 0x121 | cores, 0x01c0003f, 0x3f, 0);
	expect(4, 1, 0x122 | cores, 0x01c0003f, 0x3f, 0);
	expect(4, 3, 0x163 | cores, 0x02c0003f, 0x1fff, 6);
	expect(4, 4, 0, 0, 0, 0);
	expect(4, ~0u, 0, 0, 0, 0);
}

static void test_subleaves(void **state)
{
	assert_int_equal(ask(7, 0).eax, 0); /* no subleaf beyond 0 */
	expect(7, 1, 0, 0, 0, 0);
	expect(7, ~0u, 0, 0, 0, 0);
	expect(0xd, 2, 256, 576, 0, 0);
	expect(0xd, 6, 512, 1152, 2, 0);
	expect(0xd, 3, 0, 0, 0, 0); /* the host's alone */
	expect(0xd, 62, 0, 0, 0, 0);
	/* Elsewhere ECX does not count. */
	assert_int_equal(ask(1, 77).eax, 0x306c3);
	assert_int_equal(ask(0x80000008, 77).eax, 0x3928);
}

/* Beyond the last leaf of its range an answer is that of the highest basic leaf. */
static void expect_highest(u32 highest)
{
	static const u32 beyond[] = { 0xe,	  0xf,	      0x10,	  0x14,	      0x1f,
				      0x20,	  0x3fffffff, 0x40000002, 0x400000ff, 0x7fffffff,
				      0x80000009, 0x8000001e, 0xc0000000, ~0u };

	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++)
		for (u32 subleaf = 0; subleaf < 4; subleaf++) {
			struct cpuid_entry e = ask(highest, subleaf);

			expect(beyond[i], subleaf, e.eax, e.ebx, e.ecx, e.edx);
		}
}

static void test_beyond(void **state)
{
	expect_highest(0xd);
	for (u32 highest = 1; highest < 0xd; highest++) {
		fake_machine.max_basic = highest;
		rebuild();
		assert_int_equal(ask(0, 0).eax, highest);
		expect_highest(highest);
		for (u32 leaf = highest + 1; leaf <= 0xd; leaf++)
			assert_memory_equal(vcpu_cpuid_find(&vcpu->cpuid, leaf, 0),
					    vcpu_cpuid_find(&vcpu->cpuid, highest, 0),
					    sizeof(struct cpuid_entry));
	}
}

static void test_few_extended(void **state)
{
	struct cpuid_entry e;

	fake_machine.max_extended = 0x80000004;
	rebuild();
	expect(0x80000000, 0, 0x80000004, 0, 0, 0);
	expect(0x80000004, 0, ~0u, ~0u, ~0u, ~0u);
	e = ask(0xd, 0);
	expect(0x80000005, 0, e.eax, e.ebx, e.ecx, e.edx);
	expect(0x80000008, 0, e.eax, e.ebx, e.ecx, e.edx);
}

static void test_hypervisor(void **state)
{
	struct cpuid_entry e = ask(CPUID_HYPERVISOR, 0);

	assert_int_equal(e.eax, CPUID_HYPERVISOR + 1);
	assert_memory_equal(&e.ebx, "StillpointHV", 12);
	expect(CPUID_HYPERVISOR + 1, 0, 1000000, 0, 0, 0); /* kHz */
}

static void test_os_bits(void **state)
{
	assert_int_equal(ask(1, 0).ecx & BIT(27), 0);
	assert_int_equal(ask(7, 0).ecx & BIT(4), 0);
	vcpu_cpuid_update(vcpu, CR4_OSXSAVE);
	assert_true(ask(1, 0).ecx & BIT(27));
	assert_int_equal(ask(7, 0).ecx & BIT(4), 0);
	vcpu_cpuid_update(vcpu, CR4_PKE);
	assert_int_equal(ask(1, 0).ecx & BIT(27), 0);
	assert_true(ask(7, 0).ecx & BIT(4));
	vcpu_cpuid_update(vcpu, 0);
	assert_int_equal(ask(7, 0).ecx & BIT(4), 0);
}

static void test_xstate_sizes(void **state)
{
	expect(0xd, 0, 0x2e7, 576, 2696, 0);
	vcpu_cpuid_update(vcpu, CR4_OSXSAVE);
	expect(0xd, 0, 0x2e7, 576, 2696, 0);
	vmx_set_xcr0(&vcpu->vmx, 7);
	vcpu_cpuid_update(vcpu, CR4_OSXSAVE);
	expect(0xd, 0, 0x2e7, 832, 2696, 0);
	expect(0xd, 1, 7, 832, 0, 0);
	vmx_set_xcr0(&vcpu->vmx, 0xe7);
	vcpu_cpuid_update(vcpu, CR4_OSXSAVE);
	expect(0xd, 0, 0x2e7, 2688, 2696, 0);
	fake_machine.xcr0_mask = 7;
	rebuild();
	expect(0xd, 0, 7, 576, 832, 0);
	expect(0xd, 5, 0, 0, 0, 0);
	/* With all that the host has the total is the host's, even where a leaf is empty. */
	fake_machine.xcr0_mask = fake_machine.host_xcr0 = 0x2e7;
	fake_machine.no_pkru_leaf = true;
	rebuild();
	expect(0xd, 0, 0x2e7, 576, 2696, 0);
}

static void test_cr4(void **state)
{
	const u64 all = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE |
			CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE |
			CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE;

	assert_int_equal(vcpu->cr4_may, all); /* no MCE, VMXE, SMXE, LA57, CET */
}

/* After INIT the operating-system bits are gone with CR4. */
static void test_reset(void **state)
{
	vcpu_cpuid_update(vcpu, CR4_OSXSAVE | CR4_PKE);
	vcpu_reset(vcpu, -1);
	assert_int_equal(ask(1, 0).ecx & BIT(27), 0);
	assert_int_equal(ask(7, 0).ecx & BIT(4), 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hidden),	 TEST(test_shown),	   TEST(test_apic),
		TEST(test_not_invented), TEST(test_without_xsave), TEST(test_identity),
		TEST(test_topology),	 TEST(test_caches),	   TEST(test_subleaves),
		TEST(test_beyond),	 TEST(test_few_extended),  TEST(test_hypervisor),
		TEST(test_os_bits),	 TEST(test_xstate_sizes),  TEST(test_cr4),
		TEST(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
