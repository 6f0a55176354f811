/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of experiment `migrate`, and what they share: one guest, two VMs of this machine, and a
 * modelled link between them.
 *
 * The source's end of the link is LINK_A, the target's LINK_B. What is sent, in its order:
 *
 *	AHEAD...	pages, while the guest runs at the source
 *	STATE...	of each vCPU, now that the source is held
 *	PAGE...		those that the next instruction of each vCPU needs
 *	GO		the guest is the target's from here on
 *	DIRTY		which of the pages that were sent ahead are out of date
 *	PAGE...		asked for (urgent) or pushed
 *	RUNNING		<- it is; news for what follows, and nothing is decided by it
 *	REFUSED		<- the target cannot be these vCPUs, and has not run them
 *	WANTED...	<- the target asks for a page
 *	COMPLETE	<- every page is there
 *
 * Who may run the guest. The source until it sends GO, the target from when it has GO; neither
 * needs to know what became of the other's last message. If the link breaks before GO is sent the
 * source goes on. If it breaks after that, the source cannot know whether the target runs, so it
 * never runs again by itself; and the target cannot go on without the pages that it lacks, so it
 * stops. Only a REFUSED, or somebody who makes sure that the target is gone, gives the guest back.
 * An acknowledgement of GO before the target may run would cost a latency of downtime, and leave
 * the same question about its own loss.
 */
#ifndef LAB_MIGRATE_H
#define LAB_MIGRATE_H

#include "hv/dev/board.h"
#include "hv/host/patience.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "hv/vm/userfault.h"
#include "hv/vm/vcpu.h"
#include "hv/vm/vcpu_state.h"
#include "lab/link.h"

#define MIGRATE_MAX_VCPUS  4
#define MIGRATE_MAX_STALLS 65536 /* that are kept */

enum migrate_way {
	MIGRATE_QUEUE,	/* a handler thread asks for pages, vCPUs sleep */
	MIGRATE_EXIT,	/* SLOT_EXIT_ON_MISSING: a vCPU's own thread asks */
	MIGRATE_BITMAP, /* SLOT_USERFAULT: the same */
	MIGRATE_WAYS,
};

enum migrate_kind {
	KIND_AHEAD,
	KIND_STATE,
	KIND_PAGE,
	KIND_GO,
	KIND_DIRTY,
	KIND_RUNNING,
	KIND_REFUSED,
	KIND_WANTED,
	KIND_COMPLETE,
};

/* Where the link breaks. */
enum migrate_break {
	BREAK_NEVER,
	BREAK_PRECOPY, /* among the pages sent ahead */
	BREAK_STATE,   /* at the first vCPU's state */
	BREAK_GO,      /* with GO on its way */
	BREAK_DEMAND,  /* at a page that was asked for */
	BREAK_PUSH,    /* at one that was not */
	NR_BREAKS,
};

/* Where the downtime goes: what was done by when. */
enum migrate_part {
	PART_HELD,     /* the source is held */
	PART_TAKEN,    /* every vCPU's state is written down and sent */
	PART_GIVEN,    /* the pages for the next instructions and GO are sent */
	PART_ARRIVED,  /* the last state is there */
	PART_RESTORED, /* and has become a vCPU */
	PART_GO,       /* GO is there */
	NR_PARTS,
};

struct migrate_config {
	enum migrate_way way;
	u32 rounds; /* of pre-copy */
	u32 vcpus;
	u64 mib;
	u64 lines; /* that the guest writes in a page */
	struct link_config link;
	enum migrate_break breaks;
	bool refuse; /* break the state on its way */
};

struct migration;

/* A vCPU of one side, and its thread. */
struct migrate_runner {
	struct migration *m;
	struct vcpu *vcpu;
	struct thread *thread;
	struct wait_queue event; /* at the target: a page, a state, GO */
	_Atomic u64 wanted;	 /* the page it waits for */
	const struct vcpu_state *_Atomic state;
	u64 first; /* when it executed the first instruction at the target; 0: not yet */
	_Atomic bool ended;
};

struct migrate_side {
	struct vm *vm;
	struct backing *mem; /* RAM, and after it what the test device shows */
	struct userfault *hidden;
	struct migrate_runner runner[MIGRATE_MAX_VCPUS];
};

/* What is counted of a move, and printed. */
enum migrate_number {
	NUMBER_TOTAL,	     /* ticks */
	NUMBER_AFTER_SWITCH, /* ticks, from the source's last instruction to the last page */
	NUMBER_AHEAD,	     /* pages sent ahead */
	NUMBER_WITH_STATE,   /* sent for the next instructions */
	NUMBER_DEMANDED,
	NUMBER_PUSHED,
	NUMBER_TWICE, /* pages that were sent before */
	NUMBER_BYTES,
	NUMBER_COMPARED, /* pages that had to be the same on both sides */
	NUMBER_WRONG,	 /* bytes that were not; and what the guest has found */
	NUMBER_GAP,	 /* ticks, as the guest sees it */
	NR_NUMBERS,
};

struct migrate_result {
	u64 downtime[MIGRATE_MAX_VCPUS]; /* ticks */
	u64 part[NR_PARTS];		 /* ticks, since the last instruction at the source */
	u64 number[NR_NUMBERS];
	u64 *stall;		/* ticks, as the guest sees them */
	u32 max_stalls, stalls; /* kept; seen */
	u64 checksum[LINK_ENDS];
	u64 missing; /* pages, when the target stopped */
	bool target_ran;
	char why[160];
};

struct migration {
	struct migrate_config config;
	u64 ram, pages, words;
	struct link link;
	struct board board;
	struct migrate_side source, target;
	struct vm_hold hold; /* on the source */
	struct wait_queue event;
	u64 start, paused;   /* ticks */
	_Atomic u32 command; /* to the guest: enum migrate_command */
	_Atomic bool written, measuring;
	_Atomic u32 guest_wrong;
	/* The source. */
	_Atomic bool switching; /* runners give their vCPUs away */
	_Atomic bool gone;	/* GO was sent */
	_Atomic bool source_over;
	_Atomic u32 states_sent;
	_Atomic int error;
	u64 *sent;  /* a bit per page that the target has, or will have without asking */
	u64 *moved; /* that was sent at least once */
	u64 *dirty;
	struct vcpu_state state[MIGRATE_MAX_VCPUS];
	bool running, complete, refused, log_sent;
	/* The target. */
	u64 *here;
	u64 nr_here;
	_Atomic u32 accepted;
	_Atomic bool go, stop;
	_Atomic bool told; /* that it runs */
	struct thread *receiver, *handler;
	_Atomic bool receiver_ended;
	struct migrate_result result;
};

static inline void migrate_wake(struct migration *m)
{
	if (wait_queue_active(&m->event))
		wake_all(&m->event);
}

static inline bool migrate_bit(const u64 *map, u64 page)
{
	return map[page / 64] & BIT(page % 64);
}

static inline void migrate_set_bit(u64 *map, u64 page)
{
	map[page / 64] |= BIT(page % 64);
}

static inline void migrate_part_done(struct migration *m, enum migrate_part part)
{
	m->result.part[part] = ticks_now() - m->paused;
}

/* More ticks than anything takes that ends at all. */
u64 migrate_patience(const struct migration *m);

/** migrate_wait - wait until @cond, asked in the calling thread, for @ticks at most. Its value. */
bool migrate_wait(struct migration *m, bool (*cond)(struct migration *m), u64 ticks);

/** migrate_ended - whether the guest has come to its end, or was brought to it. */
bool migrate_ended(struct migration *m);

/* --- lab/migrate_vm.c: the two VMs ------------------------------------------------------------ */

/** migrate_create - the source with its guest, not yet running. 0 or an error; out->why. */
int migrate_create(struct migration **out, const struct migrate_config *c, char *why, size_t size);

/** migrate_create_target - an empty VM to move to, its threads waiting. 0 or an error. */
int migrate_create_target(struct migration *m);

/** migrate_start - start the guest, and wait until it has written all of its memory. */
int migrate_start(struct migration *m);

/** migrate_finish - tell the guest to come to its end, and wait for it: its status, or an error. */
int migrate_finish(struct migration *m);

/** migrate_end_source, migrate_end_target - stop it, and give its memory back. Once or more. */
void migrate_end_source(struct migration *m);
void migrate_end_target(struct migration *m);

/** migrate_destroy - all of it. */
void migrate_destroy(struct migration *m);

/** migrate_serve - the exit of a vCPU that is its VMM's. True: the guest has ended. */
bool migrate_serve(struct migration *m, struct vcpu *vcpu);

/* Where guest memory is in the backing; false: it is not in there. */
bool migrate_page_of(const struct migration *m, gpa_t gpa, u64 *page);

/* --- lab/migrate_source.c --------------------------------------------------------------------- */

/** migrate_move - all of it, from the first page ahead until the target has every page
 *
 * On CPU 0, in the thread that has created it. Returns 0; -EPIPE (the link broke); -EINVAL (the
 * target refused); other errors. m->gone says whether the guest was given away.
 */
int migrate_move(struct migration *m);

/** migrate_stay - the source goes on, when it has the guest (again). */
void migrate_stay(struct migration *m);

/** migrate_run_source - a runner's thread. */
void migrate_run_source(void *runner);

/** migrate_send_page - a page to the target, where it lies; the source is held. False: not now. */
bool migrate_send_page(struct migration *m, u64 page, bool urgent);

/** migrate_send_hot - lab/migrate_hot.c: the pages that each vCPU's next instruction needs. */
void migrate_send_hot(struct migration *m);

/* --- lab/migrate_target.c --------------------------------------------------------------------- */

void migrate_receive(void *migration); /* thread: takes what arrives */
void migrate_handle(void *migration);  /* thread: asks for what the queue wants */
void migrate_run_target(void *runner); /* thread */

/* --- lab/migrate_check.c ---------------------------------------------------------------------- */

/** migrate_compare - every page that the target has and has not written, with the source's. Both
 * are held. 0 or an error; into m->result. */
int migrate_compare(struct migration *m);

/* --- lab/migrate_breaks.c --------------------------------------------------------------------- */

/** migrate_test_breaks - a link that breaks, at every phase. */
void migrate_test_breaks(const struct migrate_config *base, u32 only);

/* lab/migrate.c: nothing that should be wrong was. Says what. */
bool migrate_note_wrong(const struct migration *m);

extern const char *const migrate_way_name[MIGRATE_WAYS];

#endif
