/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of experiment `kick` on KVM, and what they share: a vCPU under fire. */
#ifndef LINUX_VMM_KICK_H
#define LINUX_VMM_KICK_H

#include "hv/host/layout.h"
#include "hv/host/random.h"
#include "hv/host/thread.h"
#include "lab/experiment.h"
#include "lab/tiny.h"
#include "linux/vmm/vmm.h"

#define KICK_MAX_SAMPLES 4096
#define KICK_TARGET_CPU	 1

enum transport {
	BY_SIGNAL,    /* a signal that is blocked but in KVM_RUN */
	BY_IMMEDIATE, /* run->immediate_exit, and a signal */
	BY_REQUEST,   /* a request of the kernel's own to all vCPUs: KVM_RUN does not return */
	NR_TRANSPORTS,
};

/* Where a kick finds the vCPU. As in lab/kick.h, where the words are the same. */
enum where {
	IN_GUEST,   /* in the guest, which has interrupts disabled */
	IN_OPEN,    /* in the guest, which has them enabled */
	IN_HLT,	    /* its thread sleeps in KVM_RUN: the guest is in HLT */
	IN_VMM,	    /* outside vcpu_run() */
	IN_ENTRIES, /* entering and leaving, most of the time */
	NR_WHERE,
};

struct target {
	struct tiny tiny;
	struct vcpu *vcpu;
	enum transport transport;
	enum where where;
	struct thread *thread;
	_Atomic u64 left;	       /* times vcpu_run() has returned -EINTR */
	_Atomic bool stay_out, is_out; /* keep outside vcpu_run(); is there */
	_Atomic bool over;
	_Atomic int error; /* what vcpu_run() should not have returned */
	/* Kicker k has made asked[k] requests; the VMM has heard of the first answered[k]. */
	_Atomic u64 asked[MAX_CPUS], answered[MAX_CPUS];
};

extern const char *const transport_names[], *const where_names[], *const where_words[];

/**
 * target_start - a VM with one vCPU, running @code in a thread on KICK_TARGET_CPU
 * @name: of the result that is missing when that does not work
 */
bool target_start(struct target *t, struct tiny_code code, const char *name);
void target_end(struct target *t);

/** target_code - a guest that is where t->where says */
struct tiny_code target_code(enum where where);

/** target_wait - wait until the vCPU is there, then for a while. False: not in time. */
bool target_wait(struct target *t, struct rng *rng);

/** target_keep_out, target_let_in - make the vCPU stay outside vcpu_run(), and go back. */
bool target_keep_out(struct target *t);
void target_let_in(struct target *t);

/** target_limit - ticks within which every kick has to be answered. */
u64 target_limit(void);

/** target_note_error - say what went wrong in the vCPU's thread, if anything. */
void target_note_error(struct target *t);

/** target_can - true; or a SKIP of the behaviour @name, which this machine cannot show */
bool target_can(enum where where, bool named, const char *name);

struct kick_params {
	u64 samples, requests;
	int transport, where; /* -1: all */
};

void kick_measure(const struct kick_params *p);
void kick_storms(const struct kick_params *p);

#endif
