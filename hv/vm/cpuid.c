/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/vm/cpuid.h. */
#include "hv/host/cpuid.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

#define MAX_BASIC    0xdu
#define MAX_EXTENDED 0x80000008u

/* Leaf 1 ECX and EDX */
#define ECX_PCID      BIT(17)
#define ECX_X2APIC    BIT(21)
#define ECX_DEADLINE  BIT(24)
#define ECX_XSAVE     BIT(26)
#define ECX_OSXSAVE   BIT(27)
#define ECX_GUEST     BIT(31)
#define EDX_APIC      BIT(9)
#define EDX_HTT	      BIT(28)
/* Leaf 7 */
#define EBX7_FSGSBASE BIT(0)
#define EBX7_SMEP     BIT(7)
#define EBX7_INVPCID  BIT(10)
#define EBX7_SMAP     BIT(20)
#define ECX7_UMIP     BIT(2)
#define ECX7_PKU      BIT(3)
#define ECX7_OSPKE    BIT(4)
#define ECX7_RDPID    BIT(22)
/* Leaf 0x80000001 */
#define EDXE_RDTSCP   BIT(27)

/*
 * What a guest may have if the CPU has it. Left out on purpose: what needs a device or state that
 * is not virtualised (MCE, MTRR, PMU, MONITOR, XSAVES, LA57, CET, SGX, TSX) or that VMX itself
 * owns.
 */
static const struct {
	u32 leaf, subleaf;
	struct cpuid_entry may;
} allowed[] = {
	/* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND */
	{ 1, 0, { ~0u, 0x0000ff00, 0x76da3203, 0x0f8bab7f } },
	/* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512* RDSEED ADX SMAP CLFLUSHOPT CLWB SHA;
	 * VBMI UMIP PKU VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ RDPID; FSRM */
	{ 7, 0, { 0, 0xf1bf07a9, 0x00405f4e, 0x00000010 } },
	{ 0xd, 1, { 0x00000007, ~0u, 0, 0 } },
	/* LAHF LZCNT PREFETCHW; SYSCALL NX 1G-pages RDTSCP LM */
	{ 0x80000001, 0, { 0, 0, 0x00000121, 0x2c100800 } },
	{ 0x80000007, 0, { 0, 0, 0, 0x00000100 } }, /* invariant TSC */
	{ 0x80000008, 0, { 0xffff, 0, 0, 0 } },
};

static struct cpuid_entry host(u32 leaf, u32 subleaf)
{
	u32 r[4];

	host_cpuid(leaf, subleaf, r);
	return (struct cpuid_entry){ r[0], r[1], r[2], r[3] };
}

static struct cpuid_entry filtered(u32 leaf, u32 subleaf)
{
	struct cpuid_entry e = host(leaf, subleaf);

	for (unsigned int i = 0; i < ARRAY_SIZE(allowed); i++) {
		if (allowed[i].leaf != leaf || allowed[i].subleaf != subleaf)
			continue;
		e.eax &= allowed[i].may.eax;
		e.ebx &= allowed[i].may.ebx;
		e.ecx &= allowed[i].may.ecx;
		e.edx &= allowed[i].may.edx;
	}
	return e;
}

static void add_subleaf(struct vcpu_cpuid *c, u32 leaf, u32 subleaf, struct cpuid_entry e)
{
	if (c->nr_subleaves < CPUID_MAX_SUBLEAF)
		c->subleaf[c->nr_subleaves++] = (struct cpuid_subleaf){ leaf, subleaf, e };
	c->has_subleaves |= 1u << leaf;
}

static void fill_topology(struct vcpu *vcpu)
{
	struct vcpu_cpuid *c = &vcpu->cpuid;
	struct cpuid_entry thread = { 0, 1, 1 << 8, vcpu->id };
	struct cpuid_entry core = { 6, VM_MAX_VCPUS, 2 << 8 | 1, vcpu->id };

	add_subleaf(c, 0xb, 0, thread);
	add_subleaf(c, 0xb, 1, core);
}

/* Deterministic cache parameters, with no sharing between vCPUs; the package as leaf 0xB has it. */
static void fill_caches(struct vcpu_cpuid *c)
{
	for (u32 i = 0; i < 5; i++) {
		struct cpuid_entry e = host(4, i);

		if (!(e.eax & 0x1f))
			break;
		e.eax = (e.eax & 0x3ff) | (VM_MAX_VCPUS - 1u) << 26;
		add_subleaf(c, 4, i, e);
	}
	c->has_subleaves |= 1u << 4;
}

/* Extended state: the components that we switch; area sizes as the host states them. */
static void fill_xstate(struct vcpu_cpuid *c)
{
	u64 mask = vmx_guest_xcr0_mask();
	struct cpuid_entry e = host(0xd, 0);
	u32 size = 576;

	if (!mask) {
		c->basic[1].ecx &= ~(u32)(ECX_XSAVE | BIT(28) | BIT(12) | BIT(29));
		return;
	}
	/*
	 * Only when the guest may have every component is the host's own total right; it counts
	 * components whose leaves some CPUs (Bochs, for PKRU) leave empty.
	 */
	if (mask == ((u64)e.edx << 32 | e.eax))
		size = e.ecx;
	for (u32 i = 2; i < 32; i++) {
		struct cpuid_entry s = host(0xd, i);

		if (!(mask & BIT(i)))
			continue;
		s.ecx &= ~1u; /* a user component */
		add_subleaf(c, 0xd, i, s);
		if (s.ebx + s.eax > size)
			size = s.ebx + s.eax;
	}
	e.eax = (u32)mask;
	e.edx = (u32)(mask >> 32);
	e.ecx = size;
	add_subleaf(c, 0xd, 0, e);
	add_subleaf(c, 0xd, 1, filtered(0xd, 1));
}

static void fill_identity(struct vcpu *vcpu)
{
	struct vcpu_cpuid *c = &vcpu->cpuid;

	c->basic[1].ebx |= vcpu->id << 24 | VM_MAX_VCPUS << 16;
	c->basic[1].ecx |= (u32)(ECX_X2APIC | ECX_DEADLINE | ECX_GUEST);
	if (vcpu->vm->no_x2apic)
		c->basic[1].ecx &= ~(u32)ECX_X2APIC;
	c->basic[1].edx |= (u32)(EDX_APIC | EDX_HTT);
	/* "StillpointHV"; the second leaf gives the TSC frequency in kHz */
	c->hypervisor[0] =
		(struct cpuid_entry){ CPUID_HYPERVISOR + 1, 0x6c697453, 0x696f706c, 0x5648746e };
	c->hypervisor[1] = (struct cpuid_entry){ (u32)(tsc_hz / 1000), 0, 0, 0 };
}

static u64 cr4_allowed(const struct vcpu_cpuid *c)
{
	const struct cpuid_entry *one = &c->basic[1], *seven = &c->basic[7];
	u64 may = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |
		  CR4_OSFXSR | CR4_OSXMMEXCPT;

	may |= one->ecx & ECX_PCID ? CR4_PCIDE : 0;
	may |= one->ecx & ECX_XSAVE ? CR4_OSXSAVE : 0;
	may |= seven->ebx & EBX7_FSGSBASE ? CR4_FSGSBASE : 0;
	may |= seven->ebx & EBX7_SMEP ? CR4_SMEP : 0;
	may |= seven->ebx & EBX7_SMAP ? CR4_SMAP : 0;
	may |= seven->ecx & ECX7_UMIP ? CR4_UMIP : 0;
	may |= seven->ecx & ECX7_PKU ? CR4_PKE : 0;
	return may;
}

void vcpu_cpuid_init(struct vcpu *vcpu)
{
	struct vcpu_cpuid *c = &vcpu->cpuid;
	u32 max = host(0, 0).eax, max_ext = host(CPUID_EXTENDED, 0).eax;

	memset(c, 0, sizeof(*c));
	c->basic[0] = host(0, 0);
	c->basic[0].eax = max < MAX_BASIC ? max : MAX_BASIC;
	for (u32 leaf = 1; leaf <= c->basic[0].eax; leaf++)
		if (leaf == 1 || leaf == 2 || leaf == 7)
			c->basic[leaf] = filtered(leaf, 0);
	if (c->basic[0].eax >= 7) {
		c->basic[7].eax = 0;
		if (!vmx_has_rdtscp())
			c->basic[7].ecx &= ~(u32)ECX7_RDPID;
		if (!vmx_has_invpcid())
			c->basic[7].ebx &= ~(u32)EBX7_INVPCID;
	}
	for (u32 leaf = CPUID_EXTENDED; leaf <= MAX_EXTENDED && leaf <= max_ext; leaf++)
		c->extended[leaf - CPUID_EXTENDED] = filtered(leaf, 0);
	c->extended[0].eax = max_ext < MAX_EXTENDED ? max_ext : MAX_EXTENDED;
	if (!vmx_has_rdtscp())
		c->extended[1].edx &= ~(u32)EDXE_RDTSCP;
	fill_identity(vcpu);
	if (c->basic[0].eax >= 4)
		fill_caches(c);
	if (c->basic[0].eax >= 0xb)
		fill_topology(vcpu);
	if (c->basic[0].eax >= 0xd)
		fill_xstate(c);
	if (c->basic[0].eax >= 7)
		add_subleaf(c, 7, 0, c->basic[7]);
	for (u32 leaf = c->basic[0].eax + 1; leaf < CPUID_ROW; leaf++)
		c->has_subleaves |= 1u << leaf;
	vcpu->cr4_may = cr4_allowed(c);
	vcpu_cpuid_update(vcpu, 0);
}

static struct cpuid_entry *find_subleaf(struct vcpu_cpuid *c, u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < c->nr_subleaves; i++)
		if (c->subleaf[i].leaf == leaf && c->subleaf[i].subleaf == subleaf)
			return &c->subleaf[i].e;
	return NULL;
}

static void set_bit_if(u32 *word, u32 bit, bool on)
{
	*word = on ? *word | bit : *word & ~bit;
}

void vcpu_cpuid_update(struct vcpu *vcpu, u64 cr4)
{
	struct vcpu_cpuid *c = &vcpu->cpuid;
	struct cpuid_entry *e;

	set_bit_if(&c->basic[1].ecx, ECX_OSXSAVE, cr4 & CR4_OSXSAVE);
	set_bit_if(&c->basic[1].edx, EDX_APIC, lapic_mode(vcpu) != LAPIC_DISABLED);
	e = find_subleaf(c, 7, 0);
	if (e)
		set_bit_if(&e->ecx, ECX7_OSPKE, cr4 & CR4_PKE);
	/* The sizes that depend on XCR0: the CPU states them for the XCR0 it has now. */
	e = find_subleaf(c, 0xd, 0);
	if (e)
		e->ebx = cr4 & CR4_OSXSAVE ? host(0xd, 0).ebx : 576;
	e = find_subleaf(c, 0xd, 1);
	if (e)
		e->ebx = cr4 & CR4_OSXSAVE ? host(0xd, 1).ebx : 576;
}

/* Leaves that depend on ECX; an unknown subleaf is all zeroes, but leaf 0xB keeps its ECX and id.
 */
static const struct cpuid_entry *subleaf(struct vcpu_cpuid *c, u32 leaf, u32 sub)
{
	const struct cpuid_entry *e = find_subleaf(c, leaf, sub);

	if (e)
		return e;
	c->unknown = (struct cpuid_entry){ 0 };
	if (leaf == 0xb) {
		c->unknown.ecx = sub & 0xff;
		c->unknown.edx = find_subleaf(c, 0xb, 0)->edx;
	}
	return &c->unknown;
}

const struct cpuid_entry *vcpu_cpuid_other(struct vcpu_cpuid *c, u32 leaf, u32 sub)
{
	if (leaf <= c->basic[0].eax)
		return subleaf(c, leaf, sub);
	if (leaf >= CPUID_EXTENDED && leaf <= c->extended[0].eax)
		return &c->extended[leaf - CPUID_EXTENDED];
	if (leaf - CPUID_HYPERVISOR < 2)
		return &c->hypervisor[leaf - CPUID_HYPERVISOR];
	/* Beyond the last leaf the processor answers with its highest basic one. */
	leaf = c->basic[0].eax;
	return c->has_subleaves >> leaf & 1 ? subleaf(c, leaf, sub) : &c->basic[leaf];
}
