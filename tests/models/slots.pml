/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changing slots under a running guest: the three ways, and the grace period.
 *
 * What is modelled, step by step
 *   changer   change() in hv/vm/slots_change.c with a list of two items, a slot is deleted and another
 *             created in its place, CHANGES times; slots_step() in hv/vm/slots_step.c; readers_wait() and
 *             wait_phases() in hv/vm/readers.c
 *   vcpu      a guest that touches the slot, and vm_fault() in hv/vm/memory.c
 *   reader    a thread that reads guest memory: slots_read_begin(), slot_find(), slots_read_end()
 *
 * The ways
 *   (none)    SLOTS_ATOMIC: both items are one step
 *   PAUSED    SLOTS_PAUSED: a step for each item, while the VM is held
 *   LIVE      SLOTS_LIVE: a step for each item, the slot that goes is marked first
 *
 * Slots are numbered from 1, and 0 is the hole; a number stands for the slot's memory, too. What readers
 * see of the two sets is the slot in the active one, `visible`. Each thread has a CPU of its own, and so
 * counts of its own. Memory is sequentially consistent: counting in and publishing are read-modify-writes.
 *
 * Left out, because other models verify it: how a flush reaches the CPUs (invalidate.pml; here it is one
 * step for each vCPU, and made always: see if-mapped there), and how a pause does and what waits for its end (pause.pml; here a vCPU enters, in
 * one step, unless the VM is held). Timeouts and going back. The dirty logs.
 *
 * Verified: PAUSED and ATOMIC: a vCPU or a reader never finds the hole. With all three: when a slot is
 * freed nobody looks at it; from when a new slot is visible, or the hole, no vCPU uses a translation to
 * the old one; everything ends. (LIVE with FINDS_NOTHING: to find the hole is allowed.)
 *
 * Sizes: NV vCPUs that touch the slot TOUCHES times each, NR readers with SECTIONS sections each.
 */
/* verify: atomic -DCHANGES=1 */
/* verify: atomic-twice -DNV=1 */
/* verify: grace-periods -DNV=0 -DNR=3 */
/* verify: paused -DPAUSED */
/* verify: atomic-three-vcpus -DNV=3 -DNR=0 -DCHANGES=1 */
/* verify: paused-three-vcpus -DPAUSED -DNV=3 -DNR=0 -DCHANGES=1 */
/* verify: live-otherwise -DLIVE -DFINDS_NOTHING -DCHANGES=1 -DNV=1 */
/* broken: live -DLIVE -DNV=1 -DNR=0 -DCHANGES=1 : with SLOTS_LIVE a vCPU finds no slot */
/* broken: no-gate -DPAUSED -DNO_GATE -DNR=1 -DNV=0 -DCHANGES=1 : with SLOTS_PAUSED a reader does not look at the hold */
/* broken: publish-first -DPUBLISH_FIRST -DNV=2 -DNR=0 -DCHANGES=1 : the new slots are published before the translations are taken away */
/* broken: no-invalidation -DNO_INVALIDATION -DNV=1 -DNR=0 -DCHANGES=1 : a step takes translations away without an invalidation around it */
/* broken: no-wait -DNO_WAIT -DNV=0 -DCHANGES=1 : a step does not wait for the readers */
/* broken: one-phase -DONE_PHASE -DNV=0 : a grace period changes the phase over without waiting for what is left of the other one */
#ifndef NV
#define NV 2
#endif
#ifndef NR
#define NR 1
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef TOUCHES
#define TOUCHES 2
#endif
#ifndef SECTIONS
#define SECTIONS 2
#endif

/*@ column vcpu "vCPU" */
/*@ column reader "reader" */
/*@ column changer "slot change" */

#define THREADS (NV + NR)
#define BIT(t) (1 << (t))
#define HAS(set, t) (((set) >> (t)) & 1)

byte visible = 1;	/* the slot in the active set */
byte freed;		/* slots, a bit for each */
byte invalid;		/* slots that are marked */
byte ept;		/* the slot whose memory the tables have */
byte tlb[NV + 1];
byte guest;		/* vCPUs in the guest */
bool hold;
bool lock;
byte in_progress, seq;
byte phase;
byte open[2];		/* counts of open sections, a bit for each thread */

#ifdef FINDS_NOTHING
#define NOTHING skip
#else
#define NOTHING assert(false)
#endif

#ifdef NO_GATE
#define closed false
#else
#define closed hold
#endif

proctype vcpu(byte v)
{
	byte touches, known, slot;
	bit p;

	do
	:: atomic { touches < TOUCHES && !hold -> guest = guest | BIT(v) };	/*: the guest runs */
		do
		:: hold -> guest = guest & ~BIT(v); break	/*: the kick makes the guest exit */
		:: atomic {
			tlb[v] ->
			if
			:: tlb[v] == visible -> touches++; guest = guest & ~BIT(v)	/*: the guest uses the slot */
			:: else -> assert(false)	/*: the guest uses the old slot's memory */
			fi
		   };
		   break
		:: atomic { !tlb[v] && ept -> tlb[v] = ept }	/*: the CPU finds the translation in the tables */
		:: atomic { !tlb[v] && !ept -> guest = guest & ~BIT(v); p = phase };	/*: exits with a fault; reads the phase */
		   open[p] = open[p] | BIT(v);		/*: counts itself in */
		   if
		   :: closed -> goto out		/*: the VM is held */
		   :: else				/*: its section begins */
		   fi;
		   known = seq;				/*: reads the invalidate sequence */
		   slot = visible;			/*: slot_find() */
		   if
		   :: !slot -> NOTHING; goto out	/*: slot_find() = NULL: for the guest there is nothing */
		   :: slot && HAS(freed, slot) -> assert(false)	/*: it looks at a slot that has been freed */
		   :: slot && HAS(invalid, slot) && !HAS(freed, slot) -> goto out	/*: the slot is marked: the guest tries again */
		   :: else				/*: the slot is not marked */
		   fi;
		   atomic { !lock -> lock = true };	/*: takes the table lock */
		   if
		   :: in_progress || seq != known	/*: invalidate_retry(): the guest tries again */
		   :: else -> 				/*: invalidate_retry(): no */
			if
			:: HAS(freed, slot) -> assert(false)	/*: it looks at a slot that has been freed */
			:: else -> ept = slot		/*: ept_map() */
			fi
		   fi;
		   lock = false;			/*: leaves the table lock */
out:		   atomic { open[p] = open[p] & ~BIT(v); p = 0; known = 0; slot = 0 };	/*: counts itself out */
		   break
		od
	:: touches == TOUCHES -> break
	od
}

proctype reader(byte t)
{
	byte n, slot;
	bit p;

	do
	:: n < SECTIONS ->
		p = phase;				/*: reads the phase */
		open[p] = open[p] | BIT(t);		/*: counts itself in */
		if
		:: closed ->				/*: the VM is held */
			atomic { open[p] = open[p] & ~BIT(t); p = 0 };	/*: counts itself out */
			!hold				/*: gate_wait(): the VM is not held any more */
		:: else ->				/*: its section begins */
			slot = visible;			/*: slot_find() */
			if
			:: !slot -> NOTHING		/*: slot_find() = NULL: there is no memory */
			:: slot && HAS(freed, slot) -> assert(false)	/*: it looks at a slot that has been freed */
			:: else
			fi;
			atomic { open[p] = open[p] & ~BIT(t); p = 0; slot = 0; n++ }	/*: its section ends: counts itself out */
		fi
	:: else -> break
	od
}

inline wait_phase(p)
{
	do
	:: atomic { i < THREADS && !HAS(open[p], i) -> i++ }
	:: atomic { i == THREADS -> i = 0 }; break	/*: wait_phase(): nobody is left in it */
	od
}

/* readers_wait() */
inline drain()
{
	do
	:: atomic { i < THREADS && !HAS(open[0] | open[1], i) -> i++ }
	:: i == THREADS -> busy = false; break		/*: readers_drained(): no section is open */
	:: i < THREADS && HAS(open[0] | open[1], i) -> busy = true; break	/*: readers_drained(): a section is open */
	od;
	i = 0;
	if
	:: busy ->
		old = phase;
#ifndef ONE_PHASE
		wait_phase(1 - old);
#endif
		phase = 1 - old;			/*: changes the phase over */
		wait_phase(old);
		atomic { busy = false; old = 0 }
	:: else
	fi
}

#ifdef NO_WAIT
#define DRAIN skip
#else
#define DRAIN drain()
#endif
#define BEGIN atomic { !lock -> in_progress++ }
#define END atomic { !lock -> seq++; in_progress-- }

/* zap_and_flush() */
inline zap()
{
	atomic { !lock -> ept = 0 };			/*: ept_unmap(): takes the translation away */
	do
	:: atomic { i < NV -> tlb[i] = 0; i++ }		/*: vm_flush(): a vCPU forgets its translations */
	:: i == NV -> i = 0; break
	od
}

#ifdef LIVE
#define marks true
#else
#define marks false
#endif

inline step(to)
{
#ifndef NO_INVALIDATION
	BEGIN;						/*: invalidate_begin() */
#endif
	if
	:: marks && visible -> invalid = invalid | BIT(visible);	/*: marks the slot */
		DRAIN
	:: else
	fi;
#ifdef PUBLISH_FIRST
	visible = to;					/*: publishes the other set, too early */
	DRAIN;
	zap();
#else
	zap();
	visible = to;					/*: publishes the other set */
	DRAIN;
#endif
#ifndef NO_INVALIDATION
	END						/*: invalidate_end() */
#endif
}

proctype changer()
{
	byte n = 1, i;
	bit old;
	bool busy;

	do
	:: n <= CHANGES ->
#ifdef PAUSED
		hold = true;				/*: vm_pause(): raises the hold */
		do
		:: atomic { i < NV && !HAS(guest, i) -> i++ }	/*: vm_pause(): a vCPU is outside */
		:: i == NV -> i = 0; break
		od;
		do
		:: atomic { i < THREADS && !HAS(open[0] | open[1], i) -> i++ }
		:: atomic { i == THREADS -> i = 0 }; break	/*: vm_pause() = 0: no section is open */
		od;
#endif
#if defined(PAUSED) || defined(LIVE)
		step(0);
#endif
		step(n + 1);
#ifdef PAUSED
		hold = false;				/*: vm_resume() */
#endif
		freed = freed | BIT(n);			/*: frees the old slot */
		n++
	:: else -> break
	od
}

init {
	byte i;

	atomic {
		do
		:: i < NV -> run vcpu(i); i++
		:: i >= NV && i < THREADS -> run reader(i); i++
		:: else -> break
		od;
		run changer()
	}
}
