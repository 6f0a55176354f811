/* SPDX-License-Identifier: GPL-2.0-only */
/* A VMM for whole guests: one multiboot1 program, its board, a thread per vCPU. */
#ifndef LAB_VMM_H
#define LAB_VMM_H

#include "hv/dev/board.h"
#include "hv/dev/multiboot.h"
#include "hv/host/thread.h"
#include "hv/vm/vcpu.h"

#define VMM_DEFAULT_SECONDS 30

struct vmm_config {
	struct multiboot_image image;
	u64 ram;	  /* bytes, a multiple of 1 MiB */
	u32 cpus;	  /* vCPU i runs on CPU i % nr_cpus */
	bool populate;	  /* map all RAM before the guest starts */
	u64 seconds;	  /* time limit, 0: none */
	bool hide_x2apic; /* vm_hide_x2apic() */
	bool choose_apic; /* vm_set_apic(apic) */
	u8 apic;	  /* enum vmx_apic_rung */
	/* Called for every vCPU before it runs; may be NULL. */
	void (*prepare)(struct vcpu *vcpu, void *arg);
	/* Called in a thread of its own, on the last CPU, while the guest runs; may be NULL.
	 * Returns when *ended is true. */
	void (*beside)(struct vm *vm, _Atomic bool *ended, void *arg);
	/*
	 * Called with the board when everything is there and nothing runs yet; may be NULL. Returns
	 * 0 or a negative errno.
	 */
	int (*ready)(struct board *board, void *arg);
	/*
	 * Called in each vCPU's thread when vcpu_run() has returned @err and its exit was served;
	 * may be NULL. May change with which vCPU the thread goes on. Returns 0 to go on, or @err.
	 */
	int (*turn)(struct vcpu **vcpu, int err, void *arg);
	void *arg;
};

struct vmm_result {
	int status; /* the guest's own (0..119), or an enum run_status */
	char why[160];
	u32 cpus_used; /* distinct CPUs that ran a vCPU */
};

/**
 * vmm_run - run a guest to its end
 * @config: what to run
 * @out: how it ended
 *
 * Returns 0 when the guest has run; a negative errno with out->why when it could not be started: a
 * bad image, too little memory. Thread context on CPU 0; one at a time.
 */
int vmm_run(const struct vmm_config *config, struct vmm_result *out);

/**
 * vmm_embedded - the configuration for a guest that is part of the image
 * @name: its name; @append: its command line
 *
 * Returns 0, -ENOENT.
 */
int vmm_embedded(struct vmm_config *config, const char *name, const char *append);

#endif
