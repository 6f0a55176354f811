/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMX instructions: a guest without VMX gets UD from each, VMCALL excepted. */
#include "guest/rt/check.h"
#include "guest/rt/trap.h"
#include "hv/host/x86.h"

/* The VMX instructions, with CR4.VMXE clear. */
#define VMX_INSTRUCTION(name, text)                                                                \
	static void do_##name(void *arg)                                                           \
	{                                                                                          \
		static u64 memory[2];                                                              \
		u64 zero = 0;                                                                      \
                                                                                                   \
		__asm__ volatile(text : "+m"(memory), "+r"(zero)::"memory", "cc");                 \
	}

VMX_INSTRUCTION(vmxon, "vmxon %0")
VMX_INSTRUCTION(vmxoff, "vmxoff")
VMX_INSTRUCTION(vmclear, "vmclear %0")
VMX_INSTRUCTION(vmptrld, "vmptrld %0")
VMX_INSTRUCTION(vmptrst, "vmptrst %0")
VMX_INSTRUCTION(vmread, "vmread %1, %1")
VMX_INSTRUCTION(vmwrite, "vmwrite %1, %1")
VMX_INSTRUCTION(vmlaunch, "vmlaunch")
VMX_INSTRUCTION(vmresume, "vmresume")
VMX_INSTRUCTION(invept, "invept %0, %1")
VMX_INSTRUCTION(invvpid, "invvpid %0, %1")

static void do_getsec(void *arg)
{
	__asm__ volatile("getsec" ::"a"(0), "b"(0));
}

void check_vmx_instructions(void)
{
	static const struct fault_case cases[] = {
		{ "VMXON raises UD", do_vmxon, NULL, EXC_UD, 0, false },
		{ "VMXOFF raises UD", do_vmxoff, NULL, EXC_UD, 0, false },
		{ "VMCLEAR raises UD", do_vmclear, NULL, EXC_UD, 0, false },
		{ "VMPTRLD raises UD", do_vmptrld, NULL, EXC_UD, 0, false },
		{ "VMPTRST raises UD", do_vmptrst, NULL, EXC_UD, 0, false },
		{ "VMREAD raises UD", do_vmread, NULL, EXC_UD, 0, false },
		{ "VMWRITE raises UD", do_vmwrite, NULL, EXC_UD, 0, false },
		{ "VMLAUNCH raises UD", do_vmlaunch, NULL, EXC_UD, 0, false },
		{ "VMRESUME raises UD", do_vmresume, NULL, EXC_UD, 0, false },
		{ "INVEPT raises UD", do_invept, NULL, EXC_UD, 0, false },
		{ "INVVPID raises UD", do_invvpid, NULL, EXC_UD, 0, false },
		{ "GETSEC raises UD", do_getsec, NULL, EXC_UD, 0, false },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		check_fault(&cases[i]);
}
