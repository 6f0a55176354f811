/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding out what VMX can do here, and entering VMX operation on a CPU. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"
#include "vmx/apic_rungs.h"
#include "vmx/internal.h"

#define CPUID_1_ECX_VMX	  BIT(5)
#define CPUID_1_ECX_XSAVE BIT(26)
#define CPUID_RDTSCP	  BIT(27)
#define XCR0_SWITCHABLE	  0x2e7ull /* x87, SSE, AVX, AVX-512 (three parts), PKRU */

struct vmx_caps vmx_caps;
struct vmx_config vmx_config;

static bool pretend_locked_off;
static char why_text[160];

void vmx_pretend_locked_off(void)
{
	pretend_locked_off = true;
}

/*
 * What we cannot do without (need), what we use when it is there (want). Intercepting MONITOR,
 * MWAIT and RDPMC keeps instructions from the guest that its CPUID does not offer. CR8 exiting is
 * for vCPUs without a TPR shadow; the controls of APIC virtualization are vmx/apic.c's.
 */
static const struct {
	u32 need, want;
} wishes[NR_CTL] = {
	[CTL_PIN] = { PIN_EXT_INTR | PIN_NMI | PIN_VIRTUAL_NMIS, PIN_PREEMPTION_TIMER },
	[CTL_CPU] = { CPU_TSC_OFFSETTING | CPU_HLT | CPU_MWAIT | CPU_MONITOR | CPU_RDPMC |
			      CPU_CR8_LOAD | CPU_CR8_STORE | CPU_UNCOND_IO | CPU_MSR_BITMAPS |
			      CPU_SECONDARY | CPU_INTR_WINDOW | CPU_NMI_WINDOW,
		      CPU_TPR_SHADOW },
	[CTL_CPU2] = { CPU2_EPT | CPU2_UNRESTRICTED_GUEST,
		       CPU2_VPID | CPU2_RDTSCP | CPU2_INVPCID | CPU2_WBINVD | CPU2_PML |
			       CPU2_APIC_ACCESS | CPU2_APIC_REGISTER | CPU2_VIRT_INTR_DELIVERY |
			       CPU2_X2APIC },
	[CTL_EXIT] = { EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACK_INTR | EXIT_SAVE_PAT |
			       EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
		       EXIT_SAVE_PREEMPTION_TIMER },
	[CTL_ENTRY] = { ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0 },
};

static const char *missing(enum vmx_control_word word, u32 bits)
{
	fmt_print(why_text, sizeof(why_text), "needs %s",
		  vmx_control_name(word, (unsigned int)__builtin_ctz(bits)));
	return why_text;
}

/* What is switched per vCPU is in no word that a VMCS starts from. */
static void leave_to_vcpus(void)
{
	vmx_config.cpu &= ~((u32)(CPU_INTR_WINDOW | CPU_NMI_WINDOW) |
			    vmx_apic_controls(CTL_CPU, NR_VMX_APIC_RUNGS - 1));
	vmx_config.cpu2 &= ~vmx_apic_controls(CTL_CPU2, NR_VMX_APIC_RUNGS - 1);
}

static int choose_controls(const char **why)
{
	u32 *word[NR_CTL] = { &vmx_config.pin, &vmx_config.cpu, &vmx_config.cpu2, &vmx_config.exit,
			      &vmx_config.entry };

	/* EPT first: without it nothing here can run at all. */
	if (!vmx_can(&vmx_caps, CTL_CPU, CPU_SECONDARY)) {
		*why = missing(CTL_CPU, CPU_SECONDARY);
		return -ENOSYS;
	}
	if (!vmx_can(&vmx_caps, CTL_CPU2, CPU2_EPT)) {
		*why = missing(CTL_CPU2, CPU2_EPT);
		return -ENOSYS;
	}
	for (unsigned int i = 0; i < NR_CTL; i++) {
		int err = vmx_control(&vmx_caps, i, wishes[i].need, wishes[i].want, word[i]);

		if (err) {
			*why = missing(i, *word[i]);
			return err;
		}
	}
	leave_to_vcpus();
	/* The heartbeat needs both of its bits. */
	if (!(vmx_config.exit & EXIT_SAVE_PREEMPTION_TIMER))
		vmx_config.pin &= ~(u32)PIN_PREEMPTION_TIMER;
	else if (!(vmx_config.pin & PIN_PREEMPTION_TIMER))
		vmx_config.exit &= ~(u32)EXIT_SAVE_PREEMPTION_TIMER;
	/* What is logged is that a dirty flag was set. */
	if (!(vmx_caps.ept_vpid & EPT_CAP_AD))
		vmx_config.cpu2 &= ~(u32)CPU2_PML;
	return 0;
}

/* Some CPUs have EPT, but not what makes it usable here. */
static int check_ept(const char **why)
{
	u64 cap = vmx_caps.ept_vpid;

	if (!(cap & EPT_CAP_INVEPT) || !(cap & (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)))
		*why = "needs INVEPT (EPT capability bits 20, 25, 26)";
	else if (!(cap & EPT_CAP_WALK_4) || !(cap & EPT_CAP_WB))
		*why = "needs EPT with 4 levels in write-back memory (EPT capability bits 6, 14)";
	else
		return 0;
	return -ENOSYS;
}

static void find_xstate(void)
{
	vmx_config.xsave_size = 512;
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE))
		return;
	struct cpuid_regs r = cpuid(0xd, 0);

	vmx_config.xcr0_mask = ((u64)r.edx << 32 | r.eax) & XCR0_SWITCHABLE;
	vmx_config.xsave_size = r.ecx;
	for (u32 i = 2; i < ARRAY_SIZE(vmx_config.xstate_end); i++) {
		r = cpuid(0xd, i);
		/* Some CPUs (Bochs, for PKRU) leave a component's leaf empty. */
		vmx_config.xstate_end[i] = r.eax ? r.ebx + r.eax : vmx_config.xsave_size;
	}
}

static int feature_control(const char **why)
{
	u64 v, write;

	if (rdmsr_safe(MSR_FEATURE_CONTROL, &v)) {
		*why = "VMX: IA32_FEATURE_CONTROL cannot be read";
		return -EIO;
	}
	if (pretend_locked_off)
		v = 1;
	switch (vmx_feature_control(v, &write)) {
	case FC_READY: return 0;
	case FC_UNLOCKED:
		if (!wrmsr_safe(MSR_FEATURE_CONTROL, write))
			return 0;
		*why = "VMX: IA32_FEATURE_CONTROL is unlocked but refuses to be written";
		return -EIO;
	case FC_LOCKED_OFF: break;
	}
	*why = "VMX is disabled by firmware (IA32_FEATURE_CONTROL is locked without VMX)";
	return -EACCES;
}

int vmx_probe(const char **why)
{
	bool vmx = cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
	int err;

	if (!vmx) {
		*why = "this CPU has no VMX (CPUID.1:ECX bit 5)";
		return -ENODEV;
	}
	err = feature_control(why);
	if (err)
		return err;
	err = vmx_caps_read(&vmx_caps, rdmsr_safe, vmx, cpuid(0x80000008, 0).eax & 0xff);
	if (err) {
		*why = "VMX: a capability MSR that must exist cannot be read";
		return err;
	}
	err = choose_controls(why);
	if (!err)
		err = check_ept(why);
	if (err)
		return err;
	find_xstate();
	vmx_config.rdtscp =
		(vmx_config.cpu2 & CPU2_RDTSCP) && (cpuid(0x80000001, 0).edx & CPUID_RDTSCP);
	err = vmx_msr_bitmap_init();
	if (err)
		*why = "no memory for the MSR bitmaps";
	return err;
}

static void print_word(enum vmx_control_word word, u32 in_use)
{
	for (unsigned int bit = 0; bit < 32; bit++) {
		u32 wish = wishes[word].need | wishes[word].want;

		if (!(wish & BIT(bit)) ||
		    (wish & BIT(bit) & (CPU_INTR_WINDOW | CPU_NMI_WINDOW) && word == CTL_CPU))
			continue;
		printk("# %s %s\n",
		       in_use & BIT(bit)			 ? "uses "
		       : vmx_can(&vmx_caps, word, (u32)BIT(bit)) ? "has  "
								 : "lacks",
		       vmx_control_name(word, bit));
	}
}

void vmx_print_caps(void)
{
	enum vmx_apic_rung best = vmx_apic_best();

	printk("# VMX revision %#x, %s controls, EPT/VPID capabilities %#llx\n", vmx_caps.revision,
	       vmx_caps.true_controls ? "true" : "default", (unsigned long long)vmx_caps.ept_vpid);
	print_word(CTL_PIN, vmx_config.pin);
	print_word(CTL_CPU, vmx_config.cpu | vmx_apic_controls(CTL_CPU, best));
	print_word(CTL_CPU2, vmx_config.cpu2 | vmx_apic_controls(CTL_CPU2, best));
	print_word(CTL_EXIT, vmx_config.exit);
	print_word(CTL_ENTRY, vmx_config.entry);
	printk("# EPT: 2M pages %s, 1G pages %s, accessed/dirty flags %s\n",
	       vmx_caps.ept_vpid & EPT_CAP_2M ? "yes" : "no",
	       vmx_caps.ept_vpid & EPT_CAP_1G ? "yes" : "no",
	       vmx_caps.ept_vpid & EPT_CAP_AD ? "yes" : "no");
	printk("# APIC virtualization: up to apic=%s\n", vmx_apic_rung_name(best));
}

/* What XSAVE, FXSAVE and VMX itself need; the host code proper uses none of it. */
static void prepare_control_registers(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	cr0 = (cr0 & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE;
	write_cr0((cr0 | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1);
	cr4 |= CR4_VMXE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	if (vmx_config.xcr0_mask)
		cr4 |= CR4_OSXSAVE;
	write_cr4((cr4 | vmx_caps.cr4_fixed0) & vmx_caps.cr4_fixed1);
	if (vmx_config.xcr0_mask)
		xsetbv(0, vmx_config.xcr0_mask);
}

int vmx_cpu_on(void)
{
	struct cpu *cpu = this_cpu();
	const char *why;
	void *region;
	int err;

	if (cpu->vmx)
		return 0;
	err = feature_control(&why); /* per CPU: firmware may have forgotten one */
	if (err)
		return err;
	region = page_alloc(0, PAGE_ZERO);
	if (!region)
		return -ENOMEM;
	*(u32 *)region = vmx_caps.revision;
	prepare_control_registers();
	if (!vmxon(virt_to_phys(region))) {
		page_free(region, 0);
		return -EIO;
	}
	/* Translations left from an earlier life of this CPU, firmware's included. */
	if (vmx_caps.ept_vpid & EPT_CAP_INVEPT_ALL)
		invept(INVEPT_ALL, 0);
	if (vmx_caps.ept_vpid & VPID_CAP_INVVPID_ALL)
		invvpid(INVVPID_ALL, 0);
	cpu->vmx = region;
	return 0;
}

void vmx_cpu_off(void)
{
	struct cpu *cpu = this_cpu();

	if (!cpu->vmx)
		return;
	if (cpu->loaded)
		vmx_unload(cpu->loaded);
	vmxoff();
	write_cr4(read_cr4() & ~CR4_VMXE);
	page_free(cpu->vmx, 0);
	cpu->vmx = NULL;
}

u64 vmx_guest_xcr0_mask(void)
{
	return vmx_config.xcr0_mask;
}

bool vmx_has_rdtscp(void)
{
	return vmx_config.rdtscp;
}

bool vmx_has_pml(void)
{
	return vmx_config.cpu2 & CPU2_PML;
}

bool vmx_has_invpcid(void)
{
	return vmx_config.cpu2 & CPU2_INVPCID;
}
