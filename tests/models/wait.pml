/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waiting for a vCPU's events from outside vcpu_run().
 *
 * What is modelled, step by step
 *   event     vcpu_event() and vcpu_kick() in hv/vm/kick.c, wait_wake() in hv/vm/wait.c; for the
 *             posted flag wait_kicked()
 *   leaver    vcpu_request(REQ_EXIT): the VMM wants the vCPU out of the guest
 *   vcpu      the vCPU's thread: run_loop(), look_again() and leave() in hv/vm/run.c; vcpu_block(),
 *             vcpu_block_for_vmm() and vcpu_take_requests() in hv/vm/block.c; vcpu_deliver_events()
 *             and vcpu_leave_events() in hv/vm/inject.c. Outside vcpu_run() it waits until the VMM
 *             says go. While the guest runs, the guest's steps are its steps
 *   waiter    a thread of the VMM: vcpu_wait() on all vCPUs, and go for those that are ready
 *
 * The variants
 *   (none)    WAIT_SEQUENCE: event sequence against what an entry has seen
 *   POSTED    WAIT_POSTED: the flag `kicked` of the RFC, set by a kick, cleared right before entry
 *   MP_STATE  MP_HALTED_USERSPACE: outside, the vCPU's thread waits in vcpu_run() itself, which
 *             returns RUN_EXIT_RUNNABLE; no other waiters
 *   COARSE    WAIT_SEQUENCE with a look at the events, the last look at requests and the entry as one
 *             step: for several vCPUs, whose waiters' steps are what is of interest
 *
 * What the guest takes. CAN_TAKE: whatever is pending, all of it at once. OFF: nothing, its interrupts
 * are off, and what is looked at asks for a window exit; the same while an event waits in the VMCS.
 * MASKED: nothing, its priority is high; when it is lowered the guest exits, and the vCPU looks again.
 * The guest changes this CHANGES times.
 *
 * Memory is sequentially consistent here: between what a deliverer writes and what it reads there
 * is always a read-modify-write, the same for waiters (wait_prepare()) and for the entry (the
 * exchange of mode), and the other plain store that others read, of seen_seq, can only be late in
 * the direction of "ready". How entry and kick find each other is in kick.pml; the NMI is simply
 * one that cannot be missed. A step under a wait queue's lock is one step.
 *
 * Left out: deadlines; destroying a vCPU. The hold makes a vCPU leave as REQ_EXIT does; with BY_HOLD it
 * is kicked as for a hold, by vm_kick_all(), which does not set the flag of WAIT_POSTED.
 *
 * Verified: no lost wake-up. An event is seen when the vCPU has entered its guest with it. As soon as
 * nobody is in the middle of delivering, there is no event unseen, and not masked, whose vCPU is
 * outside vcpu_run() with nobody about to run it, while a waiter sleeps; nor one whose vCPU is in the
 * guest without a window asked for, or asleep in vcpu_run() though the guest can take it, with
 * nothing on its way that makes it look. With MP_STATE: RUN_EXIT_RUNNABLE is only returned with the
 * event still there.
 *
 * Sizes: NV vCPUs, NP waiters that wait for all of them, NE events and NX requests to leave per
 * vCPU, each by a thread of its own that comes when it likes or never (they are alike, so they begin
 * in the order of their numbers); HLTS times HLT.
 */
/* verify: two-waiters -DNP=2 -DNE=2 -DNX=1 -DHLTS=0 */
/* verify: three-events -DNP=1 -DNE=3 -DNX=1 -DHLTS=0 */
/* verify: halts -DNP=1 -DNE=2 -DNX=1 -DHLTS=1 */
/* verify: leaves-twice -DNP=2 -DNE=1 -DNX=2 -DHLTS=1 */
/* verify: windows -DNP=1 -DNE=2 -DNX=1 -DHLTS=0 -DCHANGES=2 */
/* verify: three-vcpus -DCOARSE -DNV=3 -DNP=1 -DNE=1 -DNX=1 */
/* verify: mp-state -DMP_STATE -DNE=2 -DNX=2 -DCHANGES=2 */
/* broken: posted -DPOSTED -DHLTS=0 : the flag is cleared after the last look at requests */
/* broken: posted-clears-first -DPOSTED -DPOSTED_CLEARS_FIRST -DHLTS=0 : the flag is cleared before the last look at requests */
/* broken: posted-halted -DPOSTED -DPOSTED_AT_ONCE -DBY_HOLD : a kick that wakes a halted vCPU does not set the flag */
/* broken: posted-direct -DPOSTED -DDELIVERED_DIRECTLY -DHLTS=0 : an event is delivered by hardware, without a kick */
/* broken: wakes-first -DWAKES_FIRST : who waits is woken before event_seq is advanced */
/* broken: checks-first -DCHECKS_FIRST : a waiter looks before it is on the queue, and not after */
/* broken: sequence-after-look -DSEQUENCE_AFTER_LOOK : event_seq is read after the look at the pending events */
/* broken: leaves-queued -DLEAVES_QUEUED -DHLTS=0 : a vCPU leaves with an event that it has looked at and not entered with, and says it is seen */
/* broken: leaves-unmasked -DLEAVES_UNMASKED -DCHANGES=2 -DHLTS=0 : the same with an event that was masked when it was looked at */
/* broken: seen-off -DSEEN_OFF -DCHANGES=2 -DHLTS=0 : an event that waits for a window counts as seen */
/* broken: forgets-event -DFORGETS_EVENT -DHLTS=0 -DCHANGES=2 : a vCPU that is asked to leave takes REQ_EVENT as well and forgets it */
/* broken: mp-no-recheck -DMP_STATE -DNO_RECHECK : a vCPU in MP_HALTED_USERSPACE looks before it is on its wait queue, and not after */
/* broken: mp-ignores-queued -DMP_STATE -DIGNORES_QUEUED : of an event that waits in the VMCS, MP_HALTED_USERSPACE knows nothing */
#ifndef NV
#define NV 1
#endif
#ifndef NP
#define NP 1
#endif
#ifndef NE
#define NE 1
#endif
#ifndef NX
#define NX 1
#endif
#ifndef HLTS
#define HLTS 1
#endif
#ifndef CHANGES
#define CHANGES 0
#endif

/*@ column vcpu "vCPU's thread" */
/*@ column event "deliverer" */
/*@ column leaver "who wants it out" */
/*@ column waiter "waiter" */

#define REQ_EVENT 1
#define REQ_EXIT 2

mtype = { OUTSIDE, IN_GUEST, EXITING, CAN_TAKE, OFF, MASKED };

typedef vcpu_state {
	mtype mode;
	byte requests;
	bool nmi;
	byte pending;	/* events in the local APIC */
	byte injected;	/* events taken from there, which the next entry delivers */
	byte event_seq, seen_seq;
	byte events, leavers; /* threads that have begun */
	bool kicked;
	bool in_guest;
	mtype guest;	/* what it takes: CAN_TAKE, OFF, MASKED */
	bool window;	/* a window exit is asked for */
	bool halted;	/* MP_HALTED */
	bool running;	/* in vcpu_run() */
	bool go;	/* the VMM has decided to run it */
	bool queued, woken, asleep; /* in vcpu->wq */
};

typedef waiter_state {
	bool queued[NV]; /* in vcpu->pollers */
	bool woken, asleep;
};

vcpu_state vc[NV];
waiter_state wt[NP];
byte busy; /* deliverers and leavers that have begun and not ended */

/* wake_all(&vcpu->pollers), under the queue's lock */
inline wake_waiters(v)
{
	d_step {
		i = 0;
		do
		:: i < NP ->
			if
			:: wt[i].queued[v] -> wt[i].queued[v] = false; wt[i].woken = true
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

/* evict() and wake_thread(), which sets early. */
inline evict(v)
{
	atomic {
		if
		:: vc[v].mode == IN_GUEST -> vc[v].mode = EXITING; vc[v].nmi = true	/*: kicks: mode is IN_GUEST, now EXITING; sends the NMI */
		:: vc[v].mode == EXITING	/*: kicks: mode is EXITING, nothing to do */
		:: vc[v].mode == OUTSIDE && vc[v].queued ->
			vc[v].queued = false;	/*: kicks: mode is OUTSIDE; wakes the vCPU's thread */
			vc[v].woken = true;
			early = true
		:: vc[v].mode == OUTSIDE && !vc[v].queued	/*: kicks: mode is OUTSIDE; nobody in its wait queue */
		fi
	}
}

/* vcpu_kick() */
inline kick(v)
{
	evict(v);
#ifdef POSTED
	if
	:: early -> goto done		/*: returns: whoever woke a vCPU has done enough */
	:: else
	fi;
#endif
#ifdef POSTED
	atomic {
		if
		:: !vc[v].kicked ->
			vc[v].kicked = true;		/*: kicked = 1; wakes who waits */
			wake_waiters(v)
		:: else					/*: kicked is 1 already */
		fi
	}
#endif
}

#ifdef COARSE
proctype event(byte v; byte k)
{
	bool early;
	byte i;

end:	atomic {
		vc[v].events == k ->
		vc[v].events++;				/*: makes an event visible, event_seq++, sets REQ_EVENT */
		busy++;
		vc[v].pending++;
		vc[v].event_seq++;
		vc[v].requests = vc[v].requests | REQ_EVENT
	};
	evict(v);
	atomic { wake_waiters(v); busy-- }
}

proctype leaver(byte v; byte k)
{
	bool early;

end:	atomic {
		vc[v].leavers == k ->
		vc[v].leavers++;			/*: sets REQ_EXIT */
		vc[v].requests = vc[v].requests | REQ_EXIT;
		evict(v)
	}
}
#else
proctype event(byte v; byte k)
{
	bool early;
	byte i;

end:	atomic { vc[v].events == k -> vc[v].events++; busy++; vc[v].pending++ };	/*: makes an event visible */
#ifdef WAKES_FIRST
	wake_waiters(v);				/*: wakes who waits, too early */
#endif
	vc[v].event_seq++;				/*: event_seq++ */
	vc[v].requests = vc[v].requests | REQ_EVENT;	/*: sets REQ_EVENT */
#ifdef DELIVERED_DIRECTLY
	if						/* a posted interrupt, or kvm_kick_many_cpus() */
	:: atomic { vc[v].mode == IN_GUEST -> vc[v].mode = EXITING; vc[v].nmi = true }	/*: sends the posted-interrupt vector */
	:: atomic { vc[v].mode != IN_GUEST -> skip }	/*: vCPU is not in the guest: nothing to send; nobody kicks */
	fi;
#elif defined(POSTED)
	kick(v);
#else
	atomic {
		evict(v);
		early = false;
#if defined(MP_STATE) || defined(WAKES_FIRST)
		goto done
#endif
	};
	atomic { wake_waiters(v); busy--; goto end_of_it };	/*: wakes who waits */
#endif
done:	atomic { early = false; busy-- };
end_of_it:
	skip
}

proctype leaver(byte v; byte k)
{
	bool early;
	byte i;

end:	atomic { vc[v].leavers == k -> vc[v].leavers++; busy++; vc[v].requests = vc[v].requests | REQ_EXIT };	/*: sets REQ_EXIT */
#if defined(BY_HOLD) || !defined(POSTED)
	atomic { evict(v); early = false; busy-- }
#else
	kick(v);
done:	atomic { early = false; busy-- }
#endif
}
#endif

/* vcpu_take_requests() */
inline take_requests(v)
{
	atomic {
		taken = vc[v].requests;
		vc[v].requests = 0;
		if
		:: taken & REQ_EXIT ->
#ifndef FORGETS_EVENT
			vc[v].requests = taken & REQ_EVENT;	/*: takes the requests: REQ_EXIT; REQ_EVENT stays */
#endif
			taken = REQ_EXIT
		:: taken == REQ_EVENT			/*: takes the requests: REQ_EVENT */
		:: !taken				/*: takes the requests: none */
		fi
	}
}

/* vcpu_deliver_events() */
inline deliver(v)
{
#ifndef SEQUENCE_AFTER_LOOK
	seq = vc[v].event_seq;				/*: reads event_seq */
#endif
	atomic {
		done_with = true;
		vc[v].window = false;
		if
		:: !vc[v].pending			/*: looks at the pending events: none */
		:: vc[v].pending && vc[v].guest == CAN_TAKE && !vc[v].injected ->
			vc[v].injected = vc[v].pending;	/*: looks at the pending events: puts them into the VMCS */
			vc[v].pending = 0
		:: vc[v].pending && vc[v].guest == MASKED	/*: looks at the pending events: masked */
		:: vc[v].pending && (vc[v].guest == OFF || (vc[v].guest == CAN_TAKE && vc[v].injected)) ->
			vc[v].window = true;		/*: looks at the pending events: the guest cannot take them now, asks for a window */
#ifndef SEEN_OFF
			done_with = false
#endif
		fi
	};
#ifdef SEQUENCE_AFTER_LOOK
	seq = vc[v].event_seq;				/*: reads event_seq, too late */
#endif
	atomic {
		if
		:: done_with -> vc[v].seen_seq = seq	/*: seen_seq = what was read */
		:: else
		fi;
		done_with = false;
		seq = 0
	}
}

/* vcpu_has_event(), when the vCPU does not sit in HLT */
#define takeable(v) (vc[v].pending && vc[v].guest == CAN_TAKE)
#ifdef IGNORES_QUEUED
#define has_event(v) takeable(v)
#elif defined(LEAVES_UNMASKED)
#define has_event(v) (vc[v].injected)
#else
#define has_event(v) (vc[v].injected || takeable(v))
#endif

#ifndef COARSE
proctype vcpu(byte v)
{
	byte taken, seq, halts, changes, i;
	bool done_with;

end_outside:
#ifdef MP_STATE
	goto halted_userspace;
#else
	atomic { vc[v].go -> vc[v].go = false; vc[v].running = true };	/*: the VMM calls vcpu_run() */
	atomic {
		if
		:: vc[v].halted -> goto block
		:: else
		fi
	};
#endif
enter:
#ifdef POSTED_CLEARS_FIRST
	vc[v].kicked = false;				/*: kicked = 0 */
#endif
	atomic { assert(vc[v].mode == OUTSIDE); vc[v].mode = IN_GUEST };	/*: exchange: mode = IN_GUEST */
	atomic {
		if
		:: vc[v].requests -> vc[v].mode = OUTSIDE; goto look_again	/*: last look at requests: there is one, does not enter */
		:: else					/*: last look at requests: none */
		fi;
#ifdef POSTED_AT_ONCE
		vc[v].kicked = false			/*: kicked = 0, in one step with it */
#endif
	};
#if defined(POSTED) && !defined(POSTED_CLEARS_FIRST) && !defined(POSTED_AT_ONCE)
	vc[v].kicked = false;				/*: kicked = 0 */
#endif
	atomic {
		if
		:: vc[v].nmi -> vc[v].nmi = false; vc[v].mode = OUTSIDE; goto look_again	/*: the NMI comes before VMRESUME: does not enter */
		:: else ->
			vc[v].in_guest = true;		/*: VMRESUME: the guest runs */
			vc[v].injected = 0
		fi
	};
end_guest:
	if
	:: atomic { vc[v].nmi -> vc[v].nmi = false; vc[v].in_guest = false; vc[v].mode = OUTSIDE }	/*: NMI exit; mode = OUTSIDE */
	:: atomic {
		vc[v].window && vc[v].guest == CAN_TAKE ->
		vc[v].in_guest = false;			/*: window exit; mode = OUTSIDE */
		vc[v].mode = OUTSIDE;
		vc[v].nmi = false;
		goto events
	   }
#if HLTS
	:: atomic {
		halts < HLTS && !vc[v].window && vc[v].guest == CAN_TAKE ->
		halts++;				/*: the guest executes HLT; mode = OUTSIDE */
		vc[v].in_guest = false;
		vc[v].mode = OUTSIDE;
		vc[v].nmi = false;
		vc[v].halted = true;
		goto block
	   }
#endif
#if CHANGES
	:: atomic { changes < CHANGES && vc[v].guest == CAN_TAKE -> changes++; vc[v].guest = OFF; goto end_guest }	/*: the guest turns interrupts off */
	:: atomic { changes < CHANGES && vc[v].guest == CAN_TAKE -> changes++; vc[v].guest = MASKED; goto end_guest }	/*: the guest raises its priority */
	:: atomic { changes < CHANGES && vc[v].guest == OFF -> changes++; vc[v].guest = CAN_TAKE; goto end_guest }	/*: the guest turns interrupts on */
	:: atomic {
		changes < CHANGES && vc[v].guest == MASKED ->
		changes++;				/*: the guest lowers its priority: exit, sets REQ_EVENT; mode = OUTSIDE */
		vc[v].guest = CAN_TAKE;
		vc[v].in_guest = false;
		vc[v].requests = vc[v].requests | REQ_EVENT;
		vc[v].mode = OUTSIDE;
		vc[v].nmi = false;
		goto enter
	   }
#endif
	fi;

look_again:
	take_requests(v);
	atomic {
		if
		:: taken == REQ_EXIT -> taken = 0; goto leave
		:: taken == REQ_EVENT -> taken = 0
		:: !taken -> goto enter
		fi
	};
events:
	deliver(v);
	goto enter;

block:	/* vcpu_block() */
	take_requests(v);
	atomic {
		vc[v].nmi = false; /* came in root mode: spent */
		if
		:: taken == REQ_EXIT -> taken = 0; goto out
		:: else -> taken = 0
		fi
	};
	deliver(v);
	atomic {
		if
		:: vc[v].injected -> vc[v].halted = false; goto enter
		:: else
		fi
	};
	atomic { vc[v].queued = true; vc[v].woken = false };	/*: in HLT: wait_prepare() */
	atomic {
		if
		:: vc[v].requests -> vc[v].queued = false; goto block	/*: may_sleep(): there is a request */
		:: else -> vc[v].asleep = true		/*: may_sleep(): no request; sleeps */
		fi
	};
end_asleep:
	atomic { vc[v].woken -> vc[v].asleep = false; vc[v].woken = false };	/*: is awake */
	goto block;

leave:	/* vcpu_leave_events() */
#ifndef LEAVES_QUEUED
	atomic {
		if
		:: has_event(v)
		:: else -> goto out
		fi
	};
	vc[v].seen_seq = vc[v].event_seq - 1;		/*: has an event that it has not entered with: seen_seq = event_seq - 1 */
	vc[v].requests = vc[v].requests | REQ_EVENT;	/*: sets REQ_EVENT, to look again */
	wake_waiters(v);				/*: wakes who waits */
#endif
out:
	vc[v].running = false;				/*: leaves vcpu_run() */
	goto end_outside;

#ifdef MP_STATE
halted_userspace: /* vcpu_block_for_vmm() */
	vc[v].running = true;				/*: the VMM calls vcpu_run() with MP_HALTED_USERSPACE */
again:
	if
	:: has_event(v) -> goto runnable		/*: vcpu_has_event(): yes */
	:: else						/*: vcpu_has_event(): no */
	fi;
	take_requests(v);
	atomic {
		vc[v].nmi = false;
		if
		:: taken == REQ_EXIT -> taken = 0; goto out
		:: taken == REQ_EVENT -> taken = 0; goto again
		:: !taken
		fi
	};
	atomic { vc[v].queued = true; vc[v].woken = false };	/*: wait_prepare() */
#ifdef NO_RECHECK
	vc[v].asleep = true;				/*: sleeps without looking again */
#else
	atomic {
		if
		:: vc[v].requests -> vc[v].queued = false; goto again	/*: may_sleep(): there is a request */
		:: else -> vc[v].asleep = true		/*: may_sleep(): no request; sleeps */
		fi
	};
#endif
end_halted:
	atomic { vc[v].woken -> vc[v].asleep = false; vc[v].woken = false };	/*: is awake */
	goto again;
runnable:
	atomic {
		assert(vc[v].pending || vc[v].injected);
		vc[v].requests = vc[v].requests | REQ_EVENT	/*: RUN_EXIT_RUNNABLE; the VMM runs it */
	};
	goto enter
#endif
}
#else
/* vcpu_run() in few steps: what it does between two of them is in the fine model. */
proctype vcpu(byte v)
{
end_outside:
	atomic { vc[v].go -> vc[v].go = false; vc[v].running = true };	/*: the VMM calls vcpu_run() */
look:
	atomic {
		if
		:: vc[v].requests & REQ_EXIT ->
			vc[v].requests = vc[v].requests & REQ_EVENT;	/*: REQ_EXIT: leaves vcpu_run() */
			vc[v].running = false;
			goto end_outside
		:: else ->
			vc[v].requests = 0;		/*: looks at its events and enters the guest */
			vc[v].seen_seq = vc[v].event_seq;
			vc[v].pending = 0;
			vc[v].mode = IN_GUEST;
			vc[v].in_guest = true
		fi
	};
end_guest:
	atomic { vc[v].nmi -> vc[v].nmi = false; vc[v].in_guest = false; vc[v].mode = OUTSIDE };	/*: NMI exit; mode = OUTSIDE */
	goto look
}
#endif

#ifdef POSTED
#define ready(v) (vc[v].kicked)
#else
#define ready(v) (vc[v].event_seq != vc[v].seen_seq)
#endif

#if NV == 1
#define any_ready ready(0)
#define queue(p) atomic { wt[p].woken = false; wt[p].queued[0] = true }
#define dequeue(p) wt[p].queued[0] = false
#else
#define any_ready (ready(0) || ready(1) || ready(2))
/* One queue after the other: an event may come in between. */
#define queue(p) \
	atomic { wt[p].woken = false; wt[p].queued[0] = true }; \
	wt[p].queued[1] = true; \
	wt[p].queued[2] = true
#define dequeue(p) wt[p].queued[0] = false; wt[p].queued[1] = false; wt[p].queued[2] = false
#endif

#ifndef MP_STATE
proctype waiter(byte p)
{
	byte v;

again:
#ifdef CHECKS_FIRST
	if
	:: any_ready -> goto found
	:: else						/*: looks: not ready */
	fi;
#endif
	queue(p);					/*: queues itself: wait_prepare() */
#ifndef CHECKS_FIRST
	do
	:: atomic { v < NV && ready(v) -> v = 0; goto found }	/*: looks: ready */
	:: atomic { v < NV && !ready(v) -> v++ }	/*: looks: not ready */
	:: atomic { v == NV -> v = 0; break }
	od;
#endif
	wt[p].asleep = true;				/*: sleeps */
end_asleep:
	atomic { wt[p].woken -> wt[p].asleep = false; wt[p].woken = false; dequeue(p) };	/*: is awake */
	goto again;
found:
	atomic {
		dequeue(p);
		wt[p].woken = false;
		do
		:: v < NV && ready(v) && !vc[v].running -> vc[v].go = true; v++	/*: tells the VMM's thread to run the vCPU */
		:: v < NV && !(ready(v) && !vc[v].running) -> v++
		:: v == NV -> break
		od;
		v = 0
	};
	goto again
}
#endif

/* Nobody looks at the event: the vCPU is out, nobody runs it, ... */
#define to_be_told(v) (vc[v].injected || (vc[v].pending && vc[v].guest != MASKED))
#define nobody_looks(v) (to_be_told(v) && !vc[v].running && !vc[v].go)
#define sleeps(p) (wt[p].asleep && !wt[p].woken)
/* Not looked at, and nothing makes it look. */
#define stuck(v) \
	(to_be_told(v) && !vc[v].nmi && \
	 ((vc[v].in_guest && !vc[v].window) || (vc[v].asleep && !vc[v].woken && vc[v].guest == CAN_TAKE)))
#if NV == 1
#define any_nobody_looks nobody_looks(0)
#define any_stuck stuck(0)
#else
#define any_nobody_looks (nobody_looks(0) || nobody_looks(1) || nobody_looks(2))
#define any_stuck (stuck(0) || stuck(1) || stuck(2))
#endif

/*@ column observer "what is wrong" */
proctype observer()
{
end:	do
#ifndef MP_STATE
	:: atomic { !busy && any_nobody_looks && sleeps(0) -> assert(false) }	/*: a waiter sleeps on; the vCPU is outside and has an event that no entry has seen */
#if NP > 1
	:: atomic { !busy && any_nobody_looks && sleeps(1) -> assert(false) }	/*: a waiter sleeps on; the vCPU is outside and has an event that no entry has seen */
#endif
#endif
	:: atomic { !busy && any_stuck -> assert(false) }	/*: the vCPU has an event, and nothing makes it look */
	od
}

init {
	byte i, j;

	atomic {
		do
		:: i < NV ->
			vc[i].mode = OUTSIDE;
			vc[i].guest = CAN_TAKE;
#ifndef COARSE
			vc[i].go = true;
#endif
			run vcpu(i);
			j = 0;
			do
			:: j < NE -> run event(i, j); j++
			:: else -> break
			od;
			j = 0;
			do
			:: j < NX -> run leaver(i, j); j++
			:: else -> break
			od;
			i++
		:: else -> break
		od;
#ifndef MP_STATE
		i = 0;
		do
		:: i < NP -> run waiter(i); i++
		:: else -> break
		od;
#endif
		run observer()
	}
}
