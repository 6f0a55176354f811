/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions that access a local APIC by memory, carried out: registers, flags, the APIC, other
 * memory, and all that may go wrong on the way.
 */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/backing.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define APIC LAPIC_DEFAULT_BASE
#define CODE 0x1000
#define JUNK 0x1122334455667788ull

#define VERSION_VALUE 0x50014

/* Guest page tables. */
enum { PML4 = 0x8000, PDPT = 0x9000, PD_LOW = 0xa000, PD_APIC = 0xb000, PT = 0xc000 };
enum { P = 1, W = 2, U = 4, PS = 0x80 };
#define NX BIT(63)

/* Pages from 4 MiB on, in the guest's eyes: RAM, the APIC, RAM, nothing, the APIC. */
enum { VA_RAM = 0x400000, VA_APIC = 0x401000, VA_RAM2 = 0x402000, VA_NONE = 0x403000 };
enum { VA_APIC2 = 0x404000, VA_CODE = 0x406000, VA_CODE2 = 0x407000 };
enum { RAM = 0x20000, RAM2 = 0x30000, CODE_RAM = 0x40000, CODE_RAM2 = 0x50000 };

#define RFLAGS_DF BIT(10)
enum { FLAG_CF = 1, FLAG_PF = 4, FLAG_AF = 0x10, FLAG_ZF = 0x40, FLAG_SF = 0x80 };

static struct vcpu *vcpu;
static struct fake_vcpu *f;
static u64 *gpr;

/* --- the guest ------------------------------------------------------------------------------- */

static void flat(unsigned int db)
{
	for (unsigned int s = 0; s < VSEG_LDTR; s++)
		f->seg[s] = (struct vm_segment){ .limit = ~0u, .access = 0x8093 | db };
	f->seg[VSEG_CS].access = 0x809b | db;
	f->reg[REG_CR0] = CR0_PE | CR0_ET;
	f->reg[REG_EFER] = 0;
	f->reg[REG_RIP] = CODE;
}

static void mode32(void)
{
	flat(BIT(14));
}

static void mode16(void)
{
	flat(0);
}

static void map(gva_t va, u64 pte)
{
	guest_put(PT + 8 * (va >> 12 & 511), pte, 8);
}

static void mode64(void)
{
	flat(0);
	f->seg[VSEG_CS].access = 0xa09b;
	f->reg[REG_CR0] = CR0_PE | CR0_PG | CR0_WP | CR0_ET;
	f->reg[REG_CR4] = CR4_PAE;
	f->reg[REG_EFER] = EFER_LME | EFER_LMA | EFER_NXE;
	f->reg[REG_CR3] = PML4;
	guest_put(PML4, PDPT | P | W | U, 8);
	guest_put(PDPT, PD_LOW | P | W | U, 8);
	guest_put(PDPT + 8 * 3, PD_APIC | P | W | U, 8);
	guest_put(PD_LOW, P | W | PS, 8);
	guest_put(PD_LOW + 8 * 2, PT | P | W | U, 8);
	guest_put(PD_APIC + 8 * (APIC >> 21 & 511), ALIGN_DOWN(APIC, MIB(2)) | P | W | PS, 8);
	map(VA_RAM, RAM | P | W);
	map(VA_APIC, APIC | P | W);
	map(VA_RAM2, RAM2 | P | W);
	map(VA_APIC2, APIC | P | W);
	map(VA_CODE, CODE_RAM | P | W | U);
	map(VA_CODE2, CODE_RAM2 | P | W | U);
}

static int setup(void **state)
{
	static const struct fixture_apic how = { "", VMX_APIC_EMULATE, LAPIC_XAPIC };

	fixture_start_apics(2, &how);
	vcpu = fixture_vm->vcpu[0];
	f = fake_of(vcpu);
	gpr = vcpu->vmx.gpr;
	mode64();
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

#define CODE_OF(...)                                                                               \
	(const u8[])                                                                               \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static void put_code(gpa_t at, const u8 *code, unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		guest_put(at + i, code[i], 1);
}

/* The instruction at CODE accesses @gpa. Returns what the exit's handler does. */
static int execute(gpa_t gpa, const u8 *code, unsigned int len)
{
	f->reg[REG_RIP] = CODE;
	put_code(CODE, code, len);
	vcpu->vmx.exit.mem.gpa = gpa;
	return vcpu_emulate_mmio(vcpu, gpa, false);
}

static void does(gpa_t gpa, const u8 *code, unsigned int len)
{
	assert_int_equal(execute(gpa, code, len), RESUME_GUEST);
	expect_no_event(vcpu);
	assert_int_equal(f->reg[REG_RIP], CODE + len);
}

#define EXECUTE(gpa, ...) execute(gpa, CODE_OF(__VA_ARGS__), sizeof(CODE_OF(__VA_ARGS__)))
#define DOES(gpa, ...)	  does(gpa, CODE_OF(__VA_ARGS__), sizeof(CODE_OF(__VA_ARGS__)))

static u32 apic_get(u16 offset)
{
	u32 v;

	lapic_mmio_read(vcpu, offset, 4, (u8 *)&v);
	return v;
}

static void apic_set(u16 offset, u32 v)
{
	assert_int_equal(lapic_mmio_write(vcpu, offset, 4, (const u8 *)&v), 0);
}

static void expect_error(int ret, const char *what)
{
	assert_int_equal(ret, 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_ERROR);
	assert_string_equal(vcpu->run.error.what, what);
	expect_no_event(vcpu);
}

static void expect_refused(int ret)
{
	expect_error(ret, "an instruction that is not emulated accesses the APIC");
	assert_int_equal(f->reg[REG_RIP], CODE);
}

static void expect_mmio(int ret, gpa_t gpa, bool write)
{
	assert_int_equal(ret, 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_MMIO);
	assert_int_equal(vcpu->run.mmio.gpa, gpa);
	assert_int_equal(vcpu->run.mmio.write, write);
	assert_int_equal(vcpu->run.mmio.read, !write);
}

/* --- loads and stores ------------------------------------------------------------------------ */

static void test_load(void **state)
{
	static const struct {
		u8 code[4], len;
		u64 rax;
	} cases[] = {
		{ { 0x8b, 0x07 }, 2, VERSION_VALUE },			       /* mov eax, [rdi] */
		{ { 0x48, 0x8b, 0x07 }, 3, VERSION_VALUE },		       /* mov rax, [rdi] */
		{ { 0x66, 0x8b, 0x07 }, 3, (JUNK & ~0xffffull) | 0x0014 },     /* mov ax, [rdi] */
		{ { 0x8a, 0x07 }, 2, (JUNK & ~0xffull) | 0x14 },	       /* mov al, [rdi] */
		{ { 0x8a, 0x27 }, 2, (JUNK & ~0xff00ull) | 0x1400 },	       /* mov ah, [rdi] */
		{ { 0x0f, 0xb6, 0x07 }, 3, 0x14 },			       /* movzx eax, byte */
		{ { 0x66, 0x0f, 0xb6, 0x07 }, 4, (JUNK & ~0xffffull) | 0x14 }, /* movzx ax, byte */
		{ { 0x48, 0x0f, 0xb7, 0x07 }, 4, 0x14 },		       /* movzx rax, word */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		gpr[GPR_RDI] = APIC + LAPIC_VERSION;
		gpr[GPR_RAX] = JUNK;
		does(APIC + LAPIC_VERSION, cases[i].code, cases[i].len);
		assert_int_equal(gpr[GPR_RAX], cases[i].rax);
	}
}

static void test_load_sign(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_ID;
	apic_set(LAPIC_ID, 0x85000000);
	DOES(APIC + LAPIC_ID, 0x48, 0x63, 0x07); /* movsxd rax, dword */
	assert_int_equal(gpr[GPR_RAX], 0xffffffff85000000);
	gpr[GPR_RDI] += 3;
	DOES(APIC + LAPIC_ID + 3, 0x0f, 0xbe, 0x07); /* movsx eax, byte */
	assert_int_equal(gpr[GPR_RAX], 0xffffff85);
	gpr[GPR_RDI]--;
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_ID + 2, 0x48, 0x0f, 0xbf, 0x07); /* movsx rax, word */
	assert_int_equal(gpr[GPR_RAX], 0xffffffffffff8500);
	gpr[GPR_RDI]++;
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_ID + 3, 0x66, 0x0f, 0xbe, 0x07); /* movsx ax, byte */
	assert_int_equal(gpr[GPR_RAX], (JUNK & ~0xffffull) | 0xff85);
}

static void test_store(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_TPR, 0x89, 0x07); /* mov [rdi], eax */
	assert_int_equal(apic_get(LAPIC_TPR), 0x88);
	DOES(APIC + LAPIC_TPR, 0x0f, 0xc3, 0x0f); /* movnti [rdi], ecx */
	assert_int_equal(apic_get(LAPIC_TPR), 0);
	DOES(APIC + LAPIC_TPR, 0xc7, 0x07, 0x30, 0, 0, 0); /* mov dword [rdi], 0x30 */
	assert_int_equal(apic_get(LAPIC_TPR), 0x30);
	DOES(APIC + LAPIC_TPR, 0x48, 0xc7, 0x07, 0x40, 0, 0, 0); /* mov qword [rdi], 0x40 */
	assert_int_equal(apic_get(LAPIC_TPR), 0x40);
	/* A byte or a word does not write a register. */
	DOES(APIC + LAPIC_TPR, 0x88, 0x07);
	DOES(APIC + LAPIC_TPR, 0x66, 0x89, 0x07);
	DOES(APIC + LAPIC_TPR, 0x88, 0x27); /* mov [rdi], ah */
	assert_int_equal(apic_get(LAPIC_TPR), 0x40);
	/* RSP is not where the other registers are. */
	f->reg[REG_RSP] = 0x50;
	DOES(APIC + LAPIC_TPR, 0x89, 0x27); /* mov [rdi], esp */
	assert_int_equal(apic_get(LAPIC_TPR), 0x50);
}

static void test_moffs(void **state)
{
	gpr[GPR_RAX] = JUNK;
	/* mov eax, [0xfee00030]; mov [0xfee00080], eax */
	DOES(APIC + LAPIC_VERSION, 0xa1, 0x30, 0, 0xe0, 0xfe, 0, 0, 0, 0);
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	DOES(APIC + LAPIC_TPR, 0xa3, 0x80, 0, 0xe0, 0xfe, 0, 0, 0, 0);
	assert_int_equal(apic_get(LAPIC_TPR), 0x14);
	mode32();
	gpr[GPR_RAX] = 0x77;
	DOES(APIC + LAPIC_TPR, 0xa3, 0x80, 0, 0xe0, 0xfe);
	assert_int_equal(apic_get(LAPIC_TPR), 0x77);
}

static void test_vectors(void **state)
{
	static const u8 value[16] = { 0x20, 1, 2, 3, 4, 5, 6, 7, 8 };
	static const u8 version[16] = { 0x14, 0, 5 };

	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	memcpy(f->xmm[9], value, 16);
	DOES(APIC + LAPIC_TPR, 0x44, 0x0f, 0x11, 0x0f); /* movups [rdi], xmm9 */
	assert_int_equal(apic_get(LAPIC_TPR), 0x20);
	f->xmm[9][0] = 0x30;
	DOES(APIC + LAPIC_TPR, 0x66, 0x44, 0x0f, 0x7e, 0x0f); /* movd [rdi], xmm9 */
	assert_int_equal(apic_get(LAPIC_TPR), 0x30);
	gpr[GPR_RDI] = APIC + LAPIC_VERSION;
	memset(f->xmm[3], 0xcc, 16);
	DOES(APIC + LAPIC_VERSION, 0x66, 0x0f, 0x6e, 0x1f); /* movd xmm3, [rdi] */
	assert_memory_equal(f->xmm[3], version, 16);
	memset(f->xmm[3], 0xcc, 16);
	DOES(APIC + LAPIC_VERSION, 0xf3, 0x0f, 0x7e, 0x1f); /* movq xmm3, [rdi] */
	assert_memory_equal(f->xmm[3], version, 16);
	memset(f->xmm[3], 0xcc, 16);
	DOES(APIC + LAPIC_VERSION, 0x66, 0x0f, 0x6f, 0x1f); /* movdqa xmm3, [rdi] */
	assert_memory_equal(f->xmm[3], version, 16);
}

/* --- addresses ------------------------------------------------------------------------------- */

/* The page is the exit's; the place in it is what the instruction says. */
static void test_addresses(void **state)
{
	gpr[GPR_RBX] = APIC;
	gpr[GPR_RCX] = 4;
	DOES(APIC, 0x8b, 0x44, 0x8b, 0x20); /* mov eax, [rbx + 4 * rcx + 0x20] */
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	/* mov eax, [rip + ...] */
	f->reg[REG_RIP] = CODE;
	put_code(CODE, CODE_OF(0x8b, 0x05, 0x2a, 0, 0, 0), 6);
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC, false), RESUME_GUEST);
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	f->seg[VSEG_GS].base = 0x30;
	gpr[GPR_RAX] = 0;
	DOES(APIC, 0x65, 0x8b, 0x03); /* mov eax, gs:[rbx] */
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	f->seg[VSEG_DS].base = 0x555; /* does not count in 64-bit mode */
	gpr[GPR_RAX] = 0;
	DOES(APIC, 0x8b, 0x43, 0x30); /* mov eax, [rbx + 0x30] */
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	gpr[GPR_RBX] = ~0ull << 32 | APIC;
	gpr[GPR_RAX] = 0;
	DOES(APIC, 0x67, 0x8b, 0x43, 0x30); /* mov eax, [ebx + 0x30] */
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
}

static void test_addresses_16(void **state)
{
	mode16();
	f->seg[VSEG_DS].base = APIC;
	gpr[GPR_RBX] = 0xabcd0020;
	gpr[GPR_RSI] = 0x10;
	DOES(APIC, 0x66, 0x8b, 0x00); /* mov eax, [bx + si] */
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	f->seg[VSEG_DS].base = 0xfffffff0; /* linear addresses wrap at 4 GiB */
	gpr[GPR_RBX] = APIC + 0x40;
	gpr[GPR_RAX] = 0;
	DOES(APIC, 0x66, 0x67, 0x8b, 0x03); /* mov eax, [ebx] */
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
}

/* --- arithmetic ------------------------------------------------------------------------------ */

static void expect_flags(u64 set, u64 clear)
{
	assert_int_equal(f->reg[REG_RFLAGS] & (set | clear), set);
}

static void test_arithmetic(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	f->reg[REG_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	apic_set(LAPIC_TPR, 0x3f);
	DOES(APIC + LAPIC_TPR, 0x83, 0x07, 0x01); /* add dword [rdi], 1 */
	assert_int_equal(apic_get(LAPIC_TPR), 0x40);
	expect_flags(FLAG_AF | RFLAGS_IF | RFLAGS_FIXED, FLAG_ZF | FLAG_CF | FLAG_PF);
	DOES(APIC + LAPIC_TPR, 0x81, 0x3f, 0x40, 0, 0, 0); /* cmp dword [rdi], 0x40 */
	assert_int_equal(apic_get(LAPIC_TPR), 0x40);
	expect_flags(FLAG_ZF | FLAG_PF, FLAG_CF);
	gpr[GPR_RAX] = ~0ull << 32 | 0x10;
	DOES(APIC + LAPIC_TPR, 0x2b, 0x07); /* sub eax, [rdi] */
	assert_int_equal(gpr[GPR_RAX], 0xffffffd0);
	expect_flags(FLAG_CF | FLAG_SF, FLAG_ZF);
	DOES(APIC + LAPIC_TPR, 0x3b, 0x07); /* cmp eax, [rdi] */
	assert_int_equal(gpr[GPR_RAX], 0xffffffd0);
	gpr[GPR_RAX] = 0x3;
	DOES(APIC + LAPIC_TPR, 0x09, 0x07); /* or [rdi], eax */
	assert_int_equal(apic_get(LAPIC_TPR), 0x43);
	DOES(APIC + LAPIC_TPR, 0x85, 0x07); /* test [rdi], eax */
	expect_flags(FLAG_PF, FLAG_ZF | FLAG_CF);
	DOES(APIC + LAPIC_TPR, 0xf7, 0x07, 0x04, 0, 0, 0); /* test dword [rdi], 4 */
	expect_flags(FLAG_ZF, FLAG_CF);
	DOES(APIC + LAPIC_TPR, 0xf0, 0xff, 0x07); /* lock inc dword [rdi] */
	assert_int_equal(apic_get(LAPIC_TPR), 0x44);
	DOES(APIC + LAPIC_TPR, 0xff, 0x0f); /* dec dword [rdi] */
	DOES(APIC + LAPIC_TPR, 0xf7, 0x17); /* not dword [rdi] */
	assert_int_equal(apic_get(LAPIC_TPR), 0xbc);
	DOES(APIC + LAPIC_TPR, 0xf7, 0x1f); /* neg dword [rdi] */
	assert_int_equal(apic_get(LAPIC_TPR), 0x44);
	expect_flags(FLAG_CF, FLAG_ZF);
}

static void test_exchange(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RAX] = JUNK;
	f->reg[REG_RFLAGS] = RFLAGS_FIXED | FLAG_ZF;
	apic_set(LAPIC_TPR, 0x30);
	DOES(APIC + LAPIC_TPR, 0x87, 0x07); /* xchg [rdi], eax */
	assert_int_equal(apic_get(LAPIC_TPR), 0x88);
	assert_int_equal(gpr[GPR_RAX], 0x30);
	assert_int_equal(f->reg[REG_RFLAGS], RFLAGS_FIXED | FLAG_ZF);
}

/* --- strings --------------------------------------------------------------------------------- */

static void test_stos(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RAX] = 0x60;
	DOES(APIC + LAPIC_TPR, 0xab); /* stosd */
	assert_int_equal(apic_get(LAPIC_TPR), 0x60);
	assert_int_equal(gpr[GPR_RDI], APIC + LAPIC_TPR + 4);
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	f->reg[REG_RFLAGS] |= RFLAGS_DF;
	gpr[GPR_RAX] = 0x50;
	DOES(APIC + LAPIC_TPR, 0x48, 0xab); /* stosq */
	assert_int_equal(apic_get(LAPIC_TPR), 0x50);
	assert_int_equal(gpr[GPR_RDI], APIC + LAPIC_TPR - 8);
}

static void test_lods(void **state)
{
	gpr[GPR_RSI] = APIC + LAPIC_VERSION;
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_VERSION, 0xad); /* lodsd */
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	assert_int_equal(gpr[GPR_RSI], APIC + LAPIC_VERSION + 4);
	gpr[GPR_RSI] = APIC + LAPIC_VERSION;
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_VERSION, 0xac); /* lodsb */
	assert_int_equal(gpr[GPR_RAX], (JUNK & ~0xffull) | 0x14);
}

/* One element at a time; RIP moves on after the last. */
static void test_rep_movs(void **state)
{
	gpr[GPR_RSI] = APIC + LAPIC_VERSION;
	gpr[GPR_RDI] = VA_RAM2 - 4; /* the first one goes to the page of the APIC */
	gpr[GPR_RCX] = 3;
	guest_put(RAM2, ~0ull, 8);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(EXECUTE(APIC, 0xf3, 0xa5), RESUME_GUEST);
		expect_no_event(vcpu);
		assert_int_equal(f->reg[REG_RIP], i < 3 ? CODE : CODE + 2);
		assert_int_equal(gpr[GPR_RCX], 3 - i);
		assert_int_equal(gpr[GPR_RSI], APIC + LAPIC_VERSION + 4 * i);
		assert_int_equal(gpr[GPR_RDI], VA_RAM2 - 4 + 4 * i);
	}
	assert_int_equal(guest_get(RAM2, 8), 0);
	/* From RAM to the APIC, and a count of 0. */
	guest_put(RAM, 0x70, 4);
	gpr[GPR_RSI] = VA_RAM;
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	DOES(APIC + LAPIC_TPR, 0xa5);
	assert_int_equal(apic_get(LAPIC_TPR), 0x70);
	gpr[GPR_RCX] = 0;
	DOES(APIC + LAPIC_TPR, 0xf2, 0xa5);
	assert_int_equal(gpr[GPR_RSI], VA_RAM + 4);
}

static void test_string_widths(void **state)
{
	mode32();
	gpr[GPR_RDI] = ~0ull << 32 | (APIC + LAPIC_TPR);
	gpr[GPR_RCX] = ~0ull << 32 | 2;
	gpr[GPR_RAX] = 0x20;
	assert_int_equal(EXECUTE(APIC + LAPIC_TPR, 0xf3, 0xab), RESUME_GUEST);
	assert_int_equal(gpr[GPR_RDI], APIC + LAPIC_TPR + 4);
	assert_int_equal(gpr[GPR_RCX], 1);
	assert_int_equal(f->reg[REG_RIP], CODE);
	mode16();
	f->seg[VSEG_ES].base = APIC;
	gpr[GPR_RDI] = 0xabcd0080;
	gpr[GPR_RCX] = 0x30001;
	DOES(APIC + LAPIC_TPR, 0xf3, 0x66, 0xab);
	assert_int_equal(gpr[GPR_RDI], 0xabcd0084);
	assert_int_equal(gpr[GPR_RCX], 0x30000);
}

static void expect_page_fault(int ret, u64 cr2, u32 error)
{
	assert_int_equal(ret, RESUME_GUEST);
	expect_fault(vcpu, EXC_PF, error);
	assert_int_equal(f->reg[REG_CR2], cr2);
	assert_int_equal(f->reg[REG_RIP], CODE);
}

/* The other operand of MOVS: no page, no right to it, no canonical address; and segments. */
static void test_movs_faults(void **state)
{
	apic_set(LAPIC_TPR, 0x10);
	gpr[GPR_RSI] = VA_NONE;
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	expect_page_fault(EXECUTE(APIC + LAPIC_TPR, 0xa5), VA_NONE, 0);
	gpr[GPR_RSI] = APIC + LAPIC_VERSION;
	gpr[GPR_RDI] = VA_NONE - 2; /* the second page is not there */
	guest_put(RAM2 + 0xffe, 0x5555, 2);
	expect_page_fault(EXECUTE(APIC + LAPIC_VERSION, 0xa5), VA_NONE, 2);
	assert_int_equal(guest_get(RAM2 + 0xffe, 2), 0x5555);
	gpr[GPR_RDI] = VA_RAM;
	map(VA_RAM, RAM | P);
	expect_page_fault(EXECUTE(APIC + LAPIC_VERSION, 0xa5), VA_RAM, 3);
	gpr[GPR_RDI] = BIT(47);
	assert_int_equal(EXECUTE(APIC + LAPIC_VERSION, 0xa5), RESUME_GUEST);
	expect_fault(vcpu, EXC_GP, 0);
	assert_int_equal(gpr[GPR_RSI], APIC + LAPIC_VERSION);
	assert_int_equal(apic_get(LAPIC_TPR), 0x10);
}

static void test_movs_segments(void **state)
{
	static const struct {
		u32 es_access, es_limit, rdi;
		bool good;
	} cases[] = {
		{ 0xc093, 0x2003, 0x2000, true }, { 0xc093, 0x2002, 0x2000, false },
		{ 0xc091, ~0u, 0x2000, false },	 /* read-only */
		{ 0xc09b, ~0u, 0x2000, false },	 /* code */
		{ 0x1c093, ~0u, 0x2000, false }, /* unusable */
		{ 0xc097, 0x1fff, 0x2000, true }, { 0xc097, 0x2000, 0x2000, false },
		{ 0x8097, 0, 0xfffd, false },	  { 0x8097, 0, 0xfffc, true },
	};

	mode32();
	gpr[GPR_RSI] = APIC + LAPIC_VERSION;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		gpr[GPR_RSI] = APIC + LAPIC_VERSION;
		gpr[GPR_RDI] = cases[i].rdi;
		f->seg[VSEG_ES].access = cases[i].es_access;
		f->seg[VSEG_ES].limit = cases[i].es_limit;
		guest_put(cases[i].rdi, 0, 4);
		assert_int_equal(EXECUTE(APIC + LAPIC_VERSION, 0xa5), RESUME_GUEST);
		if (!cases[i].good)
			expect_fault(vcpu, EXC_GP, 0);
		expect_no_event(vcpu);
		assert_int_equal(guest_get(cases[i].rdi, 4), cases[i].good ? VERSION_VALUE : 0);
	}
	/* Code may be read if it says so; the stack's segment has an exception of its own. */
	flat(BIT(14));
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RSI] = 0x2000;
	DOES(APIC + LAPIC_TPR, 0x2e, 0xa5);
	f->seg[VSEG_CS].access = 0xc099;
	assert_int_equal(EXECUTE(APIC + LAPIC_TPR, 0x2e, 0xa5), RESUME_GUEST);
	expect_fault(vcpu, EXC_GP, 0);
	f->seg[VSEG_SS].limit = 0;
	assert_int_equal(EXECUTE(APIC + LAPIC_TPR, 0x36, 0xa5), RESUME_GUEST);
	expect_fault(vcpu, EXC_SS, 0);
}

/* --- fetching -------------------------------------------------------------------------------- */

static void run_at(gva_t rip, const u8 *code, unsigned int len, gpa_t first, gpa_t second)
{
	unsigned int n = (unsigned int)min_u64(len, PAGE_SIZE - rip % PAGE_SIZE);

	f->reg[REG_RIP] = rip;
	put_code(first + rip % PAGE_SIZE, code, n);
	put_code(second, code + n, len - n);
}

static const u8 load_version[] = { 0x8b, 0x04, 0x25, 0x30, 0, 0xe0, 0xfe }; /* 7 bytes */

static void test_fetch_across_pages(void **state)
{
	for (unsigned int before = 1; before < sizeof(load_version); before++) {
		gpr[GPR_RAX] = 0;
		run_at(VA_CODE2 - before, load_version, sizeof(load_version), CODE_RAM, CODE_RAM2);
		/* mov eax, [0xfee00030] is sign-extended: the exit's page counts. */
		assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false),
				 RESUME_GUEST);
		assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
		assert_int_equal(f->reg[REG_RIP], VA_CODE2 - before + sizeof(load_version));
	}
	/* What ends with the page does not need the next one. */
	map(VA_CODE2, 0);
	run_at(VA_CODE2 - sizeof(load_version), load_version, sizeof(load_version), CODE_RAM, 0);
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false), RESUME_GUEST);
	expect_no_event(vcpu);
	f->reg[REG_RIP] = VA_CODE2 - 3;
	put_code(CODE_RAM + 0xffd, load_version, 3);
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false), RESUME_GUEST);
	expect_fault(vcpu, EXC_PF, 0x10);
	assert_int_equal(f->reg[REG_CR2], VA_CODE2);
	assert_int_equal(f->reg[REG_RIP], VA_CODE2 - 3);
}

/* Its page has been taken away, or its rights, since the CPU fetched it. */
static void test_fetch_faults(void **state)
{
	run_at(VA_CODE, load_version, sizeof(load_version), CODE_RAM, 0);
	map(VA_CODE, CODE_RAM | P | W | NX);
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false), RESUME_GUEST);
	expect_fault(vcpu, EXC_PF, 0x11);
	map(VA_CODE, CODE_RAM | P | W | U);
	f->reg[REG_CR4] |= CR4_SMEP;
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false), RESUME_GUEST);
	expect_fault(vcpu, EXC_PF, 0x11);
	f->reg[REG_CR4] = CR4_PAE | CR4_SMAP; /* is for data */
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false), RESUME_GUEST);
	expect_no_event(vcpu);
	map(VA_CODE, FIXTURE_RAM | P | W); /* not memory */
	f->reg[REG_RIP] = VA_CODE;
	expect_error(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false),
		     "code outside RAM accesses the APIC");
}

static void ask_to_leave(void)
{
	vcpu_request(vcpu, REQ_EXIT);
}

/* The page with the code is away: nothing has happened, and the instruction comes again. */
static void test_fetch_from_missing(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RAX] = 0x20;
	f->reg[REG_RIP] = CODE;
	put_code(CODE, CODE_OF(0x89, 0x07), 2);
	fixture_take_page(CODE);
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_TPR, false), RESUME_GUEST);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_int_equal(apic_get(LAPIC_TPR), 0);
	atomic_fetch_and(&vcpu->requests, ~(u32)REQ_EXIT);
	fake_machine.on_block = fixture_bring_page;
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_TPR, false), RESUME_GUEST);
	assert_int_equal(f->reg[REG_RIP], CODE + 2);
	assert_int_equal(apic_get(LAPIC_TPR), 0x20);
}

static void test_modes(void **state)
{
	/* The same bytes: 16 bits read a word, 32 bits a doubleword. */
	mode32();
	gpr[GPR_RDI] = gpr[GPR_RBX] = APIC + LAPIC_VERSION;
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_VERSION, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	mode16();
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_VERSION, 0x67, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], (JUNK & ~0xffffull) | 0x14);
	/* Compatibility mode is none of 64 bits; and CS has a base. */
	mode64();
	f->seg[VSEG_CS].access = 0xc09b;
	f->seg[VSEG_CS].base = 0x400;
	f->reg[REG_RIP] = CODE - 0x400;
	put_code(CODE, CODE_OF(0x40, 0x8b, 0x07), 3); /* inc eax, in 32 bits */
	expect_error(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false),
		     "an instruction that is not emulated accesses the APIC");
	put_code(CODE, CODE_OF(0x8b, 0x07), 2);
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC + LAPIC_VERSION, false), RESUME_GUEST);
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
}

/* --- pages that are known -------------------------------------------------------------------- */

static u64 read_known(gpa_t gpa)
{
	u64 value = 0;

	assert_int_equal(vcpu_read_known(vcpu, KNOWN_CODE, gpa, &value, sizeof(value)), 0);
	return value;
}

/* Where a page was found does not outlive anything that happens to it. */
static void test_known(void **state)
{
	static const struct slot_change deletion = { SLOT_DELETE, .id = 0 };
	struct backing *b = slot_by_id(fixture_vm, 0)->backing;
	struct vm_hold hold = { 0 };
	u64 value;

	guest_put(0x2000, JUNK, 8);
	assert_int_equal(read_known(0x2000), JUNK);
	guest_put(0x2000, 1, 8);
	assert_int_equal(read_known(0x2000), 1);
	assert_int_equal(backing_move(b, 0x2000, PAGE_SIZE, 0xa5), 0);
	assert_int_equal(read_known(0x2000), 1);
	guest_put(0x3000, 2, 8);
	assert_int_equal(read_known(0x3000), 2);
	fixture_take_page(0x3000);
	fake_machine.on_block = fixture_bring_page;
	assert_int_equal(read_known(0x3000), 2);
	assert_int_equal(fake_machine.blocks, 1);
	/* Not while the VM is held, and not longer than its slot. */
	fake_machine.thread = 2;
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	fake_machine.thread = 0;
	assert_int_equal(vcpu_read_known(vcpu, KNOWN_CODE, 0x3000, &value, 8), -EINTR);
	fake_machine.thread = 2;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 0;
	assert_int_equal(read_known(0x3000), 2);
	assert_int_equal(vm_change_slots(fixture_vm, &deletion, 1, SLOTS_LIVE, NULL), 0);
	assert_int_equal(vcpu_read_known(vcpu, KNOWN_CODE, 0x3000, &value, 8), -EFAULT);
}

/* --- operands that cross pages --------------------------------------------------------------- */

static void test_crossing(void **state)
{
	/* From RAM into the APIC: it is the second page that the exit names. */
	guest_put(RAM + 0xffe, 0xbbaa, 2);
	apic_set(LAPIC_TPR, 0x33);
	gpr[GPR_RDI] = VA_APIC - 2;
	DOES(APIC, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], 0xbbaa);
	gpr[GPR_RAX] = 0xddccbbaa99887766;
	DOES(APIC, 0x48, 0x89, 0x07);
	assert_int_equal(guest_get(RAM + 0xffe, 2), 0x7766);
	/* From the APIC into RAM. */
	guest_put(RAM2, 0x04030201, 4);
	gpr[GPR_RDI] = VA_RAM2 - 2;
	DOES(APIC + 0xffe, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], 0x02010000);
	gpr[GPR_RAX] = 0xddccbbaa;
	DOES(APIC + 0xffe, 0x01, 0x07); /* add [rdi], eax */
	assert_int_equal(guest_get(RAM2, 4), 0x0403dfcd);
	/* Nothing is done when the other page faults. */
	gpr[GPR_RDI] = VA_APIC - 2;
	map(VA_RAM, RAM | P);
	expect_page_fault(EXECUTE(APIC, 0x89, 0x07), VA_APIC - 2, 3);
	gpr[GPR_RDI] = VA_APIC2 + 0xffe;
	expect_page_fault(EXECUTE(APIC + 0xffe, 0x8b, 0x07), VA_APIC2 + 0x1000, 0);
	/* Outside all memory it is the VMM's. */
	map(VA_APIC2 + 0x1000, FIXTURE_RAM | P | W);
	expect_mmio(EXECUTE(APIC + 0xffe, 0x8b, 0x07), FIXTURE_RAM, false);
	expect_mmio(EXECUTE(APIC + 0xffe, 0x89, 0x07), FIXTURE_RAM, true);
	assert_int_equal(apic_get(LAPIC_TPR), 0x33);
}

/* --- no APIC, or another's ------------------------------------------------------------------- */

static void move_apic(struct vcpu *v, u64 base)
{
	u32 cpu = fake_machine.cpu;

	fixture_load(v, v->id);
	assert_int_equal(lapic_write(v, 0x1b, base), 0);
	fixture_load(v, v->id);
	fake_machine.cpu = cpu;
}

static void test_hole(void **state)
{
	u64 base;

	assert_int_equal(lapic_read(vcpu, 0x1b, &base), 0);
	assert_int_equal(lapic_write(vcpu, 0x1b, base & ~LAPIC_BASE_EN), 0);
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RAX] = JUNK;
	DOES(APIC + LAPIC_TPR, 0x89, 0x07);
	DOES(APIC + LAPIC_TPR, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], ~0u);
	DOES(APIC + LAPIC_TPR, 0x83, 0x2f, 0xff); /* sub dword [rdi], -1 */
	assert_int_equal(f->reg[REG_RFLAGS] & FLAG_ZF, FLAG_ZF);
	f->xmm[0][5] = 0;
	DOES(APIC + LAPIC_TPR, 0x0f, 0x10, 0x07);
	assert_int_equal(f->xmm[0][5], 0xff);
}

/* Our own APIC at another address; nothing is at the old one. */
static void test_relocated(void **state)
{
	move_apic(vcpu, 0x100000 | LAPIC_BASE_EN | LAPIC_BASE_BSP);
	apic_set(LAPIC_TPR, 0x55);
	gpr[GPR_RDI] = 0x100000 + LAPIC_TPR;
	DOES(0x100000 + LAPIC_TPR, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], 0x55);
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	DOES(APIC + LAPIC_TPR, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], ~0u);
}

/* Another's APIC is where there is memory for us. */
static void test_beneath(void **state)
{
	move_apic(fixture_vm->vcpu[1], 0x100000 | LAPIC_BASE_EN);
	move_apic(fixture_vm->vcpu[0], APIC | LAPIC_BASE_EN | LAPIC_BASE_BSP);
	guest_put(0x100010, 0xffffffff12345678, 8);
	gpr[GPR_RDI] = 0x100010;
	DOES(0x100010, 0x8b, 0x07);
	assert_int_equal(gpr[GPR_RAX], 0x12345678);
	gpr[GPR_RAX] = 0x11;
	DOES(0x100010, 0xf0, 0x01, 0x07); /* lock add [rdi], eax */
	assert_int_equal(guest_get(0x100010, 8), 0xffffffff12345689);
	gpr[GPR_RDI] += 3;
	DOES(0x100013, 0x87, 0x07); /* xchg [rdi], eax: not aligned */
	assert_int_equal(gpr[GPR_RAX], 0xffffff12);
	assert_int_equal(guest_get(0x100010, 8), 0xff00000011345689);
	gpr[GPR_RAX] = 0xabcd;
	DOES(0x100013, 0x86, 0x07); /* xchg [rdi], al */
	assert_int_equal(gpr[GPR_RAX], 0xab11);
	assert_int_equal(guest_get(0x100010, 8), 0xff000000cd345689);
	/* Locked, and across 8 bytes: not atomic for us, so not at all. The same without LOCK is.
	 */
	gpr[GPR_RDI] = 0x100016;
	guest_put(0x100016, 1, 4);
	expect_refused(EXECUTE(0x100016, 0xf0, 0xff, 0x07));
	DOES(0x100016, 0xff, 0x07);
	assert_int_equal(guest_get(0x100016, 4), 2);
}

/* Two pages of memory: what cannot be done half is refused. */
static void test_beneath_crossing(void **state)
{
	move_apic(fixture_vm->vcpu[1], 0x100000 | LAPIC_BASE_EN);
	move_apic(fixture_vm->vcpu[0], APIC | LAPIC_BASE_EN | LAPIC_BASE_BSP);
	gpr[GPR_RDI] = 0x100ffe;
	gpr[GPR_RAX] = 0x44332211;
	DOES(0x100ffe, 0x89, 0x07);
	assert_int_equal(guest_get(0x100ffe, 4), 0x44332211);
	expect_refused(EXECUTE(0x100ffe, 0xff, 0x07));
	expect_refused(EXECUTE(0x100ffe, 0x87, 0x07));
	gpr[GPR_RSI] = APIC + LAPIC_VERSION;
	expect_refused(EXECUTE(0x100ffe, 0xa5));
	DOES(0x100ffe, 0xab);
	assert_int_equal(guest_get(0x100ffe, 4), 0x44332211);
}

/* Nothing of ours: the VMM's, without a look at the code. No APIC any more where one was: again. */
static void test_elsewhere(void **state)
{
	struct vm_exit *e = &vcpu->vmx.exit;

	f->reg[REG_RIP] = FIXTURE_RAM;
	e->mem.read = true;
	e->mem.write = false;
	e->mem.gpa = 0xd0000000;
	expect_mmio(vcpu_emulate_mmio(vcpu, 0xd0000000, false), 0xd0000000, false);
	assert_int_equal(vcpu_emulate_mmio(vcpu, 0xd0000000, true), RESUME_GUEST);
	assert_int_equal(f->skips, 0);
}

/* --- what is no instruction's access, and what cannot be done --------------------------------- */

static void test_refused(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	expect_refused(EXECUTE(APIC + LAPIC_TPR, 0xff, 0x37));	     /* push qword [rdi] */
	expect_refused(EXECUTE(APIC + LAPIC_TPR, 0x50));	     /* push rax */
	expect_refused(EXECUTE(APIC + LAPIC_TPR, 0x0f, 0xae, 0x07)); /* fxsave [rdi] */
	expect_refused(EXECUTE(APIC + LAPIC_TPR, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			       0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66));
}

static void test_events_and_walks(void **state)
{
	const struct vm_event page_fault = { .vector = EXC_PF,
					     .type = EVENT_EXCEPTION,
					     .has_error = true };

	assert_int_equal(vmx_inject(&vcpu->vmx, &page_fault), 0);
	assert_int_equal(vcpu_emulate_mmio(vcpu, APIC, false), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_ERROR);
	assert_string_equal(vcpu->run.error.what, "the delivery of an event accesses the APIC");
	f->queued = false;
	vcpu->vmx.exit.mem.walk = true;
	expect_error(vcpu_emulate_mmio(vcpu, APIC, false),
		     "the guest's page tables are where the APIC is");
}

/* --- the access page ------------------------------------------------------------------------- */

static int setup_access(void **state)
{
	static const struct fixture_apic how = { "", VMX_APIC_ACCESS, LAPIC_XAPIC };

	fixture_start_apics(1, &how);
	vcpu = fixture_vm->vcpu[0];
	f = fake_of(vcpu);
	gpr = vcpu->vmx.gpr;
	mode64();
	return 0;
}

static int access_exit(u16 offset, u8 kind, const u8 *code, unsigned int len)
{
	f->reg[REG_RIP] = CODE;
	f->insn_len = len;
	put_code(CODE, code, len);
	vcpu->vmx.exit.apic.offset = offset;
	vcpu->vmx.exit.apic.kind = kind;
	return vcpu_handle_apic_access(vcpu);
}

#define ACCESS_EXIT(offset, kind, ...)                                                             \
	access_exit(offset, kind, CODE_OF(__VA_ARGS__), sizeof(CODE_OF(__VA_ARGS__)))

static void test_access_page(void **state)
{
	gpr[GPR_RDI] = APIC + LAPIC_VERSION;
	assert_int_equal(ACCESS_EXIT(LAPIC_VERSION, APIC_ACCESS_READ, 0x8b, 0x07), RESUME_GUEST);
	assert_int_equal(gpr[GPR_RAX], VERSION_VALUE);
	assert_int_equal(f->reg[REG_RIP], CODE + 2);
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	assert_int_equal(ACCESS_EXIT(LAPIC_TPR, APIC_ACCESS_WRITE, 0x89, 0x07), RESUME_GUEST);
	assert_int_equal(apic_get(LAPIC_TPR), VERSION_VALUE & 0xff);
	expect_error(ACCESS_EXIT(0, APIC_ACCESS_EVENT, 0x90),
		     "the delivery of an event accesses the APIC");
	expect_error(ACCESS_EXIT(0, APIC_ACCESS_FETCH, 0x90), "code is fetched from the APIC");
	expect_error(ACCESS_EXIT(0, APIC_ACCESS_OTHER, 0x90),
		     "the guest's page tables are where the APIC is");
}

static void serve(u8 vector)
{
	lapic_post(vcpu, vector);
	assert_int_equal(lapic_sync(vcpu), vector);
	lapic_accept(vcpu, vector);
	assert_int_equal(apic_get(LAPIC_PPR), vector & 0xf0);
}

/* Without a look at the code, unless it could be a string instruction. */
static void test_eoi(void **state)
{
	serve(0x41);
	gpr[GPR_RDI] = APIC;
	assert_int_equal(ACCESS_EXIT(LAPIC_EOI, APIC_ACCESS_WRITE, 0xcc, 0xcc, 0xcc), RESUME_GUEST);
	assert_int_equal(f->reg[REG_RIP], CODE + 3);
	assert_int_equal(apic_get(LAPIC_PPR), 0);
	serve(0x41);
	gpr[GPR_RDI] = APIC + LAPIC_EOI;
	gpr[GPR_RCX] = 5;
	assert_int_equal(ACCESS_EXIT(LAPIC_EOI, APIC_ACCESS_WRITE, 0xf3, 0xab), RESUME_GUEST);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_int_equal(gpr[GPR_RCX], 4);
	assert_int_equal(apic_get(LAPIC_PPR), 0);
}

/* Level-triggered: the VMM hears of it, in either way, and RIP has moved on. */
static void test_level_eoi(void **state)
{
	for (unsigned int way = 0; way < 2; way++) {
		lapic_post_level(vcpu, 0x51);
		assert_int_equal(lapic_sync(vcpu), 0x51);
		lapic_accept(vcpu, 0x51);
		gpr[GPR_RDI] = way ? APIC + LAPIC_EOI : 0;
		gpr[GPR_RBX] = APIC + LAPIC_EOI;
		vcpu->run.reason = RUN_EXIT_NONE;
		assert_int_equal(ACCESS_EXIT(LAPIC_EOI, APIC_ACCESS_WRITE, 0x89, 0x03), 0);
		assert_int_equal(vcpu->run.reason, RUN_EXIT_EOI);
		assert_int_equal(vcpu->run.eoi.vector, 0x51);
		assert_int_equal(f->reg[REG_RIP], CODE + 2);
	}
}

#define TEST(t)	       cmocka_unit_test_setup_teardown(t, setup, teardown)
#define TEST_ACCESS(t) cmocka_unit_test_setup_teardown(t, setup_access, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_load),
		TEST(test_load_sign),
		TEST(test_store),
		TEST(test_moffs),
		TEST(test_vectors),
		TEST(test_addresses),
		TEST(test_addresses_16),
		TEST(test_arithmetic),
		TEST(test_exchange),
		TEST(test_stos),
		TEST(test_lods),
		TEST(test_rep_movs),
		TEST(test_string_widths),
		TEST(test_movs_faults),
		TEST(test_movs_segments),
		TEST(test_fetch_across_pages),
		TEST(test_fetch_faults),
		TEST(test_fetch_from_missing),
		TEST(test_modes),
		TEST(test_known),
		TEST(test_crossing),
		TEST(test_hole),
		TEST(test_relocated),
		TEST(test_beneath),
		TEST(test_beneath_crossing),
		TEST(test_elsewhere),
		TEST(test_refused),
		TEST(test_events_and_walks),
		TEST_ACCESS(test_access_page),
		TEST_ACCESS(test_eoi),
		TEST_ACCESS(test_level_eoi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
