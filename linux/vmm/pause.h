/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of experiment `pause` on KVM, and what they share: an arena, which is a tiny guest's VM
 * with busy vCPUs, its RAM (code and boxes) as a slot that stays, and one slot that is changed
 * under them. The guests are those of lab/pause_code.S.
 */
#ifndef LINUX_VMM_PAUSE_H
#define LINUX_VMM_PAUSE_H

#include "hv/host/layout.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "lab/experiment.h"
#include "lab/needs.h"
#include "lab/pause_box.h"
#include "lab/tiny.h"
#include "linux/vmm/vmm.h"

#define ARENA_BASE  0x40000000ull /* the slot that is changed */
#define ARENA_OTHER 0xc0000000ull /* other slots of 4 KiB, every 8 KiB */
#define ARENA_SLOT  1		  /* its number; low memory has 0 */
#define ARENA_SPARE 2		  /* a number for the other part of a split */

enum pause_way {
	WAY_LIVE,      /* the calls as they are, beside running vCPUs */
	WAY_SIGNAL,    /* a signal to every vCPU's thread, and wait until it has left KVM_RUN */
	WAY_IMMEDIATE, /* the same with run->immediate_exit */
	WAY_KICK_ALL,  /* KVM_KICK_ALL_RUNNING_VCPUS */
	NR_WAYS,
};

extern const char *const pause_way_names[NR_WAYS];

struct arena;

/* A vCPU and its thread. */
struct runner {
	struct arena *arena;
	struct vcpu *vcpu;
	struct thread *thread;
	u8 *box;
	_Atomic u64 missing;	   /* exits at an address in the slot, for want of a slot */
	_Atomic bool park, parked; /* stop here; stopped */
	_Atomic int error;	   /* why it ended, if not because it was told to */
	const char *what;	   /* words for it */
};

struct arena {
	struct tiny tiny;
	struct vm *vm; /* tiny's */
	enum pause_way way;
	u32 nr; /* vCPUs */
	u64 size;
	u32 others; /* slots beside it, low memory included */
	u8 *hva;    /* of the slot that is changed */
	_Atomic bool over;
	struct runner runner[MAX_CPUS];
	struct wait_queue parked; /* runners that are to let go */
};

struct arena_config {
	struct tiny_code code; /* default: the guest that touches the slot when it is told to */
	enum pause_way way;    /* how its vCPUs are made to leave KVM_RUN */
	u32 vcpus;
	u64 mib; /* of the slot that is changed; default 4 */
	u32 others;
	bool small_pages; /* only 4 KiB mappings fit */
};

/* A word of a vCPU's box: TINY_BOX_* and PAUSE_BOX_*. */
static inline _Atomic u32 *box_word(struct runner *r, u32 offset)
{
	return (_Atomic u32 *)(r->box + offset);
}

/** arena_create - make the VM and its vCPUs, not yet running. Returns 0 or an error; then there is
 * nothing to destroy. */
int arena_create(struct arena *a, const struct arena_config *c);

/** arena_start - start a thread for every vCPU from @first on. 0, -ENOMEM. */
int arena_start(struct arena *a, u32 first);

/** arena_add - one more vCPU, to be started. Returns an error of vcpu_create(). */
int arena_add(struct arena *a);

/** arena_run - create and start; one failed result when that does not work. */
bool arena_run(struct arena *a, const struct arena_config *c);

/** arena_destroy - stop what runs, and free it all. */
void arena_destroy(struct arena *a);

/** arena_all_in - wait until every vCPU executes guest code. False: one does not. */
bool arena_all_in(struct arena *a);

/** arena_frozen - whether no vCPU executes guest code for @ticks. */
bool arena_frozen(struct arena *a, u64 ticks);

/** arena_places - which places the guests touch, while they are idle. */
void arena_places(struct arena *a, u32 count, u32 stride);

/** arena_go, arena_wait_done - one round by every vCPU. arena_wait_done() is false when it takes
 * too long. */
void arena_go(struct arena *a);
bool arena_wait_done(struct arena *a);

/** arena_free_run - round after round; or one more and then no other. False: it was not made. */
bool arena_free_run(struct arena *a, bool on);

/** arena_missing - exits for want of a slot, of all vCPUs so far. */
u64 arena_missing(struct arena *a);

/** arena_exits - VM exits of all vCPUs so far, by the kernel's count. */
u64 arena_exits(struct arena *a);

/** arena_intact - whether every place holds what its guest wrote last, and no guest saw anything
 * else. While the guests are idle. Says what is wrong. */
bool arena_intact(struct arena *a);

/** arena_hold, arena_resume - stop all vCPUs and let them go, in the arena's way. Return 0 or a
 * negative errno. WAY_LIVE does not stop them. */
int arena_hold(struct arena *a);
int arena_resume(struct arena *a);

/** arena_delete, arena_insert - the two calls that replace the slot. Return 0 or a negative errno.
 */
int arena_delete(struct arena *a);
int arena_insert(struct arena *a);

/* Wait for a condition, for some seconds at most. Whether it was met; it may not be any more. */
#define ARENA_WAIT(cond)                                                                           \
	({                                                                                         \
		u64 end_ = ticks_now() + 20 * tsc_hz;                                              \
		bool met_;                                                                         \
		while (!(met_ = (cond)) && ticks_now() < end_)                                     \
			cpu_relax();                                                               \
		met_;                                                                              \
	})

struct pause_options {
	u32 vcpus;
	u64 mib, ticks;
	u32 others;
	bool only_given; /* the sizes that were asked for, no others */
	u64 ways;	 /* bit per enum pause_way */
	bool touch;
};

void pause_measure(const struct pause_options *o); /* linux/vmm/pause_measure.c */
void pause_rules(void);				   /* linux/vmm/pause_rules.c */

#endif
