/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of experiment `kick`, and what they share: a vCPU under fire. */
#ifndef LAB_KICK_H
#define LAB_KICK_H

#include "hv/host/layout.h"
#include "hv/host/patience.h"
#include "hv/host/random.h"
#include "hv/host/thread.h"
#include "lab/experiment.h"
#include "lab/tiny.h"
#include "lab/needs.h"

#define KICK_MAX_SAMPLES 4096
#define KICK_TARGET_CPU	 1

/* Where a kick finds the vCPU. */
enum kick_state {
	STATE_GUEST,	/* in the guest, which has interrupts disabled */
	STATE_OPEN,	/* in the guest, which has them enabled */
	STATE_HALTED,	/* its thread sleeps: the guest is in HLT */
	STATE_VMM,	/* outside vcpu_run() */
	STATE_ENTERING, /* entering, most of the time */
	NR_KICK_STATES,
};

struct kick_setup {
	enum kick_transport transport;
	u64 timer_ticks; /* for KICK_TIMER */
	enum kick_state state;
	struct tiny_code code; /* none: what the state needs */
};

struct kick_target {
	struct tiny tiny;
	struct vcpu *vcpu;
	struct kick_setup setup;
	u32 cpu;
	struct thread *thread;
	_Atomic u64 left;	       /* times vcpu_run() has returned -EINTR */
	_Atomic bool stay_out, is_out; /* keep outside vcpu_run(); is there */
	_Atomic bool over, ended;      /* end; has done so */
	_Atomic int error;	       /* what vcpu_run() should not have returned */
	/* Kicker k has made asked[k] requests; the VMM has heard of the first answered[k]. */
	_Atomic u64 asked[MAX_CPUS], answered[MAX_CPUS];
};

/* Parameters and the room for samples. */
struct kick_params {
	u64 samples, requests, events, timer_ticks;
	int transport, state; /* -1: all */
};

extern u64 kick_samples[3][KICK_MAX_SAMPLES];
extern const char *const kick_transport_names[], *const kick_state_names[];

/**
 * kick_create - a VM with one vCPU as @s says, not running
 *
 * Returns 0; -EOPNOTSUPP: this machine lacks what the transport needs; another error.
 */
int kick_create(struct kick_target *t, const struct kick_setup *s);

/** kick_run - run it in a thread on @cpu. Returns an error of thread_create(). */
int kick_run(struct kick_target *t, u32 cpu);

/** kick_halt - end that thread; kick_run() may follow. */
void kick_halt(struct kick_target *t);

/** kick_destroy - after kick_halt(), or kick_create() without a kick_run(). */
void kick_destroy(struct kick_target *t);

/**
 * kick_start - kick_create() and kick_run() on KICK_TARGET_CPU
 * @name: of the result that is missing when that does not work: it fails, or is skipped with the
 * control that is missing as the reason
 */
bool kick_start(struct kick_target *t, const struct kick_setup *s, const char *name);

/** kick_end - kick_halt() and kick_destroy(). */
void kick_end(struct kick_target *t);

/** kick_limit - ticks within which every kick has to be answered: less than the next heartbeat
 * where the transport does not depend on it. */
u64 kick_limit(const struct kick_setup *s);

/** kick_wait - wait until the vCPU is in its state, then for a while. False: not in time. */
bool kick_wait(struct kick_target *t, struct rng *rng);

/** kick_keep_out - let the vCPU leave vcpu_run() and stay outside. False: it did not in time. */
bool kick_keep_out(struct kick_target *t);

/** kick_let_in - and go back. */
void kick_let_in(struct kick_target *t);

/** kick_counter - the vCPU's counter: it advances while guest code is executed. */
u32 kick_counter(struct kick_target *t);

/** kick_note_error - say what went wrong in the vCPU's thread, if anything. */
void kick_note_error(struct kick_target *t);

void kick_measure(const struct kick_params *p); /* lab/kick_latency.c */
void kick_storms(const struct kick_params *p);	/* lab/kick_storm.c */
void kick_events(const struct kick_params *p);	/* lab/kick_events.c */
void kick_rules(const struct kick_params *p);	/* lab/kick_rules.c */

#endif
