/* SPDX-License-Identifier: GPL-2.0-only */
/* What the series adds to <linux/kvm.h>: the build machine's headers need not know it. */
#ifndef LINUX_VMM_UAPI_H
#define LINUX_VMM_UAPI_H

#include <linux/kvm.h>

/* --- exit on missing -------------------------------------------------------------------------- */

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif
#ifndef KVM_CAP_EXIT_ON_MISSING
#define KVM_CAP_EXIT_ON_MISSING 236
#endif
#ifndef KVM_MEM_EXIT_ON_MISSING
#define KVM_MEM_EXIT_ON_MISSING (1UL << 3)
#endif
#ifndef KVM_MEMORY_EXIT_FLAG_READ
#define KVM_MEMORY_EXIT_FLAG_READ  (1ULL << 0)
#define KVM_MEMORY_EXIT_FLAG_WRITE (1ULL << 1)
#define KVM_MEMORY_EXIT_FLAG_EXEC  (1ULL << 2)
#endif

/* kvm_run.memory_fault, which older headers' union does not have: at the union's start. */
struct kvm_run_memory_fault {
	__u64 flags;
	__u64 gpa;
	__u64 size;
};

/* --- kick all --------------------------------------------------------------------------------- */

#ifndef KVM_CAP_KICK_ALL_VCPUS
#define KVM_CAP_KICK_ALL_VCPUS	    237
#define KVM_KICK_ALL_RUNNING_VCPUS  _IO(KVMIO, 0xd4)
#define KVM_RESUME_ALL_KICKED_VCPUS _IO(KVMIO, 0xd5)
#endif

/* --- waiting ---------------------------------------------------------------------------------- */

#ifndef KVM_CAP_VCPU_POLL
#define KVM_CAP_VCPU_POLL 238
#endif
#ifndef KVM_CAP_MP_STATE_HALTED_USERSPACE
#define KVM_CAP_MP_STATE_HALTED_USERSPACE 239
#endif
#ifndef KVM_MP_STATE_HALTED_USERSPACE
#define KVM_MP_STATE_HALTED_USERSPACE 11
#endif
#ifndef KVM_SYSTEM_EVENT_WAKEUP
#define KVM_SYSTEM_EVENT_WAKEUP 4
#endif

#endif
