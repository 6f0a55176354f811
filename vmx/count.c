/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting what an exit costs us, instruction by instruction: see vmx_count_path() in vmx/vmx.h.
 *
 * A counter in vmcs_read() would itself be the most expensive thing on the path. So the path that
 * is measured is the unchanged one, single-stepped: the host's debug exception looks at the opcode
 * it is about to return to.
 */
#include "hv/host/irq.h"
#include "hv/host/x86.h"
#include "vmx/internal.h"

static struct vmx_path_count *counting;

enum {
	OPCODE_ESCAPE = 0x0f,
	OPCODE_VMREAD = 0x78,
	OPCODE_VMWRITE = 0x79,
	OPCODE_VMX_GROUP = 0x01,
	MODRM_VMLAUNCH = 0xc2,
	MODRM_VMRESUME = 0xc3,
};

static void step(struct trap_frame *f)
{
	const u8 *insn = (const u8 *)(uintptr_t)f->rip;

	if (!counting) {
		f->rflags &= ~RFLAGS_TF;
		return;
	}
	counting->instructions++;
	if ((*insn & 0xf0) == 0x40) /* REX */
		insn++;
	if (insn[0] != OPCODE_ESCAPE)
		return;
	counting->vmreads += insn[1] == OPCODE_VMREAD;
	counting->vmwrites += insn[1] == OPCODE_VMWRITE;
	if (insn[1] == OPCODE_VMX_GROUP && (insn[2] == MODRM_VMLAUNCH || insn[2] == MODRM_VMRESUME))
		f->rflags &= ~RFLAGS_TF;
}

void vmx_count_path(struct vmx_vcpu *v, struct vmx_path_count *c)
{
	const void *exit = c ? vmx_exit_stepping : vmx_exit;

	counting = c;
	debug_hook = c ? step : NULL;
	if (c)
		*c = (struct vmx_path_count){ 0 };
	vmcs_write(HOST_RIP, (u64)(uintptr_t)exit);
}
