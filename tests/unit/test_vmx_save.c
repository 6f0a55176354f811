/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's state out of one VMCS and into another: every bit of it arrives, or is refused; and what
 * is accepted the entry checks have nothing against.
 */
/* link: vmx/save_check.c vmx/save_plain.c vmx/caps.c vmx/control_names.c vmx/vmcs_fields.c */
/* link: vmx/check.c vmx/check_controls.c vmx/check_event.c vmx/check_host.c vmx/check_guest.c */
/* link: vmx/check_segments.c vmx/check_nonregister.c */
/* link: tests/unit/cpu_models.c tests/unit/legal_vmcs.c */
/* link: hv/host/print.c hv/host/string.c hv/host/random.c tests/unit/fake_host.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/irq.h"
#include "hv/host/machine.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "tests/unit/cpu_models.h"
#include "tests/unit/legal_vmcs.h"
#include "vmx/vmcs.h"

static u64 read_field(u32 field);
static void write_field(u32 field, u64 v);
#define vmcs_read  read_field
#define vmcs_write write_field
#undef skip /* cmocka's */
#include "vmx/event.c"
#include "vmx/save.c"
#include "vmx/skip.c"
#include "vmx/state.c"

#define ALL_CR4	  (~0ull)
#define DR6_RESET 0xffff0ff0ull
#define LEGACY	  576 /* bytes of extended state with nothing in use but SSE */

struct vmx_caps vmx_caps;
struct vmx_config vmx_config;

static struct fake_vmcs vmcs;
static struct vmx_vcpu v;
static struct vmx_state lazy; /* what vmx/lazy.c would keep of it */
static unsigned int flushes;

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
}

/* --- the neighbours --------------------------------------------------------------------------- */

static void copy_lazy(struct vmx_state *to, const struct vmx_state *from)
{
	memcpy(to->dr, from->dr, sizeof(to->dr));
	to->dr6 = from->dr6;
	to->cr2 = from->cr2;
	memcpy(&to->star, &from->star, 6 * sizeof(u64));
	to->xcr0 = from->xcr0;
	to->xstate_bytes = from->xstate_bytes;
	memcpy(to->xstate, from->xstate, from->xstate_bytes);
}

int vmx_lazy_export(struct vmx_vcpu *vcpu, struct vmx_state *s)
{
	copy_lazy(s, &lazy);
	return 0;
}

void vmx_lazy_import(struct vmx_vcpu *vcpu, const struct vmx_state *s)
{
	copy_lazy(&lazy, s);
}

void vmx_flush_guest(struct vmx_vcpu *vcpu)
{
	flushes++;
}

void nmi_iret(void)
{
}

void vmx_make_launchable(struct vmx_vcpu *vcpu, void (*launch)(void))
{
	vcpu->enter = launch;
}

void vmx_launch_restored(void)
{
}

bool vmx_apic_requested(void)
{
	return false;
}

enum machine machine_kind(void)
{
	return MACHINE_UNKNOWN;
}

/* --- fixture ---------------------------------------------------------------------------------- */

static u32 control(u32 field)
{
	return (u32)*fake_field(&vmcs, field);
}

static void start(enum guest_kind kind)
{
	u64 sse = BIT(1);

	vmx_caps = cpu_model_caps(&cpu_skylake);
	legal_vmcs(&vmcs, &vmx_caps, kind);
	vmx_config = (struct vmx_config){
		.pin = control(PIN_BASED_VM_EXEC_CONTROL),
		.cpu = control(CPU_BASED_VM_EXEC_CONTROL),
		.cpu2 = control(SECONDARY_VM_EXEC_CONTROL),
		.exit = control(VM_EXIT_CONTROLS),
		.entry = control(VM_ENTRY_CONTROLS) & ~(u32)ENTRY_IA32E_GUEST,
		.xcr0_mask = 0x2e7,
		.xstate_end = { [2] = 832, [5] = 1152, [6] = 1664, [7] = 2688, [9] = 2696 },
		.rdtscp = true,
	};
	*fake_field(&vmcs, CR0_GUEST_HOST_MASK) = CR0_NE | CR0_NW | CR0_CD;
	*fake_field(&vmcs, CR0_READ_SHADOW) = CR0_NE;
	*fake_field(&vmcs, CR4_GUEST_HOST_MASK) = CR4_VMXE;
	*fake_field(&vmcs, GUEST_IA32_DEBUGCTL) = 0;
	lazy = (struct vmx_state){ .dr6 = DR6_RESET, .xcr0 = 7, .xstate_bytes = LEGACY };
	memcpy(lazy.xstate + 512, &sse, sizeof(sse));
	v = (struct vmx_vcpu){ .cpu_controls = vmx_config.cpu };
	flushes = 0;
}

static void report(void *arg, const char *rule, const char *field, u64 value)
{
	print_message("%s: %s = %#llx\n", rule, field, (unsigned long long)value);
}

static unsigned int violations(void)
{
	const struct vmcs_reader r = fake_reader(&vmcs, true);

	return vmcs_check(&vmx_caps, &r, AREA_GUEST | AREA_EVENT, report, NULL);
}

static bool may_restore(const struct vmx_state *s)
{
	char why[112] = "";
	bool may = vmx_may_restore(s, ALL_CR4, why, sizeof(why));

	if (!may == !why[0])
		fail_msg("%s for the reason \"%s\"", may ? "accepted" : "refused", why);
	return may;
}

/* Into another VMCS and out again. */
static void journey(const struct vmx_state *s, struct vmx_state *out)
{
	const struct fake_vmcs was = vmcs;
	const struct vmx_state lazy_was = lazy;

	vmx_restore(&v, s);
	assert_int_equal(violations(), 0);
	memset(out, 0, sizeof(*out));
	assert_int_equal(vmx_save(&v, out), 0);
	vmcs = was;
	lazy = lazy_was;
}

/* --- every bit ---------------------------------------------------------------------------------
 */

/* The words of the state of which at least one bit could be changed, and arrived. */
static void flip_all(enum guest_kind kind, bool *moved)
{
	struct vmx_state s = { 0 }, back;
	size_t end = offsetof(struct vmx_state, xstate) + LEGACY;

	start(kind);
	assert_int_equal(vmx_save(&v, &s), 0);
	assert_true(may_restore(&s));
	for (size_t i = 0; i < end * 8; i++) {
		u8 *byte = (u8 *)&s + i / 8, bit = (u8)(1 << i % 8);

		*byte ^= bit;
		if (may_restore(&s)) {
			journey(&s, &back);
			if (memcmp(&s, &back, end) != 0)
				fail_msg("kind %u: bit %zu of byte %zu does not arrive", kind,
					 i % 8, i / 8);
			moved[i / 8] = true;
		}
		*byte ^= bit;
	}
}

static bool any(const bool *moved, size_t from, size_t size)
{
	for (size_t i = from; i < from + size; i++)
		if (moved[i])
			return true;
	return false;
}

static void test_every_bit(void **state)
{
	static const size_t given[] = {
		/* One bit does not make another one of these. */
		offsetof(struct vmx_state, event_error),
		offsetof(struct vmx_state, event_len),
		offsetof(struct vmx_state, event),
		offsetof(struct vmx_state, xstate_bytes),
	};
	static bool moved[sizeof(struct vmx_state)];

	for (enum guest_kind kind = GUEST_64; kind < NR_GUEST_KINDS; kind++)
		flip_all(kind, moved);
	for (size_t at = 0; at < offsetof(struct vmx_state, xstate);) {
		bool word = at < offsetof(struct vmx_state, limit) ||
			    at >= offsetof(struct vmx_state, xcr0);
		bool half = at >= offsetof(struct vmx_state, selector) &&
			    at < offsetof(struct vmx_state, sysenter_cs);
		size_t size = word ? 8 : half ? 2 : 4;
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(given); i++)
			known |= given[i] == at;
		if (!known && !any(moved, at, size))
			fail_msg("nothing of the member at %zu could be changed", at);
		at += size;
	}
	assert_true(any(moved, offsetof(struct vmx_state, xstate) + 160, 256));
}

/* Several bits at once, most of them refused: what is accepted is always legal. */
static void test_random(void **state)
{
	struct vmx_state s, back;
	unsigned int accepted = 0;
	struct rng rng;

	rng_init(&rng, 1, 1);
	for (unsigned int round = 0; round < 60000; round++) {
		if (round % 1000 == 0)
			start(round / 1000 % NR_GUEST_KINDS);
		memset(&s, 0, sizeof(s));
		vmx_save(&v, &s);
		for (u64 n = 1 + rng_below(&rng, 4); n; n--) {
			u64 bit = rng_below(&rng, offsetof(struct vmx_state, xstate) * 8);

			((u8 *)&s)[bit / 8] ^= (u8)(1u << bit % 8);
		}
		if (!may_restore(&s))
			continue;
		accepted++;
		journey(&s, &back);
		assert_memory_equal(&s, &back, offsetof(struct vmx_state, xstate));
	}
	assert_in_range(accepted, 1000, 59000);
}

/* --- what bits alone do not reach ---------------------------------------------------------------
 */

static void expect_refused(const struct vmx_state *s, const char *part)
{
	char why[112] = "";

	assert_false(vmx_may_restore(s, ALL_CR4, why, sizeof(why)));
	if (!strstr(why, part))
		fail_msg("refused for \"%s\", not for \"%s\"", why, part);
}

static struct vmx_state saved(enum guest_kind kind)
{
	struct vmx_state s = { 0 };

	start(kind);
	assert_int_equal(vmx_save(&v, &s), 0);
	return s;
}

static void test_events(void **state)
{
	static const struct {
		u32 event, error, len;
		const char *refused;
	} cases[] = {
		{ 0x80000091, 0, 0, NULL },
		{ 0x80000b0e, 0x7, 0, NULL },
		{ 0x80000b0d, 0xabc8, 0, NULL },
		{ 0x80000202, 0, 0, NULL },
		{ 0x80000603, 0, 1, NULL },
		{ 0x80000480, 0, 2, NULL },
		{ 0x00000091, 0, 0, "none" },
		{ 0x80000091, 5, 0, "error code" },
		{ 0x80000091, 0, 2, "length" },
		{ 0x80000702, 0, 0, "type" },
		{ 0x80000603, 0, 16, "at most 15" },
		{ 0x8000030e, 0, 0, "must have an error code" },
		{ 0x80000203, 0, 0, "vector 2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vmx_state s = saved(GUEST_64), back;

		s.rflags |= RFLAGS_IF;
		s.event = cases[i].event;
		s.event_error = cases[i].error;
		s.event_len = cases[i].len;
		if (cases[i].refused) {
			expect_refused(&s, cases[i].refused);
			continue;
		}
		assert_true(may_restore(&s));
		journey(&s, &back);
		assert_memory_equal(&s, &back, offsetof(struct vmx_state, xstate));
	}
}

static void test_xstate(void **state)
{
	struct vmx_state s = saved(GUEST_64);
	u64 used = 0x2e7;
	u8 *header = s.xstate + 512;

	memcpy(header, &used, sizeof(used));
	expect_refused(&s, "layout");
	s.xstate_bytes = 2696;
	assert_true(may_restore(&s));
	s.xstate_bytes = 2697;
	expect_refused(&s, "size");
	s.xstate_bytes = 2696;
	used |= BIT(3);
	memcpy(header, &used, sizeof(used));
	expect_refused(&s, "does not have");
	used = 2;
	s.xstate_bytes = LEGACY;
	memcpy(header, &used, sizeof(used));
	header[15] = 0x80; /* compacted */
	expect_refused(&s, "format");
	header[15] = 0;
	s.xstate[27] = 1;
	expect_refused(&s, "MXCSR");
}

static void test_refused(void **state)
{
	struct vmx_state s = saved(GUEST_64);
	char why[112];

	s.cr4 |= CR4_SMEP;
	assert_true(vmx_may_restore(&s, s.cr4, why, sizeof(why)));
	assert_false(vmx_may_restore(&s, s.cr4 & ~CR4_SMEP, why, sizeof(why)));
	s = saved(GUEST_64);
	s.rip = 0x1000000000000ull;
	s.lstar = s.rip;
	expect_refused(&s, "LSTAR");
	s.lstar = 0;
	expect_refused(&s, "GUEST_RIP");
	s = saved(GUEST_FLAT_32);
	s.pdpte[0] = 1;
	expect_refused(&s, "PDPTE");
	s = saved(GUEST_PAE);
	s.pdpte[3] |= 0x1e0;
	expect_refused(&s, "PDPTE");
	s = saved(GUEST_64);
	vmx_config.rdtscp = false;
	s.tsc_aux = 1;
	expect_refused(&s, "TSC_AUX");
}

/* Nothing is left of a window, of a single step known of, or of what the TLB has. */
static void test_rest(void **state)
{
	struct vmx_state s = saved(GUEST_64);

	v.requested = true;
	vmx_set_windows(&v, true, true);
	vmx_restore(&v, &s);
	assert_false(v.requested);
	assert_false(v.cpu_controls & (CPU_NMI_WINDOW | CPU_INTR_WINDOW));
	assert_true(v.stepping);
	assert_true(v.careful);
	assert_int_equal(flushes, 1);
}

/* A shadow that an instruction that exited has left behind is not one of the guest's. One that has
 * come with a state is, whatever the last exit here was. */
static void test_shadow(void **state)
{
	struct vmx_state s = saved(GUEST_64), back = { 0 };

	*fake_field(&vmcs, GUEST_RFLAGS) |= RFLAGS_IF;
	*fake_field(&vmcs, GUEST_INTERRUPTIBILITY_INFO) = BLOCKING_STI;
	*fake_field(&vmcs, VM_EXIT_REASON) = EXIT_REASON_EPT_VIOLATION;
	assert_int_equal(vmx_save(&v, &s), 0);
	assert_int_equal(s.blocking, BLOCKING_STI);
	*fake_field(&vmcs, VM_EXIT_REASON) = EXIT_REASON_CPUID;
	assert_int_equal(vmx_save(&v, &back), 0);
	assert_int_equal(back.blocking, 0);
	vmx_restore(&v, &s);
	assert_false(vmx_can_inject_intr(&v));
	assert_int_equal(vmx_save(&v, &back), 0);
	assert_int_equal(back.blocking, BLOCKING_STI);
}

/* Stepped over at the end of 4 GiB. */
static void test_wrapped(void **state)
{
	struct vmx_state s = saved(GUEST_FLAT_32);

	*fake_field(&vmcs, GUEST_RIP) = 0x100000002ull;
	assert_int_equal(vmx_save(&v, &s), 0);
	assert_int_equal(s.rip, 2);
	assert_true(may_restore(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit), cmocka_unit_test(test_random),
		cmocka_unit_test(test_events),	  cmocka_unit_test(test_xstate),
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_rest),
		cmocka_unit_test(test_shadow),	  cmocka_unit_test(test_wrapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
