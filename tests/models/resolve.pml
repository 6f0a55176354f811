/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are missing: vCPUs that fault, and those who bring pages and take them away again.
 *
 * What is modelled, step by step
 *   vcpu      a guest that touches one page, and its thread: fault(), resolve(), vcpu_handle_memory()
 *             and vcpu_rerun_fault() in hv/vm/fault.c, slot_missing() in hv/vm/fault_internal.h;
 *             missing_wait() in hv/vm/missing.c and backing_wait() in hv/vm/backing_fetch.c; a VMM that
 *             fills the page after a memory-fault exit
 *   handler   vm_next_fetch() in hv/vm/fetch.c, then backing_fill() in hv/vm/backing_fetch.c
 *   pusher    a thread that brings the page unasked: backing_fill(), or backing_stage() and then
 *             backing_publish() (STAGES)
 *   taker     take_away() in hv/vm/backing_move.c for backing_punch(), or userfault_set() in
 *             hv/vm/userfault.c; TAKES times
 *   pauser    vm_pause() and vm_resume() in hv/vm/pause.c
 *   changer   slots_step() in hv/vm/slots_step.c and missing_wake(): the slot gets the other flag, or is
 *             deleted and created again with it
 *
 * The ways
 *   (none)    the slot has no flag: the vCPU's thread sleeps until the page has been brought
 *   EXITS     SLOT_EXIT_ON_MISSING: the vCPU's thread tells its VMM, which brings the page
 *   BITMAP    SLOT_USERFAULT: the same for a page that the bitmap hides. The VMM writes the page, then
 *             clears its bit. That a page is resolved or hidden by one thread at a time is the
 *             VMM's own business here (hv/ cannot know what contents are the right ones): `claimed`
 *             is its lock then
 *
 * The page's two halves are copied one after the other. What is done under the backing's lock, or under
 * the table lock, is one step. Memory is sequentially consistent: who sleeps is on its queues by a
 * read-modify-write before it looks, and looks at the page under the backing's lock; the hold and the
 * slots are published by read-modify-writes; x86 keeps the stores of a copy and of the clear bit in
 * order.
 *
 * Left out, because other models verify it: how a flush reaches the CPUs and how a page moves
 * (invalidate.pml; here a flush is one step for each vCPU), the grace period and marked slots
 * (slots.pml), how a pause reaches the CPUs (pause.pml). Blocks of 2 MiB; several pages.
 *
 * Verified: the guest never uses a page that is missing, half copied, or older than the last clear of
 * its bit; a page is filled once, and what the guest has written stays; on return of backing_fill() the
 * page was present; a page is handed out to one handler; a memory-fault exit is made only if at some
 * moment since the vCPU's exit, or its rerun, the page was missing and its slot had the flag; nobody
 * looks at a slot that was freed; while the VM is held nobody runs a guest or is in a read section; and
 * everything ends: nobody sleeps for a page that is there; who sleeps comes out for a pause and for
 * slots that have changed, also if nobody brings the page before that (the handler waits for it as it
 * likes).
 *
 * Sizes: NV vCPUs that touch the page TOUCHES times each, NH handlers, NP pushers, TAKES, PAUSES,
 * CHANGES. With KEEPS a change of slots does not delete the slot first.
 */
/* verify: queue -DTAKES=2 */
/* verify: queue-three-vcpus -DNV=3 -DTOUCHES=1 -DTAKES=0 */
/* verify: queue-two-handlers -DNH=2 -DTOUCHES=1 */
/* verify: queue-pushed -DNP=1 -DTOUCHES=1 */
/* verify: queue-staged -DNP=1 -DSTAGES -DTOUCHES=1 */
/* verify: queue-paused -DPAUSES=1 */
/* verify: queue-paused-twice -DPAUSES=2 -DNV=1 */
/* verify: queue-changed -DCHANGES=1 -DTAKES=0 -DTOUCHES=1 */
/* verify: queue-all -DNV=1 -DPAUSES=1 -DCHANGES=1 */
/* verify: exits -DEXITS -DTAKES=2 */
/* verify: exits-three-vcpus -DEXITS -DNV=3 -DTOUCHES=1 -DTAKES=0 */
/* verify: exits-pushed -DEXITS -DNP=1 -DTOUCHES=1 */
/* verify: exits-staged -DEXITS -DNP=1 -DSTAGES -DTOUCHES=1 */
/* verify: exits-paused -DEXITS -DPAUSES=1 */
/* verify: exits-changed -DEXITS -DKEEPS -DCHANGES=1 -DTAKES=0 -DTOUCHES=1 */
/* verify: exits-changed-taken -DEXITS -DNV=1 -DCHANGES=2 -DTOUCHES=1 */
/* verify: exits-cached -DEXITS -DCACHED -DNV=1 -DCHANGES=2 -DTAKES=0 */
/* verify: exits-all -DEXITS -DNV=1 -DPAUSES=1 -DCHANGES=1 -DTOUCHES=1 */
/* verify: bitmap -DBITMAP -DTAKES=2 */
/* verify: bitmap-three-vcpus -DBITMAP -DNV=3 -DTOUCHES=1 -DTAKES=1 -DNH=0 */
/* verify: bitmap-pushed -DBITMAP -DNP=1 -DTOUCHES=1 */
/* verify: bitmap-paused -DBITMAP -DPAUSES=1 -DNH=0 */
/* broken: bit-first -DBITMAP -DSHOW_FIRST -DNV=2 -DTAKES=0 -DTOUCHES=1 : the bit is cleared before the page is written */
/* broken: publish-first -DEXITS -DPUBLISH_FIRST -DTAKES=0 -DTOUCHES=1 : the page is published before its contents are copied */
/* broken: no-claim -DEXITS -DNO_CLAIM -DTAKES=0 -DTOUCHES=1 : who fills a page does not claim it */
/* broken: publish-claimed -DEXITS -DNP=1 -DSTAGES -DPUBLISH_CLAIMED -DTAKES=0 -DTOUCHES=1 : a staged page is published while somebody copies into it */
/* broken: wake-first -DWAKE_FIRST -DNV=1 -DTAKES=0 -DTOUCHES=1 : sleepers are woken before the page is published */
/* broken: look-first -DLOOK_FIRST -DNV=1 -DTAKES=0 -DTOUCHES=1 : the vCPU's thread looks at the page before it is on the queue, and not after */
/* broken: fill-no-wake -DFILL_NO_WAKE -DNV=1 -DTAKES=0 -DTOUCHES=1 : a fill wakes nobody */
/* broken: looks-first -DLOOKS_FIRST -DNV=1 -DNP=1 -DTAKES=0 -DTOUCHES=1 : a fill looks whether the page is wanted before it publishes the page, not in the same step */
/* broken: want-again -DWANT_AGAIN -DNH=2 -DTAKES=0 -DTOUCHES=1 : a page that has been handed out is wanted anew */
/* broken: pause-no-wake -DPAUSE_NO_WAKE -DNV=1 -DPAUSES=1 -DTAKES=0 -DTOUCHES=1 : a pause does not wake who sleeps for a page */
/* broken: pause-looked-first -DHOLD_FIRST -DNV=1 -DPAUSES=1 -DTAKES=0 -DTOUCHES=1 : the vCPU's thread looks at the hold before it is on its queues, and not after */
/* broken: change-no-wake -DCHANGE_NO_WAKE -DNV=1 -DCHANGES=1 -DTAKES=0 -DTOUCHES=1 : a change of slots does not wake who sleeps for a page */
/* broken: cached-late -DEXITS -DCACHED -DCACHED_LATE -DNV=1 -DCHANGES=1 -DTAKES=0 : the vCPU notes its last slot with a generation that is read after the slot was found */
/* broken: sleepers-last -DSLEEPERS_LAST -DNV=1 -DCHANGES=1 -DTAKES=0 -DTOUCHES=1 : who sleeps for a page counts itself after it has looked at the slots' generation */
/* broken: wake-before -DWAKE_BEFORE -DNV=1 -DCHANGES=1 -DTAKES=0 -DTOUCHES=1 : a change of slots wakes sleepers before it advances the generation */
/* broken: generation-last -DGENERATION_LAST -DNV=1 -DCHANGES=1 -DTAKES=0 -DTOUCHES=1 : the slots' generation is read after the slot was found */
/* broken: report-outside -DEXITS -DREPORT_OUTSIDE -DNV=1 -DCHANGES=1 -DTAKES=0 -DTOUCHES=1 : the slot's flag is looked at outside the read section */
/* broken: report-unchecked -DEXITS -DREPORT_UNCHECKED -DPRESENT -DNV=1 -DCHANGES=1 -DTOUCHES=1 : a memory-fault exit is made without asking whether anything has changed */
/* broken: rerun-believes -DEXITS -DRERUN_BELIEVES -DNV=1 -DTAKES=0 -DTOUCHES=1 : the rerun repeats the exit without looking at the page */
/* broken: seq-last -DEXITS -DSEQ_LAST -DPRESENT -DNV=1 -DTOUCHES=1 : the sequence is read after the page was looked up */
/* broken: hide-no-zap -DBITMAP -DNO_ZAP -DPRESENT -DNV=1 : the bit is set, and the translation stays */
/* broken: hide-no-flush -DBITMAP -DNO_FLUSH -DPRESENT -DNV=1 : the bit is set and the translation taken out of the tables, without a flush */
/* broken: hide-no-invalidation -DBITMAP -DNO_INVALIDATION -DPRESENT -DNV=1 : the bit is set without an invalidation around it */
/* broken: bit-last -DBITMAP -DMAP_FIRST -DTAKES=0 -DTOUCHES=1 : the page is mapped, and then the bit looked at */
#ifndef NV
#define NV 2
#endif
#ifndef NH
#define NH 1
#endif
#ifndef NP
#define NP 0
#endif
#ifndef TOUCHES
#define TOUCHES 2
#endif
#ifndef TAKES
#define TAKES 1
#endif
#ifndef PAUSES
#define PAUSES 0
#endif
#ifndef CHANGES
#define CHANGES 0
#endif

/*@ column vcpu "vCPU" */
/*@ column handler "handler" */
/*@ column pusher "pusher" */
/*@ column taker "taker" */
/*@ column pauser "pauser" */
/*@ column changer "slot change" */

#define BIT(t) (1 << (t))
#define HAS(set, t) (((set) >> (t)) & 1)

#ifdef PRESENT
#define FIRST true
#else
#define FIRST false
#endif

/* The page. */
bool here = FIRST;		/* in the backing; BITMAP: always, and this is whether its bit is clear */
bool claimed, staged;
bool wanted, arriving;
byte half[2] = FIRST;		/* what it contains; 0: nothing of use */
byte contents = 1;		/* what it has to contain; BITMAP: since it was hidden the last time */
bool written;			/* by the guest, since it was filled */
byte takes;			/* how often it was taken away */

/* The slots: a number for each, 0 is the hole. */
byte visible = 1;
byte freed;
#if defined(EXITS) || defined(BITMAP)
byte flagged = 2;		/* those with the flag, a bit for each */
#else
byte flagged;
#endif
byte generation = 1;

bool hold, held;
byte in_progress, seq;
byte busy = PAUSES + CHANGES;	/* pauses and changes that are yet to end */

/* vCPUs, a bit for each. */
byte ept, tlb;
byte guest;			/* in the guest */
byte inside;			/* in vcpu_run() */
byte open;			/* in a read section */
byte arrival, own, woken;	/* on the page's queue; on their own; woken on either */
byte just;			/* there was a reason for a memory-fault exit since the exit or rerun */
byte waits[NV];			/* the slot for whose page a vCPU's thread sleeps, or 0 */
byte sleepers;			/* vm->fetches.sleepers */
byte queue;			/* handlers that sleep, a bit for each */

#define to_report (!here && HAS(flagged, visible) && visible)
#define retry(s) (in_progress || seq != (s))

/* Whenever to_report may have become true: for all that are on their way. */
#define note() just = (to_report -> BIT(NV) - 1 : just)

/* --- bringing the page -------------------------------------------------------------------------- */

inline copy(i, value)
{
	atomic {
		half[i] = value;			/*: copies a half of the page */
		assert(!written)			/*! a fill has overwritten what the guest wrote */
	}
}

#ifdef BITMAP
#define publish() atomic { wakes = false; here = true }
#else
#define publish() atomic { assert(!here); looks(); here = true; staged = false; wanted = false; arriving = false }
#endif

/* A fill does not wake when the page is neither wanted nor on its way: in one step with publishing. */
#ifdef LOOKS_FIRST
#define looks() skip
#else
#define looks() wakes = wanted || arriving
#endif

#define wake(q) atomic { woken = woken | q; q = 0 }

/* backing_fill(); BITMAP: the VMM's lock, backing_write(), userfault_clear_page(). */
inline fill()
{
	before = takes;
	do
#ifdef NO_CLAIM
	:: here -> break				/*: the page is present: -EEXIST */
	:: !here ->					/*: the page is missing */
#else
	:: here && !claimed -> break			/*: the page is present: -EEXIST */
	:: atomic { !here && !claimed -> claimed = true };	/*: claims the page */
#endif
#ifdef LOOKS_FIRST
		wakes = wanted || arriving;		/*: looks whether the page is wanted, too early */
#endif
#if defined(PUBLISH_FIRST) || defined(SHOW_FIRST)
		publish();				/*: the page is present, too early */
#endif
		copy(0, contents);
		copy(1, contents);
#ifdef WAKE_FIRST
		wake(arrival);				/*: wakes who waits for the page, too early */
#endif
#if defined(NO_CLAIM)
		atomic { looks(); here = true; staged = false; wanted = false; arriving = false };	/*: the page is present */
#elif !defined(PUBLISH_FIRST) && !defined(SHOW_FIRST)
		atomic { publish(); claimed = false };	/*: the page is present */ /*! the page has become present twice */
#else
		claimed = false;
#endif
#if !defined(WAKE_FIRST) && !defined(FILL_NO_WAKE)
		if
		:: atomic { wakes -> wakes = false; wake(arrival) }	/*: wakes who waits for the page */
		:: !wakes				/*: nobody wants the page */
		fi;
#endif
		break
	od;
	atomic { assert(here || takes != before); before = 0 }	/*! the page is not present after a fill */
}

proctype handler(byte h)
{
	byte before;
	bool wakes;

	do
	:: queue = queue | BIT(h);			/*: vm_next_fetch(): is on the queue */
	   if
	   :: atomic { wanted -> assert(!arriving); wanted = false; arriving = true; queue = queue & ~BIT(h) };	/*: vm_next_fetch(): gets the page */ /*! the page is handed out twice */
		if
		:: true					/*: brings it */
		:: busy -> !busy			/*: brings it after some time */
		fi;
		fill()
	   :: !wanted ->				/*: vm_next_fetch(): nothing is wanted, sleeps */
end_asleep:	!HAS(queue, h)				/*: is awake */
	   fi
	od
}

proctype pusher(byte p)
{
	byte before;
	bool wakes;

#ifndef STAGES
	fill()
#else
	if
	:: atomic { !here && !claimed -> claimed = true };	/*: backing_stage(): claims the page */
		copy(0, 2 + p);
		copy(1, 2 + p);
		atomic { claimed = false; staged = true };	/*: backing_stage(): it is staged */
#ifdef PUBLISH_CLAIMED
		if
		:: atomic { staged -> publish() };	/*: backing_publish(): the page is present */ /*! the page has become present twice */
#else
		if
		:: atomic { staged && !claimed -> publish() };	/*: backing_publish(): the page is present */
#endif
			atomic { wakes = false; wake(arrival) }	/*: wakes who waits for the page */
		:: !staged				/*: backing_publish(): nothing is staged */
		fi
	:: here && !claimed				/*: backing_stage(): -EEXIST */
	fi
#endif
}

/* --- the vCPU ----------------------------------------------------------------------------------- */

inline use()
{
#ifdef BITMAP
	assert(half[0] == contents && half[1] == contents);	/*! the guest uses a page with old bytes */
#else
	assert(here);					/*! the guest uses a page that is missing */
	assert(half[0] && half[0] == half[1]);		/*! the guest uses a page that is half copied */
#endif
	written = true
}

#define leave_section() open = open & ~BIT(v); rerun = false

#ifdef SLEEPERS_LAST
#define sleepers_gone() sleepers = (late -> sleepers - 1 : sleepers); late = false
#else
#define sleepers_gone() sleepers--
#endif

proctype vcpu(byte v)
{
	byte touches, known, slot, seen, before;
#ifdef CACHED
	byte cached, cached_of;
#endif
	bool missing, rerun, wakes;
#ifdef SLEEPERS_LAST
	bool late;
#endif

begin:	inside = inside | BIT(v);			/*: vcpu_run() */
enter:
	if
	:: hold -> goto leave				/*: the VM is held: does not enter */
	:: atomic { !hold -> guest = guest | BIT(v); assert(!held) }	/*: the guest runs */ /*! it does so while the VM is held */
	fi;
	do
	:: atomic { hold -> guest = guest & ~BIT(v) }; goto leave	/*: the kick makes the guest exit */
	:: atomic {
		HAS(tlb, v) -> touches++;		/*: the guest reads and writes the page */
		use();
		if
		:: touches == TOUCHES -> guest = guest & ~BIT(v); inside = inside & ~BIT(v); tlb = tlb & ~BIT(v); goto done
		:: else
		fi
	   }
	:: atomic { !HAS(tlb, v) && ept -> tlb = tlb | BIT(v) }	/*: the CPU finds the translation in the tables */
	:: atomic {
		!HAS(tlb, v) && !ept -> guest = guest & ~BIT(v);	/*: no translation: exits with a fault */
		just = (to_report -> just | BIT(v) : just & ~BIT(v))
	   };
	   break
	od;

fault:	open = open | BIT(v);				/*: counts itself in */
	if
	:: hold -> leave_section(); goto enter		/*: the VM is held: counts itself out */
	:: atomic { !hold -> assert(!held) }		/*: its section begins */ /*! it does so while the VM is held */
	fi;
#ifndef SEQ_LAST
	known = seq;					/*: reads the invalidate sequence */
#endif
#ifndef GENERATION_LAST
	seen = generation;				/*: reads the slots' generation */
#endif
#ifdef CACHED
	if
	:: cached && cached_of == seen -> slot = cached	/*: its last slot is of this generation */
	:: !cached || cached_of != seen ->
		slot = visible;				/*: slot_find() */
#ifdef CACHED_LATE
		atomic { cached = slot; cached_of = generation }	/*: notes the slot, with the generation of now */
#else
		atomic { cached = slot; cached_of = seen }
#endif
	fi;
#else
	slot = visible;					/*: slot_find() */
#endif
#ifdef GENERATION_LAST
	seen = generation;				/*: reads the slots' generation, too late */
#endif
	if
	:: !slot -> atomic { leave_section(); inside = inside & ~BIT(v); known = 0; seen = 0 }; goto begin	/*: slot_find() = NULL: for the guest there is nothing */
	:: else
	fi;
#ifdef MAP_FIRST
	atomic { ept = (retry(known) -> ept : 1) };	/*: ept_map(): maps the page, too early */
#endif
	missing = !here;				/*: looks at the page */
#ifdef SEQ_LAST
	known = seq;					/*: reads the invalidate sequence, too late */
#endif
	if
	:: missing -> goto is_missing			/*: the page is missing */
	:: else						/*: the page is present */
	fi;
	atomic {
		if
		:: retry(known)				/*: invalidate_retry(): the guest tries again */
		:: else -> ept = 1			/*: invalidate_retry(): no; maps the page */
		fi
	};
	atomic { leave_section(); known = 0; slot = 0; seen = 0 };	/*: its section ends */
	goto enter;

is_missing:
	missing = false;
#ifdef REPORT_OUTSIDE
	leave_section();				/*: its section ends, too early */
#endif
	if
	:: HAS(freed, slot) -> assert(false)		/*: looks at a slot that has been freed */
	:: !HAS(freed, slot) && HAS(flagged, slot) -> goto report	/*: the slot has the flag */
	:: atomic { !HAS(freed, slot) && !HAS(flagged, slot) && rerun -> goto again }	/*: the slot does not have the flag: the guest tries again */
	:: !HAS(freed, slot) && !HAS(flagged, slot) && !rerun	/*: the slot does not have the flag */
	fi;
	atomic { leave_section(); known = 0; waits[v] = slot; slot = 0 };	/*: its section ends */
#ifndef SLEEPERS_LAST
	sleepers++;					/*: missing_wait(): sleepers++ */
#endif
wait:
#ifdef LOOK_FIRST
	if
	:: here -> goto awake				/*: looks: the page is present */
	:: atomic { !here -> wanted = !arriving }	/*: looks: the page is missing, it is wanted */
	fi;
#endif
#ifdef HOLD_FIRST
	if
	:: hold -> goto awake				/*: looks: the VM is held */
	:: !hold					/*: looks: the VM is not held */
	fi;
#endif
	atomic { woken = woken & ~BIT(v); arrival = arrival | BIT(v) };	/*: wait_prepare(): is on the page's queue */
	own = own | BIT(v);				/*: wait_prepare_also(): and on its own queue */
#ifndef HOLD_FIRST
	if
	:: hold -> goto awake				/*: looks: the VM is held */
	:: !hold					/*: looks: the VM is not held */
	fi;
#endif
	if
	:: generation != seen -> goto awake		/*: looks: the slots have changed */
	:: generation == seen				/*: looks: the slots are the same */
	fi;
#ifndef LOOK_FIRST
	if
	:: here -> goto awake				/*: looks: the page is present */
#ifdef WANT_AGAIN
	:: atomic { !here && !wanted -> wanted = true; missing = true }	/*: looks: the page is missing, it is wanted */
	:: !here && wanted				/*: looks: the page is missing, and wanted already */
#else
	:: atomic { !here && !wanted && !arriving -> wanted = true; missing = true }	/*: looks: the page is missing, it is wanted */
	:: !here && (wanted || arriving)		/*: looks: the page is missing, and wanted already */
#endif
	fi;
	if
	:: atomic { missing -> missing = false; queue = queue & (queue - 1) }	/*: wakes a handler */
	:: else
	fi;
#else
	queue = queue & (queue - 1);			/*: wakes a handler */
#endif
#ifdef SLEEPERS_LAST
	if
	:: atomic { !late -> late = true; sleepers++ }	/*: sleepers++, too late */
	:: else
	fi;
#endif
	HAS(woken, v);					/*: sleeps, and is awake */
	atomic { own = own & ~BIT(v); arrival = arrival & ~BIT(v); woken = woken & ~BIT(v) };
	goto wait;
awake:	atomic { own = own & ~BIT(v); arrival = arrival & ~BIT(v); woken = woken & ~BIT(v); waits[v] = 0; seen = 0; sleepers_gone() };
	goto enter;

report:
#if defined(REPORT_UNCHECKED)
	skip;
#else
	if
	:: in_progress -> goto again			/*: an invalidation is in progress: the guest tries again */
	:: !in_progress					/*: no invalidation is in progress */
	fi;
	if
	:: seq != known -> goto again			/*: the sequence has moved: the guest tries again */
	:: seq == known					/*: the sequence is what it was */
	fi;
#endif
	atomic {
		leave_section(); inside = inside & ~BIT(v);	/*: its section ends; memory-fault exit */
		assert(HAS(just, v));			/*! an exit, though the page was never missing in a slot with the flag */
		known = 0; slot = 0; seen = 0
	};
	fill();
	atomic {
		inside = inside | BIT(v);		/*: vcpu_run() again */
		just = (to_report -> just | BIT(v) : just & ~BIT(v))
	};
#ifdef RERUN_BELIEVES
	assert(HAS(just, v));				/*! the same exit again, though the page is there */
#endif
	if
	:: hold -> goto enter				/*: the VM is held */
	:: atomic { !hold -> rerun = true }; goto fault	/*: does the same access again */
	fi;

again:	atomic { leave_section(); known = 0; slot = 0; seen = 0 };
	goto enter;

leave:	inside = inside & ~BIT(v);			/*: vcpu_run() = -EINTR */
	!hold;						/*: vm_wait_resumed() */
	goto begin;
done:	skip
}

/* --- taking it away ----------------------------------------------------------------------------- */

inline flush()
{
	do
	:: atomic { i < NV -> tlb = tlb & ~BIT(i); i++ }	/*: vm_flush(): a vCPU forgets its translation */
	:: i == NV -> i = 0; break
	od
}

#ifdef NO_INVALIDATION
#define BEGIN skip
#define END skip
#else
#define BEGIN in_progress++
#define END seq++; in_progress--
#endif

proctype taker()
{
	byte n, i;

	do
	:: n < TAKES ->
#ifdef BITMAP
		atomic { !claimed -> claimed = true };	/*: takes the VMM's lock of the page */
		BEGIN;					/*: invalidate_begin() */
		atomic { here = false; takes++; note() };	/*: sets the bit */
#else
		BEGIN;					/*: invalidate_begin() */
#endif
#ifndef NO_ZAP
		ept = 0;				/*: takes the translation away */
#endif
#ifndef NO_FLUSH
		flush();
#endif
#ifdef BITMAP
		END;					/*: invalidate_end(): seq++ */
		atomic { contents++; written = false; claimed = false };	/*: the page is hidden: from now on others are its contents */
#else
		atomic {
			if
			:: here -> here = false; half[0] = 0; half[1] = 0; written = false	/*: the page is missing, its contents are gone */
			:: else				/*: the page is missing already */
			fi;
			takes++;
			note()
		};
		END;					/*: invalidate_end(): seq++ */
#endif
		n++
	:: else -> break
	od
}

/* --- holding the VM, changing its slots --------------------------------------------------------- */

proctype pauser()
{
	byte n;

	do
	:: n < PAUSES ->
		hold = true;				/*: vm_pause(): raises the hold */
#ifndef PAUSE_NO_WAKE
		wake(own);				/*: vm_pause(): wakes who sleeps in vcpu_run() */
#endif
		!guest;					/*: vm_pause(): all vCPUs are outside */
		atomic { !open -> held = true; assert(!guest) };	/*: vm_pause() = 0: no section is open */
		!inside;				/*: all have left vcpu_run() */
		atomic { held = false; hold = false; busy-- };	/*: vm_resume() */
		n++
	:: else -> break
	od
}

inline step(to)
{
	in_progress++;					/*: invalidate_begin() */
	ept = 0;					/*: takes the translation away */
	flush();
	visible = to;					/*: publishes the other slots */
#ifdef WAKE_BEFORE
	note();
#else
	atomic { generation++; note() };		/*: advances their generation */
#endif
	do
	:: atomic { i < NV && !HAS(open, i) -> i++ }	/*: a vCPU's thread is in no section */
	:: i == NV -> i = 0; break
	od;
	seq++;						/*: invalidate_end(): seq++ */
	in_progress--;					/*: invalidate_end(): in_progress-- */
#ifdef CHANGE_NO_WAKE
	skip
#else
	if
	:: sleepers -> wake(own)			/*: missing_wake(): wakes who sleeps for a page */
	:: !sleepers					/*: nobody sleeps for a page */
	fi
#endif
#ifdef WAKE_BEFORE
	; generation++					/*: advances the slots' generation, too late */
#endif
}

proctype changer()
{
	byte n = 1, i;

	do
	:: n <= CHANGES ->
		flagged = (HAS(flagged, n) -> flagged : flagged | BIT(n + 1));
		if
		:: true					/*: the slot gets the other flag */
#ifndef KEEPS
		:: step(0)
#endif
		fi;
		step(n + 1);
		freed = freed | BIT(n);			/*: frees the old slot */
		do
		:: atomic { i < NV && (!waits[i] || waits[i] == visible) -> i++ }	/*: a vCPU's thread does not sleep for the old slots */
		:: atomic { i == NV -> i = 0; busy-- }; break
		od;
		n++
	:: else -> break
	od
}

init {
	byte i;

	atomic {
		do
		:: i < NV -> run vcpu(i); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < NH -> run handler(i); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < NP -> run pusher(i); i++
		:: else -> break
		od;
		run taker();
		run pauser();
		run changer()
	}
}
