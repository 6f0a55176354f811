/* SPDX-License-Identifier: GPL-2.0-only */
/* XCR0: the values it takes, the ones it refuses, and what changes with it. */
#include "guest/fpu.h"
#include "guest/rt/check.h"
#include "guest/rt/platform.h"
#include "guest/rt/trap.h"
#include "hv/host/x86.h"

#define LEGACY_SIZE 576 /* bytes XSAVE needs for x87 and SSE */

u64 xcr0_supported(void)
{
	struct cpuid_regs r = cpuid(LEAF_XSAVE, 0);

	return (u64)r.edx << 32 | r.eax;
}

struct xcr_write {
	u32 index;
	u64 value;
};

static void do_xsetbv(void *arg)
{
	struct xcr_write *w = arg;

	xsetbv(w->index, w->value);
}

static void do_xgetbv(void *arg)
{
	xgetbv(0);
}

static void do_avx(void *arg)
{
	__asm__ volatile("vxorps %ymm0, %ymm0, %ymm0");
}

static void check_valid(const char *what, u64 value)
{
	struct xcr_write w = { 0, value };
	int vector = try_call(do_xsetbv, &w, NULL);

	ktap_result(vector == NO_FAULT && xgetbv(0) == value, "XCR0 takes %s", what);
	if (vector != NO_FAULT)
		ktap_note("%#llx gave %s", (unsigned long long)value, trap_name(vector));
}

static void check_invalid(const char *what, u32 index, u64 value)
{
	struct xcr_write w = { index, value };
	u64 before = xgetbv(0);
	struct fault f;

	try_call(do_xsetbv, &w, &f);
	ktap_result(f.vector == EXC_GP && f.error == 0 && xgetbv(0) == before, "XSETBV refuses %s",
		    what);
	if (f.vector != EXC_GP)
		ktap_note("%#llx gave %s", (unsigned long long)value, trap_name(f.vector));
	xsetbv(0, before);
}

static void check_values(u64 supported)
{
	check_valid("x87 alone", XCR0_X87);
	check_valid("x87 and SSE", XCR0_X87 | XCR0_SSE);
	if (supported & XCR0_AVX)
		check_valid("x87, SSE and AVX", XCR0_X87 | XCR0_SSE | XCR0_AVX);
	check_valid("all that CPUID shows", supported);

	check_invalid("zero", 0, 0);
	check_invalid("SSE without x87", 0, XCR0_SSE);
	check_invalid("bit 63", 0, XCR0_X87 | BIT(63));
	for (unsigned int bit = 2; bit < 63; bit++) {
		if (!(supported & BIT(bit))) {
			check_invalid("the lowest bit that CPUID does not show", 0,
				      XCR0_X87 | XCR0_SSE | BIT(bit));
			break;
		}
	}
	if (supported & XCR0_AVX)
		check_invalid("AVX without SSE", 0, XCR0_X87 | XCR0_AVX);
	if (supported & XCR0_BNDREGS)
		check_invalid("half of MPX", 0, XCR0_X87 | XCR0_BNDREGS);
	if (supported & XCR0_OPMASK) {
		check_invalid("a part of AVX-512", 0, XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK);
		check_invalid("AVX-512 without AVX", 0, XCR0_X87 | XCR0_SSE | XCR0_AVX512);
	}
	check_invalid("a register other than XCR0", 1, XCR0_X87);
}

/* CPUID tells how many bytes XSAVE needs for what XCR0 has now: the guest's XCR0, not the host's.
 */
static void check_cpuid_size(u64 supported)
{
	u32 small, large, most;

	xsetbv(0, XCR0_X87 | XCR0_SSE);
	small = cpuid(LEAF_XSAVE, 0).ebx;
	xsetbv(0, supported);
	large = cpuid(LEAF_XSAVE, 0).ebx;
	most = cpuid(LEAF_XSAVE, 0).ecx;
	ktap_result(small == LEGACY_SIZE && large == most,
		    "CPUID's size of the XSAVE area follows XCR0");
	ktap_note("x87 and SSE: %u, everything: %u, at most %u", small, large, most);
}

static void check_without_osxsave(void)
{
	struct xcr_write w = { 0, xgetbv(0) };
	int get, set;

	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	get = try_call(do_xgetbv, NULL, NULL);
	set = try_call(do_xsetbv, &w, NULL);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	ktap_result(get == EXC_UD && set == EXC_UD,
		    "XGETBV and XSETBV raise UD without CR4.OSXSAVE");
	if (get != EXC_UD || set != EXC_UD)
		ktap_note("got %s and %s", trap_name(get), trap_name(set));
}

static void check_avx_needs_xcr0(void)
{
	int off, on;

	xsetbv(0, XCR0_X87 | XCR0_SSE);
	off = try_call(do_avx, NULL, NULL);
	xsetbv(0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	on = try_call(do_avx, NULL, NULL);
	ktap_result(off == EXC_UD && on == NO_FAULT, "AVX raises UD exactly while XCR0 lacks it");
	if (off != EXC_UD || on != NO_FAULT)
		ktap_note("without: %s, with: %s", trap_name(off), trap_name(on));
}

void fpu_check_xcr0(void)
{
	u64 before, supported;

	if (!platform.has_xsave) {
		ktap_skip("CPUID shows no XSAVE", "the rules of XCR0");
		return;
	}
	supported = xcr0_supported();
	before = xgetbv(0);
	check_values(supported);
	check_cpuid_size(supported);
	if (supported & XCR0_AVX)
		check_avx_needs_xcr0();
	xsetbv(0, before);
	check_without_osxsave();
}
