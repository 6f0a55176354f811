/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of hv/vm share among themselves. */
#ifndef HV_VM_INTERNAL_H
#define HV_VM_INTERNAL_H

#include "hv/vm/vcpu.h"
#include "hv/vm/vm.h"

/* What a handler wants: go back into the guest, or leave vcpu_run() (0 or a negative errno). */
#define RESUME_GUEST 1

/* inject.c: return RESUME_GUEST, or 0 with run.reason = SHUTDOWN. */
int vcpu_inject(struct vcpu *vcpu, u8 vector);			/* without an error code */
int vcpu_inject_error(struct vcpu *vcpu, u8 vector, u32 error); /* with one */
int vcpu_handle_exception(struct vcpu *vcpu);
/* Deliver what is pending, or ask for a window. Returns RESUME_GUEST or 0. */
int vcpu_deliver_events(struct vcpu *vcpu);

/* cr.c, msr.c, io.c */
int vcpu_handle_cr(struct vcpu *vcpu);
int vcpu_handle_xsetbv(struct vcpu *vcpu);
int vcpu_handle_rdmsr(struct vcpu *vcpu);
int vcpu_handle_wrmsr(struct vcpu *vcpu);
int vcpu_handle_io(struct vcpu *vcpu);
int vcpu_complete_io(struct vcpu *vcpu);

/* run.c */
int vcpu_load(struct vcpu *vcpu); /* before it runs: 0 or -EBUSY */
int vcpu_exit_error(struct vcpu *vcpu, const char *what);

/* vcpu.c */
void vcpu_reset(struct vcpu *vcpu, int sipi_page);

/* memory.c: where the @len bytes of RAM at @gpa are; NULL when they are not all in one block. */
void *vm_pointer(struct vm *vm, gpa_t gpa, size_t len);

/* walk.c: guest-linear to guest-physical by the guest's own tables. 0, -EFAULT with *error = #PF
 * code. */
int vcpu_translate(struct vcpu *vcpu, gva_t va, bool write, gpa_t *gpa, u32 *error);

#endif
