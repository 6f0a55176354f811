/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of experiment `kick`, and what they share: a vCPU under fire. Who runs it, this
 * hypervisor or KVM (linux/vmm), has ways of its own to kick it.
 */
#ifndef LAB_KICK_H
#define LAB_KICK_H

#include "hv/host/layout.h"
#include "hv/host/patience.h"
#include "hv/host/random.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
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

struct metric_param;

struct kick_setup {
	u32 transport;	 /* a row of kick_transport_names: enum kick_transport here */
	u64 timer_ticks; /* for KICK_TIMER */
	enum kick_state state;
	bool asked;	       /* for that state by name */
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
extern const char *const kick_transport_names[];
extern const char *const kick_state_names[], *const kick_state_words[];

/*
 * Who runs the vCPU has these, and kick_transport_names: lab/kick_vm.c.
 *
 * kick_prepare - make the new VM what t->setup says. 0; -EOPNOTSUPP; another error.
 * kick_needs - what this machine lacks, for a SKIP, when that was -EOPNOTSUPP
 * kick_never - ticks after which nothing is waited for any longer
 * kick_limit - ticks within which every kick has to be answered: less than the next heartbeat where
 *		the transport does not depend on it
 * kick_wait - wait until the vCPU is in its state, then for a while. False: not in time.
 */
int kick_prepare(struct kick_target *t);
const char *kick_needs(const struct kick_setup *s);
u64 kick_never(void);
u64 kick_limit(const struct kick_setup *s);
bool kick_wait(struct kick_target *t, struct rng *rng);

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
 * words of kick_needs() as the reason
 */
bool kick_start(struct kick_target *t, const struct kick_setup *s, const char *name);

/** kick_end - kick_halt() and kick_destroy(). */
void kick_end(struct kick_target *t);

/** kick_keep_out - let the vCPU leave vcpu_run() and stay outside. False: it did not in time. */
bool kick_keep_out(struct kick_target *t);

/** kick_let_in - and go back. */
void kick_let_in(struct kick_target *t);

/** kick_counter - the vCPU's counter: it advances while guest code is executed. */
u32 kick_counter(struct kick_target *t);

/** kick_note_error - say what went wrong in the vCPU's thread, if anything. */
void kick_note_error(struct kick_target *t);

/** kick_ask - make @request; and let a vCPU in STATE_VMM go back. Returns when, in ticks. */
static inline u64 kick_ask(struct kick_target *t, u32 request)
{
	u64 start = ticks_now();

	vcpu_request(t->vcpu, request);
	if (t->setup.state == STATE_VMM)
		atomic_store(&t->stay_out, false);
	return start;
}

/* The loop looks as often as it can: its length is part of the figure. 0: not in time, where a look
 * takes four instructions or more. */
#define KICK_TICKS_UNTIL(start, limit, cond)                                                       \
	({                                                                                         \
		u64 tries_ = (limit) / 4;                                                          \
                                                                                                   \
		while (!(cond) && --tries_)                                                        \
			;                                                                          \
		tries_ ? ticks_now() - (start) : 0;                                                \
	})

/**
 * kick_sample - take @n samples, each with the vCPU in its state
 * @sample: returns ticks, 0: not answered in time
 *
 * Returns how many were answered in time.
 */
unsigned int kick_sample(struct kick_target *t, u64 (*sample)(struct kick_target *t), u64 *samples,
			 unsigned int n, struct rng *rng);

/** kick_sample_leave - a sample: until vcpu_run() has returned -EINTR */
u64 kick_sample_leave(struct kick_target *t);

/** kick_report - @n samples in ticks, with transport, state and CPUs; sorts them. */
void kick_report(const struct kick_setup *s, const char *metric, u64 *samples, unsigned int n);

/**
 * kick_measure_one - one kind of vCPU, from its creation to its end
 * @measure: reports @n samples or fewer, and the result @name
 */
void kick_measure_one(const struct kick_setup *s, unsigned int n,
		      void (*measure)(struct kick_target *t, unsigned int n, const char *name));

/**
 * kick_measure_floor - the result @name, and kick.floor: a CPU without a vCPU is interrupted
 * @sample: interrupts KICK_TARGET_CPU. Returns ticks, 0: not answered.
 */
void kick_measure_floor(const char *name, u64 (*sample)(struct rng *rng), u64 *samples,
			unsigned int n);

#define KICK_WAIT_EVERY 8 /* requests, on average, a kicker of a storm waits for the answer */

struct kick_storm {
	struct kick_target target;
	u64 requests;	  /* by each kicker */
	u64 max_pause;	  /* ticks after every other wait: the vCPU gets back to where it was */
	u32 kickers;	  /* how many there were */
	u64 ticks;	  /* that it took */
	_Atomic u64 made; /* requests, by all */
	_Atomic u64 lost; /* waits that were in vain */
};

/**
 * kick_storm_one - one storm, from the vCPU's creation to its end
 * @run: has it kicked, reports, and gives the result @name
 */
void kick_storm_one(struct kick_storm *s, const struct kick_setup *setup,
		    void (*run)(struct kick_storm *s, const char *name));

/** kick_storm_run - one kicker on every CPU but the vCPU's, this one included. */
void kick_storm_run(struct kick_storm *s);

/** kick_storm_answered - afterwards: none was lost, and the VMM has heard of all. */
bool kick_storm_answered(struct kick_storm *s);

#define KICK_STORM_PARAMS 3

/** kick_storm_report - kick.requests, kick.left, kick.storm. @p: gets the parameters they have. */
void kick_storm_report(struct kick_storm *s, struct metric_param *p);

void kick_measure(const struct kick_params *p); /* lab/kick_latency.c */
void kick_storms(const struct kick_params *p);	/* lab/kick_storm.c */
void kick_events(const struct kick_params *p);	/* lab/kick_events.c */
void kick_rules(const struct kick_params *p);	/* lab/kick_rules.c */

#endif
