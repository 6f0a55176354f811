/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules a VMCS must obey for a VM entry to succeed, written out so that a failed entry can name
 * the one that was broken. Source: Intel SDM, volume on system programming, "VM Entries": checks on
 * VMX controls, on the host-state area and on the guest-state area.
 */
#ifndef VMX_CHECK_H
#define VMX_CHECK_H

#include "hv/host/types.h"
#include "vmx/caps.h"

struct vmcs_reader {
	u64 (*read)(void *ctx, u32 field); /* the current VMCS, or a test's array */
	void *ctx;
	/*
	 * Optional: @len bytes of memory at a host-physical address, or NULL when it is no RAM.
	 * With it the rules are checked too that concern memory a field points to: the entry
	 * MSR-load list, the virtual-APIC page, the VMCS link pointer's revision, PDPTEs without
	 * EPT.
	 */
	const void *(*mem)(void *ctx, hpa_t pa, u64 len);
	/*
	 * Optional: the guest's area at hand, by vmcs_guest_index(), and not asked for by read(),
	 * which then has an answer for every other field, whether this CPU has it or not.
	 */
	const u64 *guest;
};

/* AREA_EVENT: of the controls what is to be injected; they include it. */
enum vmcs_area { AREA_CONTROLS = 1, AREA_HOST = 2, AREA_GUEST = 4, AREA_ALL = 7, AREA_EVENT = 8 };

typedef void vmcs_report(void *arg, const char *rule, const char *field, u64 value);

/**
 * vmcs_check - look for violated entry rules
 * @caps: this CPU's capabilities
 * @r: how to read a field (only fields that exist on this CPU are read)
 * @areas: which areas to check
 * @report: called for every violated rule: in words, with the field's name and its value (for a
 *	    rule about memory: the value found there). @rule is valid during the call only.
 * @arg: passed to @report
 *
 * The rules are those for an entry outside SMM from a 64-bit host. Not checked, because they depend
 * on CPU features Stillpoint never enables: tertiary and secondary-exit controls, CET, MPX, PKRS,
 * processor trace beyond control bits, user interrupts, and reserved bits of PERF_GLOBAL_CTRL.
 *
 * Returns the number of violations. Any context.
 */
unsigned int vmcs_check(const struct vmx_caps *caps, const struct vmcs_reader *r,
			enum vmcs_area areas, vmcs_report *report, void *arg);

/**
 * vmcs_dump - print every field that exists, by name
 * @line: called with each finished line, at most 100 columns, without a newline
 * @arg: passed to @line
 *
 * Four groups (controls, exit information, guest, host) in two columns; a guest segment register is
 * one line. Any context.
 */
void vmcs_dump(const struct vmx_caps *caps, const struct vmcs_reader *r,
	       void (*line)(void *arg, const char *text), void *arg);

/** vm_instruction_error - VM_INSTRUCTION_ERROR in words, "?" for an unknown number. */
const char *vm_instruction_error(u32 error);

/**
 * exit_reason_name - a basic exit reason in words ("EPT violation")
 * @reason: VM_EXIT_REASON; only the basic reason, bits 15:0, is looked at
 *
 * Returns "?" for an unknown one.
 */
const char *exit_reason_name(u32 reason);

#endif
