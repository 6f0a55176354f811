/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests and kicks: the entry of a vCPU against those who want something from it.
 *
 * What is modelled, step by step
 *   kicker    vcpu_request(), vcpu_kick(), evict() and wake_thread() in hv/vm/kick.c
 *   vcpu      run_loop() and look_again() in hv/vm/run.c, vcpu_block() and sleep_once() in
 *             hv/vm/block.c; the last look at entry_barred and the window behind it in vmx/entry.S;
 *             nmi_iret() in hv/host/trap.S
 *   cpu       the processor that the vCPU's thread runs on: its store buffer, and the NMI that it
 *             takes in root mode, nmi() in hv/host/exception.c with the .nmi_fixup table
 *
 * Memory order. x86's, as far as the protocol can see it: a plain store waits in the CPU's store
 * buffer for as long as it likes while later loads go ahead; a read-modify-write empties the buffer
 * first. The buffer has one place, for `mode`. That is exact: of all that a vCPU stores, others
 * look at mode alone, and the exchange that stores IN_GUEST leaves at most one plain store of mode
 * waiting, that of OUTSIDE. (entry_barred and the fields of the VMCS are read by their own CPU only,
 * which sees its own stores.)
 *
 * NMIs. A CPU has one latch: NMIs that come while one is latched merge. An NMI exit blocks NMIs
 * until an IRET; and here the blocking outlasts a VM entry, as in Bochs 2.7. (A CPU whose entries
 * open NMIs again is kinder: -DENTRY_OPENS_NMI.)
 *
 * Left out: kicks by IPI and by the preemption timer; events (wait.pml), the hold (pause.pml) and the
 * flush generation (invalidate.pml), which are looked at in the same place as the requests and
 * published in the same way; need_resched.
 *
 * Verified: a request that was published and kicked is handled. In terms of states: as soon as
 * nobody is in the middle of a kick, no vCPU is in the guest, and none asleep in HLT, with a request
 * pending and no NMI that will reach it. Every kicker starts when it likes or not at all, so that
 * state is looked for after every number of kicks. And mode makes legal transitions only.
 *
 * Sizes: NV vCPUs, NK kickers of which each makes ROUNDS requests of every vCPU; each vCPU leaves
 * its guest EXITS times by itself, for HLT or something else. vCPUs share nothing but their kickers,
 * so one vCPU with three kickers shows all that can happen to one, and three vCPUs with one kicker
 * that a kicker's way through several of them changes nothing.
 */
/* verify: three-kickers */
/* verify: two-rounds -DNK=2 -DROUNDS=2 -DEXITS=2 */
/* verify: three-vcpus -DNV=3 -DNK=1 -DEXITS=0 */
/* verify: two-vcpus -DNV=2 -DNK=1 */
/* verify: entry-opens-nmi -DENTRY_OPENS_NMI -DNO_IRET */
/* broken: no-entry-fence -DNO_ENTRY_FENCE : IN_GUEST is stored without a fence before the last look at requests */
/* broken: look-first -DLOOK_FIRST : requests are looked at before IN_GUEST is stored */
/* broken: no-kicker-fence -DNO_KICKER_FENCE -DNK=1 : the request is stored without a fence before mode is read */
/* broken: late-clear -DLATE_CLEAR : entry_barred is cleared after the last look at requests, not before it */
/* broken: no-compare -DNO_LAST_COMPARE : entry_barred is not compared before the entry */
/* broken: no-fixup -DNO_FIXUP : an NMI between that comparison and VMRESUME just returns */
/* broken: no-iret -DNO_IRET : NMIs stay blocked after an NMI exit */
/* broken: keeps-mode -DFORGETS_OUTSIDE : mode is not set to OUTSIDE by a vCPU that comes out */
/* broken: halt-checks-first -DNO_RECHECK : a halted vCPU checks for requests before it is on its wait queue, and not after */
#ifndef NV
#define NV 1
#endif
#ifndef NK
#define NK 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef EXITS
#define EXITS 1
#endif

/*@ column vcpu "vCPU's thread" */
/*@ column cpu "its CPU" */
/*@ column kicker "requester" */

mtype = { OUTSIDE, IN_GUEST, EXITING };

typedef vcpu_state {
	mtype mode;
	bool stored;	  /* the store buffer holds ... */
	mtype store;	  /* ... this value for mode */
	byte requests;	  /* a bit per kicker */
	bool nmi;	  /* latched */
	bool nmi_blocked;
	bool barred;	  /* entry_barred */
	bool window;	  /* RIP is in the .nmi_fixup range */
	bool redirected;
	bool in_guest;
	bool queued, woken; /* in vcpu->wq */
	bool asleep;
};

vcpu_state vc[NV];
byte kicking; /* kickers between publishing and being done */

inline commit(v, to)
{
	assert((to == IN_GUEST && vc[v].mode == OUTSIDE) ||
	       (to == EXITING && vc[v].mode == IN_GUEST) ||
	       (to == OUTSIDE && vc[v].mode != OUTSIDE));	/*! mode makes a transition that is not legal */
	vc[v].mode = to;
}

/* A plain store of mode: it goes through the store buffer. */
#define store_mode(v, to) atomic { !vc[v].stored -> vc[v].stored = true; vc[v].store = to }

/* A locked instruction: the buffer is empty before it and after it. */
#define buffer_empty(v) (!vc[v].stored)

proctype vcpu(byte v)
{
	byte exits, taken;

enter:
#ifndef LATE_CLEAR
	vc[v].barred = false;				/*: entry_barred = 0 */
#endif
#ifdef LOOK_FIRST
	if
	:: vc[v].requests -> goto not_entered		/*: looks at requests: there is one */
	:: else						/*: looks at requests: none */
	fi;
#endif
#ifdef NO_ENTRY_FENCE
	store_mode(v, IN_GUEST);			/*: plain store of mode = IN_GUEST, into the store buffer */
#else
	atomic { buffer_empty(v) -> commit(v, IN_GUEST) }	/*: exchange: mode = IN_GUEST, full fence */
#endif
#ifndef LOOK_FIRST
	if
	:: vc[v].requests -> goto leave			/*: last look at requests: there is one, does not enter */
	:: else						/*: last look at requests: none */
	fi;
#endif
#ifdef LATE_CLEAR
	vc[v].barred = false;				/*: entry_barred = 0, too late */
#endif
#ifdef NO_LAST_COMPARE
	vc[v].window = true;				/*: does not compare entry_barred */
#else
	atomic {
		if
		:: vc[v].barred -> goto leave		/*: compares entry_barred: set, does not enter */
		:: else -> vc[v].window = true		/*: compares entry_barred: still 0 */
		fi
	};
#endif
	skip;						/*: loads the guest's registers */
	atomic {
		vc[v].window = false;
		if
		:: vc[v].redirected -> vc[v].redirected = false; goto leave	/*: goes to .Lbarred, does not enter */
		:: else -> vc[v].in_guest = true	/*: VMRESUME: the guest runs */
		fi;
#ifdef ENTRY_OPENS_NMI
		vc[v].nmi_blocked = false
#endif
	};
end_guest:
	if
	:: atomic {
		vc[v].nmi && !vc[v].nmi_blocked ->
		vc[v].nmi = false;			/*: NMI exit, which leaves NMIs blocked */
		vc[v].nmi_blocked = true;
		vc[v].in_guest = false;
	   }
#ifndef NO_IRET
	   vc[v].nmi_blocked = false			/*: nmi_iret(): NMIs are open again */
#endif
	:: atomic { exits < EXITS -> exits++; vc[v].in_guest = false }	/*: exits for a reason of its own */
#ifndef FORGETS_OUTSIDE
	   store_mode(v, OUTSIDE);			/*: stores mode = OUTSIDE */
#endif
	   if
	   :: goto enter				/*: handles it, no look at requests */
	   :: goto halt					/*: it was HLT */
	   fi
	fi;
leave:
#ifdef FORGETS_OUTSIDE
	skip;						/*: leaves mode as it is */
#else
	store_mode(v, OUTSIDE);				/*: stores mode = OUTSIDE */
#endif
not_entered:
	atomic { buffer_empty(v) -> taken = vc[v].requests; vc[v].requests = 0 }	/*: look_again(): takes the requests */
	taken = 0;
	goto enter;

halt:	/* vcpu_block(): takes requests, then sleeps unless there are new ones */
	atomic { buffer_empty(v) -> taken = vc[v].requests; vc[v].requests = 0 }	/*: vcpu_block(): takes the requests */
	if
	:: taken -> taken = 0; goto enter
	:: else
	fi;
#ifdef NO_RECHECK
	if
	:: vc[v].requests -> goto halt
	:: else						/*: may_sleep(): no request */
	fi;
	atomic { vc[v].queued = true; vc[v].woken = false };	/*: wait_prepare(): on the queue */
#else
	atomic { vc[v].queued = true; vc[v].woken = false };	/*: wait_prepare(): on the queue */
	if
	:: vc[v].requests -> vc[v].queued = false; goto halt	/*: may_sleep(): there is a request */
	:: else						/*: may_sleep(): no request */
	fi;
#endif
	vc[v].asleep = true;				/*: sleeps */
end_asleep:
	atomic { vc[v].woken -> vc[v].asleep = false; vc[v].queued = false };	/*: is awake */
	goto halt
}

/* What the CPU does by itself while the vCPU's thread executes. */
proctype cpu(byte v)
{
end:	do
	:: atomic { vc[v].stored -> commit(v, vc[v].store); vc[v].stored = false }	/*: the store of mode reaches memory */
	:: atomic {
		vc[v].nmi && !vc[v].nmi_blocked && !vc[v].in_guest ->
		vc[v].nmi = false;			/*: NMI in root mode: entry_barred = 1 */
		vc[v].barred = true;
#ifndef NO_FIXUP
		if
		:: vc[v].window -> vc[v].redirected = true	/*: ... and RIP is in the window: it returns to .Lbarred */
		:: else
		fi
#endif
	   }
	od
}

#ifdef NO_KICKER_FENCE
/* The requester publishes by a plain store, which waits in its own CPU's store buffer. */
bool publishing[NK];
#endif

proctype kicker(byte k)
{
	byte v, round;
	mtype seen;

end:	do
	:: round < ROUNDS ->
		v = 0;
		do
		:: v < NV ->
#ifdef NO_KICKER_FENCE
			atomic { !publishing[k] -> kicking++; publishing[k] = true };	/*: plain store of the request, into the store buffer */
			seen = vc[v].mode;			/*: reads mode, before the store has reached memory */
			if
			:: seen == IN_GUEST -> atomic { !publishing[k] -> seen = 0 }
			:: else -> goto looked
			fi;
#else
			atomic { kicking++; vc[v].requests = vc[v].requests | (1 << k) };	/*: sets the request: a locked OR, full fence */
#endif
			if
			:: atomic { vc[v].mode == IN_GUEST -> seen = IN_GUEST; commit(v, EXITING) }	/*: compare-and-exchange: mode was IN_GUEST, now EXITING */
			:: atomic { vc[v].mode == EXITING -> seen = EXITING }	/*: compare-and-exchange: mode is EXITING, so somebody has kicked */
			:: atomic { vc[v].mode == OUTSIDE -> seen = OUTSIDE }	/*: compare-and-exchange: mode is OUTSIDE, no kick is needed */
			fi;
looked:
			if
			:: seen == IN_GUEST -> vc[v].nmi = true		/*: sends the NMI */
			:: seen == OUTSIDE ->
				atomic {
					if
					:: vc[v].queued -> vc[v].queued = false; vc[v].woken = true	/*: wakes the vCPU's thread */
					:: else							/*: nobody on the vCPU's wait queue */
					fi
				}
			:: else
			fi;
			atomic { kicking--; v++; seen = 0 }
		:: else -> break
		od;
		round++
	od
}

#ifdef NO_KICKER_FENCE
proctype requesters_buffer(byte k)
{
end:	do
	:: atomic { publishing[k] -> vc[0].requests = vc[0].requests | (1 << k); publishing[k] = false }	/*: the request reaches memory */
	od
}
/*@ column requesters_buffer "requester's CPU" */
#endif

#define reached_by_nmi(v) (vc[v].nmi && !vc[v].nmi_blocked)
#define stuck_in_guest(v) (vc[v].in_guest && !reached_by_nmi(v) && vc[v].requests)
#define stuck_asleep(v) (vc[v].asleep && !vc[v].woken && vc[v].requests)
#ifdef NO_KICKER_FENCE
#define nobody_kicks (!kicking && !publishing[0])
#if NK > 1
#error NO_KICKER_FENCE is for one kicker
#endif
#else
#define nobody_kicks (!kicking)
#endif

/*@ column observer "what is wrong" */
proctype observer()
{
	byte v;

end:	do
	:: atomic { nobody_kicks && stuck_in_guest(0) -> assert(false) }	/*: the guest runs on; a request is pending and no NMI will come */
	:: atomic { nobody_kicks && stuck_asleep(0) -> assert(false) }	/*: the vCPU's thread sleeps on; a request is pending */
#if NV > 1
	:: atomic { nobody_kicks && (stuck_in_guest(1) || stuck_asleep(1)) -> assert(false) }
#endif
#if NV > 2
	:: atomic { nobody_kicks && (stuck_in_guest(2) || stuck_asleep(2)) -> assert(false) }
#endif
	od
}

init {
	byte i;

	atomic {
		do
		:: i < NV -> vc[i].mode = OUTSIDE; vc[i].store = OUTSIDE; run vcpu(i); run cpu(i); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < NK ->
			run kicker(i);
#ifdef NO_KICKER_FENCE
			run requesters_buffer(i);
#endif
			i++
		:: else -> break
		od;
		run observer()
	}
}
