/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of experiment `wait`, and what they share: a VM whose vCPUs count the events that they
 * take (a ward), threads of a VMM that keep one vCPU each as the RFC proposes (keepers), and calls
 * that sleep, made by another thread.
 */
#ifndef LAB_WAIT_H
#define LAB_WAIT_H

#include "hv/host/irq.h"
#include "hv/host/ktap.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/vm/vcpu.h"
#include "lab/experiment.h"
#include "lab/wait_box.h"
#include "lab/needs.h"

#define WARD_MAX 8 /* vCPUs */

/* Of a guest's local APIC. */
#define MSR_X2APIC_TPR 0x808
#define MSR_X2APIC_ICR 0x830

/* How a VMM hears of the events of a vCPU that it has taken out of the guest. */
enum wait_way {
	WAY_POSTED,   /* vcpu_wait(), the RFC's flag */
	WAY_SEQUENCE, /* vcpu_wait(), the event sequence */
	WAY_MPSTATE,  /* vcpu_run() in MP_HALTED_USERSPACE */
	NR_WAIT_WAYS,
};

extern const char *const wait_way_name[NR_WAIT_WAYS];

/* A vCPU's box in guest memory: what its guest reports. */
struct wait_box {
	_Atomic u32 beats, interrupts, nmis, starts;
	_Atomic u32 done;	    /* interrupts whose handler is at its end */
	_Atomic u32 msr, low, high; /* to the guest that writes */
	/* Of its own timer: see wait_box.h. */
	_Atomic u32 alarms, delay, random;
	u32 deadline[2];
	_Atomic u32 expiries, early;
};

_Static_assert(offsetof(struct wait_box, interrupts) == BOX_INTERRUPTS, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, nmis) == BOX_NMIS, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, starts) == BOX_STARTS, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, done) == BOX_DONE, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, msr) == BOX_MSR, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, low) == BOX_LOW, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, high) == BOX_HIGH, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, alarms) == BOX_ALARMS, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, delay) == BOX_DELAY, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, random) == BOX_RANDOM, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, deadline) == BOX_DEADLINE, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, expiries) == BOX_EXPIRIES, "as in wait_box.h");
_Static_assert(offsetof(struct wait_box, early) == BOX_EARLY, "as in wait_box.h");

struct ward {
	struct vm *vm;
	u32 nr;
	struct vcpu *vcpu[WARD_MAX];
	struct wait_box *box[WARD_MAX];
};

/**
 * ward_create - a VM with @nr vCPUs about to run the guest, all of them runnable
 * @what: what the guest does (lab/wait_box.h)
 *
 * On failure: one failed result, nothing to destroy, and false.
 */
bool ward_create(struct ward *w, enum wait_way way, u32 nr, u32 what);

/** ward_destroy - its vCPUs are out of the guest and unloaded. Harmless on a zeroed @w. */
void ward_destroy(struct ward *w);

/**
 * ward_warm_up - run vCPU @n until its guest leaves by itself: it takes events from here on
 *
 * Of a guest that leaves or writes. Unloads it. False: it did something else.
 */
bool ward_warm_up(struct ward *w, u32 n);

/** ward_run_until_out - the same for a warm one, its pending I/O included. */
bool ward_run_until_out(struct ward *w, u32 n);

/**
 * ward_write_msr - let the guest of vCPU @n, which writes, and is warm, write an MSR
 *
 * Returns as ward_run_until_out(): whether it has come to its next exit after that. It would write
 * it again, as what it is told stays.
 */
bool ward_write_msr(struct ward *w, u32 n, u32 msr, u64 value);

/** ward_handler - where the guest's handler of interrupts begins. */
u64 ward_handler(void);

/** ward_pending - whether the vCPU's local APIC has something that the vCPU has not taken. */
bool ward_pending(struct vcpu *vcpu);

/* A call that may sleep, made by a thread of its own. */
struct call {
	int (*fn)(struct call *c); /* returns what the call returned; leaves no vCPU loaded */
	struct vcpu *vcpu;
	struct vcpu_wait set[WARD_MAX];
	unsigned int n;
	struct thread *thread;
	_Atomic bool returned;
	int ret;
	u64 at; /* when it had returned */
};

int call_wait(struct call *c); /* vcpu_wait() for the set, for ever */
int call_run(struct call *c);  /* vcpu_run() */

/** call_start - start it on another CPU (on this one when there is none); false: no memory. */
bool call_start(struct call *c);

/** call_asleep - wait until it sleeps, on a vCPU's poll queue or inside vcpu_run(). */
bool call_asleep(struct call *c);

/** call_returned - whether it returns within @ticks. */
bool call_returned(struct call *c, u64 ticks);

/** call_join - wait for its end, which the caller has brought about. */
void call_join(struct call *c);

/* Long enough for whatever is to happen, chaos included; and for what is not to happen. */
#define SOON	   patient(1000000)
#define NOT_AT_ALL patient(30000)

/*
 * Wait for a condition, letting other threads and the timers of this CPU run. Whether it was met;
 * it may not be any more.
 */
#define WAIT_FOR(cond, ticks)                                                                      \
	({                                                                                         \
		u64 end_ = ticks_now() + (ticks);                                                  \
		bool met_;                                                                         \
		while (!(met_ = (cond)) && ticks_now() < end_) {                                   \
			thread_yield();                                                            \
			irq_window();                                                              \
		}                                                                                  \
		met_;                                                                              \
	})

/* A thread of the VMM that keeps one vCPU: waits for its events, runs it, until it is out again. */
struct keeper {
	struct ward *ward;
	struct vcpu *vcpu;
	struct wait_box *box;
	enum wait_way way;
	struct thread *thread;
	_Atomic u64 stay;     /* odd: inside the call that waits */
	_Atomic u64 wakes;    /* times that call said: there is an event */
	_Atomic u64 woken;    /* when, for the last time */
	_Atomic u64 spurious; /* and the guest had taken all there was */
	_Atomic bool over;
	_Atomic int error;
	u64 back;	    /* its own: when the call that waits had returned */
	bool taken_out;	    /* its own: the guest did not leave by itself */
	_Atomic u32 posted; /* events so far; by the one thread that posts */
};

/** keeper_start - on @cpu, for vCPU @n of a ward. False: no memory. */
bool keeper_start(struct keeper *k, struct ward *w, u32 n, enum wait_way way, u32 cpu);

/** keeper_asleep - whether its thread sleeps until somebody wakes it. */
bool keeper_asleep(struct keeper *k);

/** keeper_stop - make it end, and join its thread. Its vCPU is unloaded. */
void keeper_stop(struct keeper *k);

/** keeper_post - one event for the guest; advances k->posted. Returns when the post began. */
u64 keeper_post(struct keeper *k);

/**
 * keeper_settle - wait until the guest has taken all that was posted
 * @lost: advanced when an event was lost (then it is repaired); may be NULL
 *
 * By the thread that posts. False: neither, for a second.
 */
bool keeper_settle(struct keeper *k, u64 *lost);

void wait_stress(enum wait_way way, u64 events, u32 vcpus); /* lab/wait_stress.c */
void wait_latency(enum wait_way way);			    /* lab/wait_latency.c */
void wait_test_poll(void);				    /* lab/wait_poll.c */
void wait_test_several(void);				    /* lab/wait_several.c */
void wait_test_sources(void);				    /* lab/wait_sources.c */
void wait_test_mpstate(void);				    /* lab/wait_mpstate.c */
void wait_test_holes(void);				    /* lab/wait_holes.c */
void wait_test_timers(void);				    /* lab/wait_timers.c */
void wait_trace(enum wait_way way);			    /* lab/wait_trace.c */

#endif
