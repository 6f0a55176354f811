/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of experiment `pause` share, on this hypervisor and on KVM (linux/vmm): an arena,
 * which is a tiny guest's VM with busy vCPUs, its RAM (code and boxes) as a slot that stays, and
 * one slot that is changed under them.
 */
#ifndef LAB_PAUSE_ARENA_H
#define LAB_PAUSE_ARENA_H

#include "hv/host/patience.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "hv/vm/vcpu.h"
#include "lab/experiment.h"
#include "lab/pause_box.h"
#include "lab/tiny.h"
#include "lab/needs.h"

#define ARENA_BASE  0x40000000ull /* the slot that is changed */
#define ARENA_OTHER 0xc0000000ull /* other slots of 4 KiB, every 8 KiB */
#define ARENA_SLOT  1		  /* its id; low memory has 0 */
#define ARENA_SPARE 2		  /* an id for the other part of a split */

/* A vCPU's box, as its VMM sees it that reads and writes it while the guest runs. */
struct box {
	_Atomic u32 beats; /* advances all the time */
	_Atomic u32 halt;
	_Atomic u32 base, stride, count;
	_Atomic u32 errors; /* places that held something else than they should */
	_Atomic u32 free;   /* round after round */
	_Atomic u32 go;	    /* one round, when it differs from done */
	_Atomic u32 done;   /* go, when that round was over */
	_Atomic u32 rounds; /* rounds so far: what stands in each place */
	_Atomic u32 call;
	_Atomic u32 seed;
	u32 unused[4];
	_Atomic u32 received[TINY_NR_VECTORS];
	_Atomic u32 nmis;
};

_Static_assert(sizeof(struct box) == sizeof(struct tiny_box), "the same box");
_Static_assert(offsetof(struct box, halt) == TINY_BOX_HALT, "as in tiny_box.h");
_Static_assert(offsetof(struct box, base) == TINY_BOX_BASE, "as in tiny_box.h");
_Static_assert(offsetof(struct box, errors) == TINY_BOX_ERRORS, "as in tiny_box.h");
_Static_assert(offsetof(struct box, received) == TINY_BOX_RECEIVED, "as in tiny_box.h");
_Static_assert(offsetof(struct box, free) == PAUSE_BOX_FREE, "as in pause_box.h");
_Static_assert(offsetof(struct box, go) == PAUSE_BOX_GO, "as in pause_box.h");
_Static_assert(offsetof(struct box, done) == PAUSE_BOX_DONE, "as in pause_box.h");
_Static_assert(offsetof(struct box, rounds) == PAUSE_BOX_ROUNDS, "as in pause_box.h");
_Static_assert(offsetof(struct box, call) == PAUSE_BOX_CALL, "as in pause_box.h");
_Static_assert(offsetof(struct box, seed) == PAUSE_BOX_SEED, "as in pause_box.h");

/* lab/pause_code.S */
extern const u8 pause_touch_start[], pause_touch_end[];
extern const u8 pause_write_start[], pause_write_end[];
extern const u8 pause_call_start[], pause_call_end[];

#define PAUSE_TOUCH ((struct tiny_code){ pause_touch_start, pause_touch_end })
#define PAUSE_WRITE ((struct tiny_code){ pause_write_start, pause_write_end })

enum arena_memory {
	MEMORY_ON_DEMAND, /* allocated and zeroed as it is touched */
	MEMORY_ALL,	  /* all there from the start */
	MEMORY_1G,	  /* the same, in blocks of 1 GiB */
};

struct arena_config {
	struct tiny_code code; /* default: PAUSE_TOUCH */
	u32 vcpus;
	u64 mib;    /* of the slot that is changed; default 4 */
	u32 others; /* slots beside it, low memory included; default 1 */
	u32 flags;  /* of the slot that is changed */
	enum arena_memory memory;
	u32 way;	  /* linux/vmm: how its vCPUs are stopped, enum pause_way */
	bool small_pages; /* place the backing so that only 4 KiB mappings fit */
	bool traced;
	bool outside_events; /* vm_expect_events() */
	enum slot_zap zap;
	enum dirty_how dirty; /* with SLOT_LOG_DIRTY */
	/* Called in the vCPU's thread, before every vcpu_run(); may be NULL. */
	void (*between)(struct vcpu *vcpu, void *arg);
	void *arg;
};

struct arena;

/* A vCPU and its thread. */
struct runner {
	struct arena *arena;
	struct vcpu *vcpu;
	struct thread *thread;
	struct box *box;
	_Atomic u64 left;	   /* times vcpu_run() returned -EINTR */
	_Atomic u64 missing;	   /* exits at an address in the slot, for want of a slot */
	_Atomic u64 missing_fetch; /* those that were instruction fetches */
	_Atomic bool park, parked; /* the VMM of today: stop here; stopped */
	_Atomic bool ended;
	_Atomic int error;   /* why it ended, if not because it was told to */
	const char *what;    /* words for it */
	_Atomic u64 strange; /* the exit's reason and address, for the diagnosis */
};

struct arena {
	struct arena_config config;
	struct tiny tiny;
	struct vm *vm; /* tiny's */
	u8 *ram;       /* tiny's RAM */
	struct backing *mem;
	u64 offset;    /* into mem: where the slot begins */
	u8 *hva;       /* linux/vmm: where the slot is in the VMM's process */
	u32 nr;	       /* vCPUs */
	u32 first_cpu; /* vCPU i runs on CPU 1 + (first_cpu + i) % (nr_cpus - 1) */
	struct runner runner[MAX_CPUS];
	struct wait_queue parked; /* runners that are to let go */
};

/*
 * Who runs the VM has these: lab/pause_vm.c.
 *
 * arena_spin - ticks that a runner that is to stop spins before it sleeps
 * arena_seconds - longer than anything takes
 * arena_setup - make the new VM, without vCPUs, what a->config says. An errno.
 * arena_create_memory, arena_destroy_memory - the slot and the others beside it
 * arena_prepare - a new vCPU, before it runs
 * arena_emulate - an access that has found no slot. run.mmio says which.
 */
extern const u64 arena_spin, arena_seconds;
int arena_setup(struct arena *a);
int arena_create_memory(struct arena *a);
void arena_destroy_memory(struct arena *a);
void arena_prepare(struct runner *r);
void arena_emulate(struct runner *r);

/** arena_size - bytes of the slot that is changed */
static inline u64 arena_size(const struct arena *a)
{
	return MIB(a->config.mib);
}

/**
 * arena_create - make the VM and its vCPUs, not yet running
 *
 * Returns 0, or an error of what it calls; then there is nothing to destroy. Prints no result.
 */
int arena_create(struct arena *a, const struct arena_config *c);

/** arena_start - start a thread for every vCPU from @first on. 0, -ENOMEM. */
int arena_start(struct arena *a, u32 first);

/** arena_add - one more vCPU, to be started. Returns an error of vcpu_create(). */
int arena_add(struct arena *a);

/** arena_destroy - stop what runs, and free it all. */
void arena_destroy(struct arena *a);

/** arena_run - create and start; one failed result when that does not work. */
bool arena_run(struct arena *a, const struct arena_config *c);

/** arena_all_in - wait until every vCPU executes guest code. False: one does not. */
bool arena_all_in(struct arena *a);

/** arena_frozen - whether no vCPU executes guest code for @ticks. */
bool arena_frozen(struct arena *a, u64 ticks);

/**
 * arena_places - which places the guests touch
 * @count, @stride: the first is at the slot's begin (each vCPU has its own word there)
 *
 * While the guests are idle.
 */
void arena_places(struct arena *a, u32 count, u32 stride);

/** arena_go, arena_wait_done - one round by every vCPU. arena_wait_done() is false when it takes
 * too long. */
void arena_go(struct arena *a);
bool arena_wait_done(struct arena *a);

/** arena_free_run - round after round; or one more and then no other. False: it was not made. */
bool arena_free_run(struct arena *a, bool on);

/** arena_missing, arena_missing_fetch - exits for want of a slot, of all vCPUs so far. */
u64 arena_missing(struct arena *a);
u64 arena_missing_fetch(struct arena *a);

/**
 * arena_intact - whether every place holds what its guest wrote last, and no guest saw anything
 * else
 *
 * While the guests are idle; through vm_read(). Says what is wrong. Also false when a vCPU ended
 * for a reason of its own.
 */
bool arena_intact(struct arena *a);

/** arena_let_go - let runners go that were told to park. */
void arena_let_go(struct arena *a);

/* Wait for a condition, for arena_seconds at most. Whether it was met; it may not be any more. */
#define ARENA_WAIT(cond)                                                                           \
	({                                                                                         \
		u64 end_ = ticks_now() + arena_seconds * tsc_hz;                                   \
		bool met_;                                                                         \
		while (!(met_ = (cond)) && ticks_now() < end_)                                     \
			cpu_relax();                                                               \
		met_;                                                                              \
	})

#endif
