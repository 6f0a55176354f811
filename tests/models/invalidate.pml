/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking a page away: vCPUs that fault against a move of the page to another frame.
 *
 * What is modelled, step by step
 *   vcpu      a guest that touches one page; the vCPU's thread: the entry of run_loop() in hv/vm/run.c,
 *             the comparison of flush generations in vmx/entry.S, flush() in vmx/enter.c, and resolve()
 *             in hv/vm/memory.c with invalidate_seq() and invalidate_retry()
 *   mover     take_away() in hv/vm/backing_move.c: invalidate_begin(), ept_unmap(), vm_flush() in
 *             hv/vm/kick.c, move_exchange(), invalidate_end(); MOVES times
 *   change    another invalidation that covers the page, as slots_step() in hv/vm/slots_step.c makes one:
 *             invalidate_begin(), and some time later invalidate_end()
 *   drop      vm_drop_page() in hv/vm/memory.c: takes the translation away and flushes, with no
 *             invalidation around it, because the page stays where it is
 *
 * Frames are numbered from 1; 0 is no translation. Each CPU keeps the translation it has found in the
 * tables (tlb), inside the guest and outside, until it flushes. A section under the table lock is one
 * step where nothing else is done in it; in resolve() asking and mapping are two, with the lock held.
 * Memory is sequentially consistent: all that is published here is published by a read-modify-write, or
 * under the lock, and the plain store of mode = OUTSIDE can only be late, which makes vm_flush() wait.
 *
 * Left out: the range (one page, always in it); the read section and the slot (slots.pml); the way of
 * the NMI (kick.pml): a vCPU whose mode is EXITING leaves the guest or does not enter, sooner or later;
 * requests and the hold.
 *
 * Verified: the guest never uses a frame that the mover has copied from (what it writes there is lost,
 * and the frame is somebody else's before long), and everything ends.
 *
 * Sizes: NV vCPUs that touch the page TOUCHES times each, MOVES moves, and beside them
 * one change or (DROP) one drop.
 */
/* verify: two-vcpus */
/* verify: three-vcpus -DNV=3 -DMOVES=1 -DNO_CHANGE */
/* verify: three-moves -DNV=1 -DTOUCHES=3 -DMOVES=3 */
/* verify: dropped -DDROP -DNO_CHANGE -DMOVES=1 */
/* broken: seq-last -DSEQ_LAST -DNV=1 -DNO_CHANGE : the sequence is read after the page was looked up */
/* broken: no-retry -DNO_RETRY -DNV=1 -DMOVES=1 -DNO_CHANGE : the fault does not ask whether it has to be retried */
/* broken: no-in-progress -DNO_IN_PROGRESS -DNV=1 -DMOVES=1 -DNO_CHANGE : the fault compares the sequence only */
/* broken: no-sequence -DNO_SEQUENCE -DNV=1 -DMOVES=1 -DNO_CHANGE : the fault looks at what is in progress only */
/* broken: not-counted -DNOT_COUNTED -DNV=1 -DMOVES=1 : the end of one invalidation ends the other one too */
/* broken: unlocked -DUNLOCKED -DNV=1 -DMOVES=1 -DNO_CHANGE : the fault asks first and takes the lock then */
/* broken: no-flush -DNO_FLUSH -DNV=1 -DMOVES=1 -DNO_CHANGE : translations are taken away without a flush */
/* broken: flush-first -DFLUSH_FIRST -DNV=1 -DMOVES=1 -DNO_CHANGE : the flush comes before the translation is taken away */
/* broken: early-compare -DEARLY_COMPARE -DNV=1 -DMOVES=1 -DNO_CHANGE : the vCPU compares generations before it says that it is in the guest */
/* broken: if-mapped -DFLUSH_IF_MAPPED -DDROP -DNV=1 -DMOVES=1 -DNO_CHANGE : nothing is mapped any more, so the mover does not flush */
#ifndef NV
#define NV 2
#endif
#ifndef TOUCHES
#define TOUCHES 2
#endif
#ifndef MOVES
#define MOVES 2
#endif

/*@ column vcpu "vCPU" */
/*@ column mover "mover" */
/*@ column change "slot change" */
/*@ column drop "drop" */

mtype = { OUTSIDE, IN_GUEST, EXITING };

typedef vcpu_state {
	mtype mode;
	byte tlb;     /* the frame its CPU knows for the page */
	byte flushed; /* generation */
};

vcpu_state vc[NV];
byte page = 1;	/* the frame that the backing has now */
byte gone;	/* frames that were copied from, a bit for each */
byte ept;	/* the frame that the tables have */
byte gen;	/* flush generation */
bool lock;	/* vm->vmx.lock */
byte in_progress;
byte seq;

#define GONE(f) ((gone >> (f)) & 1)

#if defined(NO_RETRY)
#define retry(s) false
#elif defined(NO_IN_PROGRESS)
#define retry(s) (seq != (s))
#elif defined(NO_SEQUENCE)
#define retry(s) (in_progress)
#else
#define retry(s) (in_progress || seq != (s))
#endif

proctype vcpu(byte v)
{
	byte touches, known, found, g;

enter:
#ifndef EARLY_COMPARE
	atomic { assert(vc[v].mode == OUTSIDE); vc[v].mode = IN_GUEST };	/*: exchange: mode = IN_GUEST, full fence */
#endif
	do
	:: vc[v].flushed == gen -> break		/*: compares flush generations: equal */
	:: vc[v].flushed != gen ->			/*: compares flush generations: it is behind */
		g = gen;				/*: reads the flush generation */
		vc[v].tlb = 0;				/*: INVEPT: flushes */
		atomic { vc[v].flushed = g; g = 0 }	/*: notes the generation it has flushed */
	od;
#ifdef EARLY_COMPARE
	atomic { assert(vc[v].mode == OUTSIDE); vc[v].mode = IN_GUEST };	/*: exchange: mode = IN_GUEST, full fence */
#endif
	if
	:: vc[v].mode == EXITING -> goto leave		/*: the kick bars its entry */
	:: true						/*: VMRESUME: the guest runs */
	fi;
end_guest:
	do
	:: vc[v].mode == EXITING -> goto leave		/*: the kick makes the guest exit */
	:: touches < TOUCHES && vc[v].tlb -> goto leave	/*: exits for another reason */
	:: atomic {
		touches < TOUCHES && vc[v].tlb ->
		if
		:: !GONE(vc[v].tlb) -> touches++	/*: the guest uses the frame */
		:: else -> assert(false)		/*: the guest uses a frame that the page has left */
		fi
	   }
	:: atomic { touches < TOUCHES && !vc[v].tlb && ept -> vc[v].tlb = ept }	/*: the CPU finds the translation in the tables */
	:: atomic { touches < TOUCHES && !vc[v].tlb && !ept -> vc[v].mode = OUTSIDE }; break	/*: no translation: exits with a fault */
	od;

	/* resolve() */
#ifdef SEQ_LAST
	found = page;					/*: looks the page up in its backing */
	known = seq;					/*: reads the sequence, too late */
#else
	known = seq;					/*: reads the sequence */
	found = page;					/*: looks the page up in its backing */
#endif
#ifdef UNLOCKED
	if
	:: retry(known) -> known = 0; found = 0; goto enter	/*: invalidate_retry(): start over */
	:: else						/*: invalidate_retry(): no, before it takes the lock */
	fi;
	atomic { !lock -> lock = true };		/*: takes the table lock */
#else
	atomic { !lock -> lock = true };		/*: takes the table lock */
	if
	:: retry(known) -> goto unlock			/*: invalidate_retry(): yes, so the guest tries again */
	:: else						/*: invalidate_retry(): no */
	fi;
#endif
	if
	:: !ept -> ept = found				/*: ept_map(): maps what it has found */
	:: else						/*: another vCPU has mapped the page */
	fi;
unlock:	atomic { lock = false; known = 0; found = 0 };	/*: leaves the table lock */
	goto enter;

leave:	vc[v].mode = OUTSIDE;				/*: stores mode = OUTSIDE */
	goto enter
}

#ifdef NOT_COUNTED
#define BEGIN in_progress = 1
#define END in_progress = 0
#else
#define BEGIN in_progress++
#define END in_progress--
#endif

#define zap() atomic { !lock -> ept = 0 }

#ifdef FLUSH_IF_MAPPED
#define FLUSHES mapped
#else
#define FLUSHES true
#endif

inline flush()
{
	atomic { gen++; mine = gen };			/*: vm_flush(): flush_gen++, full fence */
	do
	:: atomic {
		i < NV ->
		if
		:: vc[i].mode == IN_GUEST -> vc[i].mode = EXITING	/*: kicks a vCPU: mode is IN_GUEST, now EXITING */
		:: else						/*: mode is not IN_GUEST: no kick */
		fi;
		i++
	   }
	:: i == NV -> break
	od;
	i = 0;
#ifdef EARLY_COMPARE
end_late:	/* may wait for ever, too: not what is looked for */
#endif
	do
	:: atomic { i < NV && (vc[i].mode == OUTSIDE || vc[i].flushed >= mine) -> i++ }	/*: the vCPU is outside, or has flushed */
	:: atomic { i == NV -> i = 0; mine = 0 }; break
	od
}

proctype mover()
{
	byte n, i, mine, mapped;

	do
	:: n < MOVES ->
		atomic { !lock -> BEGIN };		/*: invalidate_begin() */
#ifdef FLUSH_FIRST
		flush();
		zap();					/*: takes the translation away */
#else
		atomic { !lock -> mapped = ept; ept = 0 };	/*: takes the translation away */
#ifndef NO_FLUSH
		if
		:: FLUSHES -> mapped = 0; flush()
		:: else -> mapped = 0			/*: there was none, so it does not flush */
		fi;
#endif
#endif
		gone = gone | (1 << page);		/*: copies the page */
		page++;					/*: exchange: the page is in the next frame */
		atomic { !lock -> seq++; END };		/*: invalidate_end(): seq++ */
		n++
	:: else -> break
	od
}

#ifdef DROP
proctype drop()
{
	byte i, mine;

	zap();						/*: vm_drop_page(): takes the translation away */
	flush()
}
#endif

#ifndef NO_CHANGE
proctype change()
{
	atomic { !lock -> BEGIN };			/*: invalidate_begin() */
	atomic { !lock -> seq++; END }			/*: invalidate_end(): seq++ */
}
#endif

init {
	byte i;

	atomic {
		do
		:: i < NV -> vc[i].mode = OUTSIDE; run vcpu(i); i++
		:: else -> break
		od;
		run mover();
#ifdef DROP
		run drop();
#endif
#ifndef NO_CHANGE
		run change()
#endif
	}
}
