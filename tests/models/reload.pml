/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The APIC-access page: vCPUs that reload their APIC_ACCESS_ADDR against a page that is moved to
 * another frame, and against an APIC that changes its mode.
 *
 * What is modelled, step by step
 *   vcpu      the entry of run_loop() in hv/vm/run.c with the comparison of flush generations in
 *             vmx/entry.S; vcpu_take_requests() in hv/vm/block.c and apic_page_reload() in
 *             hv/vm/apic_page.c; a guest that touches the page and, with SWITCHES, lets its APIC change
 *             into another mode and come back: apic_page_inhibit(), apic_page_allow(); resolve() in
 *             hv/vm/memory.c
 *   mover     take_away() in hv/vm/backing_move.c: invalidate_begin() with apic_page_invalidated(),
 *             ept_unmap(), vm_flush() in hv/vm/kick.c, move_exchange(), invalidate_end(); MOVES times
 *   other     with OTHER an invalidation of other addresses, which does not concern the page
 *   deleter   with DELETE vm_delete_apic_page(): slots_step() in hv/vm/slots_step.c; the slot goes,
 *             the page stays
 *
 * Frames are numbered from 1. Each CPU keeps the translation that it has found in the tables (tlb)
 * until it flushes, and with it whether the frame was its APIC-access page when it found it. What the
 * guest touches is virtualized if it was, and if it still is; otherwise the guest has raw memory before
 * it. Sections under the table lock are one step each: nobody looks at what they change without it.
 * Memory is sequentially consistent, as in invalidate.pml: requests, mode and the generation are only
 * published by read-modify-writes, the rest under the lock.
 *
 * Left out: read sections, and everything else about slots (slots.pml); the way of the NMI (kick.pml): a
 * vCPU whose mode is EXITING leaves the guest or does not enter, sooner or later; all other
 * requests; that a flush of one CPU takes several steps (invalidate.pml).
 *
 * Verified
 *   - a guest never reads or writes raw memory where its APIC is, and neither where an APIC has been;
 *   - between the flush of an invalidation and its end no vCPU that uses the page is in the guest;
 *   - when the mover returns no vCPU is in the guest with the old frame's address;
 *   - a reload that begins when no invalidation is under way, and none begins meanwhile, is not to be
 *     done again; so nobody waits for ever, also when the slot is gone;
 *   - everything ends.
 *
 * Sizes: NV vCPUs, of which the first TOUCHERS touch the page TOUCHES times each, and the first SWITCHERS
 * change the mode of their APIC and back SWITCHES times; MOVES moves. -DBAIL: a vCPU that has to wait does
 * not try to enter. -DNO_EXITS: a guest that has touched the page only exits when it is kicked. -DONLY_RAW: the
 * second and third property are not asked for, to see what comes of it.
 */
/* verify: two-vcpus -DMOVES=1 -DOTHER */
/* verify: two-moves -DTOUCHES=1 */
/* verify: three-vcpus -DNV=3 -DTOUCHERS=2 -DTOUCHES=1 -DMOVES=1 -DNO_EXITS */
/* verify: three-moves -DNV=1 -DMOVES=3 -DOTHER */
/* verify: switch -DSWITCHES=1 -DMOVES=1 -DTOUCHES=1 */
/* verify: two-switch -DSWITCHES=1 -DSWITCHERS=2 -DMOVES=0 -DTOUCHES=1 */
/* verify: deleted -DDELETE -DTOUCHES=1 -DMOVES=1 -DNO_EXITS */
/* verify: bail -DBAIL -DTOUCHES=1 -DMOVES=1 -DOTHER */
/* broken: seq-last -DSEQ_LAST -DNV=1 -DMOVES=1 : the sequence is read after the frame was looked up */
/* broken: no-retry -DNO_RETRY -DONLY_RAW -DNV=1 -DMOVES=1 : what the reload has found is written, whatever is in progress */
/* broken: no-retry-stall -DNO_RETRY -DNV=1 -DMOVES=1 : the same, seen earlier: a vCPU runs while the page is being moved */
/* broken: no-in-progress -DNO_IN_PROGRESS -DNV=1 -DMOVES=1 : the reload compares the sequence only */
/* broken: no-sequence -DNO_SEQUENCE -DNV=1 -DMOVES=1 : the reload looks at what is in progress only */
/* broken: no-rerequest -DNO_REREQUEST -DNV=1 -DMOVES=1 : a reload that has to be done again does not set its request again */
/* broken: late-request -DLATE_REQUEST -DNV=1 -DMOVES=1 : the reload is requested after the flush */
/* broken: not-barred -DNOT_BARRED -DNV=1 -DMOVES=1 : the request does not bar the entry */
/* broken: generation-only -DGENERATION_ONLY -DMOVES=1 -DTOUCHES=1 : the flush waits for vCPUs that have not flushed, not for those that have not taken the request */
/* broken: reload-flushes -DRELOAD_FLUSHES -DNV=1 -DMOVES=1 : who takes the translation away leaves the flush to the reload */
/* broken: no-widening -DNO_WIDENING -DOTHER -DNV=1 -DMOVES=1 : a second invalidation replaces the range of the first */
/* broken: slot-believed-gone -DBELIEVED_GONE -DDELETE -DTOUCHES=1 -DMOVES=1 -DNO_EXITS : a reload that finds the slot marked invalid is believed to be done */
/* broken: no-inhibit -DNO_INHIBIT -DSWITCHES=1 -DNV=1 -DMOVES=0 : the page stays mapped for a vCPU whose APIC is not there any more */
/* broken: inhibit-unflushed -DINHIBIT_UNFLUSHED -DSWITCHES=1 -DNV=1 -DMOVES=0 : a page that is inhibited is taken out of the tables without a flush */
/* broken: second-unflushed -DSECOND_UNFLUSHED -DSWITCHES=1 -DSWITCHERS=2 -DMOVES=0 -DTOUCHES=1 : who finds the page inhibited already does not flush */
/* broken: allow-no-reload -DALLOW_NO_RELOAD -DONLY_RAW -DNV=1 -DSWITCHES=1 -DMOVES=1 -DTOUCHES=1 : a vCPU whose APIC comes back does not reload */
#ifndef NV
#define NV 2
#endif
#ifndef TOUCHES
#define TOUCHES 2
#endif
#ifndef MOVES
#define MOVES 2
#endif
#ifndef SWITCHES
#define SWITCHES 0
#endif
#ifndef TOUCHERS
#define TOUCHERS NV
#endif
#ifndef SWITCHERS
#define SWITCHERS 1
#endif

/*@ column vcpu "vCPU" */
/*@ column mover "mover" */
/*@ column other "other invalidation" */
/*@ column deleter "deleter" */

mtype = { OUTSIDE, IN_GUEST, EXITING };
mtype = { THERE, INVALID, GONE };

typedef vcpu_state {
	mtype mode;
	bool in_guest;
	bool request;	/* REQ_APIC_PAGE */
	bool elsewhere;	/* its APIC is in another mode: the page does not serve it */
	byte address;	/* APIC_ACCESS_ADDR: a frame */
	byte tlb;	/* the frame its CPU knows for the page */
	bool apic;	/* ... and found to be its APIC-access page */
	byte flushed;	/* generation */
	bool quiet;	/* no invalidation is or was under way since it has taken its request */
};

vcpu_state vc[NV];
byte page = 1;	/* the frame that the backing has now */
mtype slot = THERE;	/* INVALID: it is being deleted */
byte ept = 1;	/* the frame that the tables have; 0: no translation */
byte gen;	/* flush generation */
byte in_progress;
bool covers;	/* the one range of what is in progress has the page in it */
byte seq;
byte inhibited;
byte held;	/* invalidations of the page that have flushed and not ended */

#define todo (v < TOUCHERS -> TOUCHES : 0)
#define uses(v) (!vc[v].elsewhere)
#ifdef ONLY_RAW
#define inside(v) false
#else
#define inside(v) (vc[v].in_guest && uses(v))
#endif
#define virtualized(v) (uses(v) && vc[v].apic && vc[v].tlb == vc[v].address)

#if defined(NO_RETRY)
#define retry(s) false
#elif defined(NO_IN_PROGRESS)
#define retry(s) (seq != (s))
#elif defined(NO_SEQUENCE)
#define retry(s) (in_progress && covers)
#else
#define retry(s) ((in_progress && covers) || seq != (s))
#endif

#ifdef NO_WIDENING
#define widen(page_too) covers = page_too
#else
#define widen(page_too) covers = (in_progress > 1 && covers) || page_too
#endif

/* After in_progress++ and in one step with it. */
inline begin(page_too)
{
	widen(page_too);
	do
	:: b < NV -> vc[b].quiet = false; b++
	:: else -> break
	od;
	b = 0
}

#define end() atomic { seq++; in_progress-- }
#define zap() ept = 0

/* apic_page_invalidated() */
inline request_all()
{
	do
	:: atomic { i < NV -> vc[i].request = true; i++ }	/*: requests a reload of a vCPU */
	:: atomic { i == NV -> i = 0 }; break
	od
}

#ifdef GENERATION_ONLY
#define taken(v) true
#else
#define taken(v) (!vc[v].request)
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
	:: atomic { i == NV -> i = 0 }; break
	od;
	do
	:: atomic { i < NV && vc[i].mode == OUTSIDE -> i++ }	/*: the vCPU is outside */
	:: atomic { i < NV && vc[i].mode != OUTSIDE && vc[i].flushed >= mine && taken(i) -> i++ }	/*: the vCPU has flushed, and no reload is pending */
	:: atomic { i == NV -> i = 0; mine = 0 }; break
	od
}

/* All have let go. */
inline hold()
{
	atomic {
		held++;
		do
		:: i < NV && !inside(i) -> i++
		:: i < NV && inside(i) -> assert(false)	/*: the flush is over, and a vCPU is in the guest */
		:: else -> break
		od;
		i = 0
	}
}

/* apic_page_reload(), and what vcpu_take_requests() makes of its answer */
inline reload()
{
	atomic { vc[v].request = false; vc[v].quiet = !in_progress };	/*: takes the request */
	if
	:: vc[v].elsewhere				/*: does not use the page: writes nothing */
#ifdef BELIEVED_GONE
	:: !vc[v].elsewhere && slot != THERE		/*: the slot is marked invalid: writes nothing */
#endif
	:: else ->
#ifdef SEQ_LAST
		found = page;				/*: looks up the frame */
		was = seq;				/*: reads the sequence, too late */
#else
		was = seq;				/*: reads the sequence */
		if
		:: slot == THERE -> found = page	/*: looks up the frame */
		:: else					/*: finds no slot */
		fi;
#endif
		atomic {
			if
			:: retry(was) ->
				assert(!vc[v].quiet);	/*! the reload is to be done again, and nothing has happened */
				again = true		/*: invalidate_retry(): yes, writes nothing */
			:: !retry(was) && found ->
				vc[v].address = found	/*: invalidate_retry(): no, writes APIC_ACCESS_ADDR */
			:: else				/*: there is no slot: writes nothing */
			fi;
			was = 0;
			found = 0
		};
#ifdef NO_REREQUEST
		again = false
#else
		if
		:: atomic { again -> again = false; vc[v].request = true }	/*: requests the reload again */
		:: !again
		fi
#endif
	fi
}

inline inhibit()
{
#ifdef NO_INHIBIT
	skip
#else
	atomic { in_progress++; begin(true) };		/*: apic_page_inhibit(): begins an invalidation */
	request_all();
#ifdef SECOND_UNFLUSHED
	atomic { first = !inhibited; inhibited++ };	/*: counts itself among those that inhibit the page */
	if
	:: !first
	:: else ->
		zap();					/*: takes the translation away */
		flush();
		hold();
		held--
	fi;
	first = false;
#else
	inhibited++;					/*: counts itself among those that inhibit the page */
	zap();						/*: takes the translation away */
#ifndef INHIBIT_UNFLUSHED
	flush();
	hold();
	held--;
#endif
#endif
	end()						/*: ends the invalidation: seq++ */
#endif
}

inline allow()
{
#ifdef NO_INHIBIT
	skip
#elif defined(ALLOW_NO_RELOAD)
	inhibited--					/*: apic_page_allow(): the page may be mapped again */
#else
	atomic { in_progress++; begin(true) };		/*: apic_page_allow(): begins an invalidation */
	request_all();
	flush();
	inhibited--;					/*: the page may be mapped again */
	end()						/*: ends the invalidation: seq++ */
#endif
}

proctype vcpu(byte v)
{
	byte touches, was, found;
	bool again;
#if SWITCHES
	byte switches, i, mine, b;
#endif
#ifdef SECOND_UNFLUSHED
	bool first;
#endif

enter:
	atomic { assert(vc[v].mode == OUTSIDE); vc[v].mode = IN_GUEST };	/*: exchange: mode = IN_GUEST, full fence */
#ifndef NOT_BARRED
	if
	:: vc[v].request -> goto leave			/*: last look at requests: there is one, does not enter */
	:: else						/*: last look at requests: none */
	fi;
#endif
	do
	:: vc[v].flushed == gen -> break		/*: compares flush generations: equal */
	:: atomic {
		vc[v].flushed != gen ->			/*: compares flush generations: it is behind, and flushes */
		vc[v].tlb = 0;
		vc[v].apic = false;
		vc[v].flushed = gen
	   }
	od;
	atomic {
		if
		:: vc[v].mode == EXITING -> goto leave	/*: the kick bars its entry */
		:: else ->
			vc[v].in_guest = true;		/*: VMRESUME: the guest runs */
			assert(!(held && inside(v)))	/*! a vCPU enters between the flush and the end of an invalidation */
		fi
	};
end_guest:
	do
	:: atomic { vc[v].mode == EXITING -> vc[v].in_guest = false }; goto leave	/*: the kick makes the guest exit */
#ifndef NO_EXITS
	:: atomic { touches < todo && vc[v].tlb -> vc[v].in_guest = false }; goto leave	/*: exits for another reason */
#endif
#if SWITCHES
	:: atomic { v < SWITCHERS && switches < 2 * SWITCHES -> switches++; vc[v].in_guest = false };	/*: the guest changes the mode of its APIC: exits */
		vc[v].mode = OUTSIDE;			/*: stores mode = OUTSIDE */
		if
		:: !vc[v].elsewhere ->
			inhibit();
			vc[v].elsewhere = true		/*: the APIC leaves the page */
		:: else ->
			vc[v].elsewhere = false;	/*: the APIC is where the page is */
			allow()
		fi;
		goto enter
#endif
	:: atomic {
		touches < todo && vc[v].tlb ->
		if
		:: virtualized(v) -> touches++		/*: the guest touches the page: its APIC */
		:: else -> assert(false)		/*: the guest touches the page: raw memory */
		fi
	   }
	:: atomic {
		touches < todo && !vc[v].tlb && ept ->
		vc[v].tlb = ept;			/*: the CPU finds the translation in the tables */
		vc[v].apic = (uses(v) && ept == vc[v].address)
	   }
	:: atomic { touches < todo && !vc[v].tlb && !ept -> vc[v].in_guest = false }; break	/*: no translation: exits with a fault */
	od;
	vc[v].mode = OUTSIDE;				/*: stores mode = OUTSIDE */

	/* resolve(): it is not under test here, and right */
	was = seq;					/*: a fault: reads the sequence */
	if
	:: atomic { slot == GONE -> touches++; was = 0 }; goto enter	/*: no slot: the access is emulated */
	:: atomic { slot == INVALID -> was = 0 }; goto enter	/*: the slot is invalid, so the guest tries again */
	:: slot == THERE -> found = page		/*: looks up the frame */
	fi;
	atomic {
		if
		:: (in_progress && covers) || seq != was	/*: invalidate_retry(): yes, so the guest tries again */
		:: else ->
			if
			:: inhibited -> touches++	/*: the page is inhibited: the access is emulated */
			:: !inhibited && !ept -> ept = found	/*: invalidate_retry(): no, ept_map() */
			:: else				/*: another vCPU has mapped the page */
			fi
		fi;
		was = 0;
		found = 0
	};
	goto enter;

leave:	vc[v].mode = OUTSIDE;				/*: stores mode = OUTSIDE */
#ifdef BAIL
	do
	:: vc[v].request -> reload()
	:: else -> break
	od;
#else
	if
	:: vc[v].request -> reload()
	:: else
	fi;
#endif
	goto enter
}

#define late(v) (inside(v) && slot != GONE && vc[v].address < n + 2)

proctype mover()
{
	byte n, i, mine, b;

	do
	:: n < MOVES ->
		atomic { in_progress++; begin(true) };		/*: invalidate_begin() */
#ifndef LATE_REQUEST
		request_all();
#endif
		zap();					/*: takes the translation away */
#ifndef RELOAD_FLUSHES
		flush();
#endif
#ifdef LATE_REQUEST
		request_all();
#endif
#ifndef RELOAD_FLUSHES
		hold();
#endif
		page++;					/*: exchange: the page is in the next frame */
#ifdef RELOAD_FLUSHES
		end();					/*: invalidate_end(): seq++ */
#else
		atomic { seq++; in_progress--; held-- };	/*: invalidate_end(): seq++ */
#endif
		atomic {
			do
			:: i < NV && !late(i) -> i++
			:: i < NV && late(i) -> assert(false)	/*: returns, and a vCPU is in the guest with the old address */
			:: else -> break
			od;
			i = 0;
			n++
		}
	:: else -> break
	od
}

#ifdef OTHER
proctype other()
{
	byte b;

	atomic { in_progress++; begin(false) };		/*: begins an invalidation of other addresses */
	end()						/*: ends that invalidation: seq++ */
}
#endif

#ifdef DELETE
proctype deleter()
{
	byte i, mine, b;

	atomic { in_progress++; begin(true) };		/*: slots_step(): begins an invalidation */
	request_all();
	slot = INVALID;					/*: marks the slot invalid */
	zap();						/*: takes the translation away */
	flush();
	hold();
	slot = GONE;					/*: publishes the slots without it */
	atomic { seq++; in_progress--; held-- }		/*: ends the invalidation: seq++ */
}
#endif

init {
	byte i;

	atomic {
		do
		:: i < NV -> vc[i].mode = OUTSIDE; vc[i].address = page; run vcpu(i); i++
		:: else -> break
		od;
		run mover();
#ifdef OTHER
		run other();
#endif
#ifdef DELETE
		run deleter()
#endif
	}
}
