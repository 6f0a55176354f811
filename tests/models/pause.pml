/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Holding a VM: counted holders against vCPUs that enter, readers at the gate, a vCPU that is made.
 *
 * What is modelled, step by step
 *   holder    vm_pause(), add_holder(), stop_all(), wait_evicted() and wait_drained(), vm_resume() and
 *             remove_holder() in hv/vm/pause.c; vm_kick_all() and evict() in hv/vm/kick.c; readers_drained()
 *             in hv/vm/readers.c; the first one pauses ROUNDS times, the other one reads the slots while it holds
 *   vcpu      the vCPU's thread: run_loop() and look_again() in hv/vm/run.c, the section of vm_fault()
 *             in hv/vm/memory.c, and what the VMM does after -EINTR, vm_wait_resumed(). The last vCPU
 *             begins with vcpu_create() in hv/vm/vcpu.c, whenever it likes
 *   cpu       the store buffer of the CPU that this thread runs on
 *   reader    slots_read_begin(), slots_read_try() and slots_read_end() in hv/vm/readers.c, gate_closed()
 *             and gate_wait() in hv/vm/pause.c
 *
 * Memory order. As in kick.pml: x86's, with a store buffer for `mode`. It has one place, which is
 * exact: the exchange that stores IN_GUEST leaves at most one plain store of mode waiting, that of
 * OUTSIDE. All else that others look at (the hold, the counts of the readers, the queue) is written by
 * read-modify-writes or under a lock. What happens under hold_lock is one step: without the lock only
 * `hold` is read.
 *
 * Left out: the way of the NMI (kick.pml): a vCPU whose mode is EXITING leaves the guest or does not
 * enter, sooner or later. A vCPU that sleeps in HLT (kick.pml, too). The two phases of the counts
 * (slots.pml); vm_stop(); that a thread that waits for the VM spins for a while before it sleeps.
 * wait_drained() looks at one thread's count after the other and is done when it has seen each at 0
 * once; the real one starts over, which allows less.
 *
 * Verified: from the return of vm_pause() to vm_resume() no vCPU is in the guest, and no thread that
 * holds nothing itself is in a read section. And everything ends: no deadlock, nobody sleeps for ever
 * before a VM that is not held; when all holders are through, all vCPUs are in the guest. Also when a
 * pause gives up while it waits (-ETIMEDOUT).
 *
 * Sizes: NV vCPUs, the last of which is created meanwhile; NH holders, of which the first pauses ROUNDS
 * times; one reader that makes SECTIONS sections; each vCPU has EXITS faults. A reader and a vCPU that
 * faults do the same at the gate, and vCPUs share nothing but the hold and its holders; so three vCPUs
 * without sections show what more of them change, and fewer with sections the rest.
 */
/* verify: vcpus -DNV=3 -DSECTIONS=0 -DEXITS=0 -DROUNDS=1 */
/* verify: rounds -DNV=2 -DSECTIONS=0 -DEXITS=0 */
/* verify: gate -DNV=1 -DSECTIONS=2 */
/* verify: all -DNV=2 -DROUNDS=1 */
/* verify: gives-up -DNV=2 -DEXITS=0 -DROUNDS=1 -DGIVES_UP */
/* broken: no-fence -DNO_FENCE -DNH=1 -DROUNDS=1 -DSECTIONS=0 -DEXITS=0 : between the store of mode and the look at the hold there is no fence */
/* broken: not-counted -DNOT_COUNTED -DROUNDS=1 -DSECTIONS=0 -DEXITS=0 -DNV=1 : the first of two holders that resumes lets the VM go */
/* broken: late-count -DLATE_COUNT -DNH=1 -DROUNDS=1 -DNV=1 : a reader looks at the hold, then counts itself in, and does not look again */
/* broken: new-vcpu -DNEW_VCPU -DNH=1 -DROUNDS=1 -DSECTIONS=0 -DEXITS=0 : a new vCPU does not look at the hold before its first entry */
/* broken: not-evicted -DNOT_EVICTED -DNH=1 -DROUNDS=1 -DSECTIONS=0 -DEXITS=0 : a pause kicks the vCPUs and does not wait until they are outside */
/* broken: not-drained -DNOT_DRAINED -DNH=1 -DROUNDS=1 -DNV=1 : a pause does not wait for the readers that are in a section */
/* broken: not-kicked -DNOT_KICKED -DNH=1 -DROUNDS=1 -DNV=1 -DSECTIONS=0 -DEXITS=0 : a pause waits for a vCPU that nobody has kicked */
/* broken: late-queue -DLATE_QUEUE -DNH=1 -DROUNDS=1 -DNV=1 -DEXITS=0 : who waits for the VM looks at the hold before it is on the queue */
#ifndef NV
#define NV 2
#endif
#ifndef NH
#define NH 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef SECTIONS
#define SECTIONS 1
#endif
#ifndef EXITS
#define EXITS 1
#endif

/*@ column vcpu "vCPU's thread" */
/*@ column cpu "its CPU" */
/*@ column reader "reader" */
/*@ column holder "holder" */

mtype = { OUTSIDE, IN_GUEST, EXITING };

typedef vcpu_state {
	mtype mode;
	bool stored; /* the store buffer holds ... */
	mtype store; /* ... this value for mode */
};

vcpu_state vc[NV];
byte nr_vcpus = NV - 1;
byte hold;
byte held; /* holders between the return of vm_pause() and vm_resume() */

/* Threads: vCPUs first, then the reader, then the holders. One bit for each. */
#define THREADS (NV + 1 + NH)
#define READER NV
#define HOLDER (NV + 1)
#define BIT(t) (1 << (t))
byte holders; /* the list */
byte guest;   /* vCPUs that are in the guest */
byte open;    /* the counts of open sections */
byte section; /* threads that are in a section, by their own opinion */
byte queue;   /* those who wait for vm->resumed */

#define gate_closed(t) (holders && !(holders & BIT(t)))
#define buffer_empty(v) (!vc[v].stored)

#define legal(v, to) (((to) == IN_GUEST && vc[v].mode == OUTSIDE) || \
	((to) == EXITING && vc[v].mode == IN_GUEST) || ((to) == OUTSIDE && vc[v].mode != OUTSIDE))

/* Macros, so that their steps have the label of the line where they stand. */
#define commit(v, to) assert(legal(v, to)); vc[v].mode = to
#define store_mode(v, to) atomic { buffer_empty(v) -> vc[v].stored = true; vc[v].store = to }

inline enter_section(t)
{
	section = section | BIT(t);
	if
	:: held && !(holders & BIT(t)) -> assert(false)	/*: is in a section, and somebody else holds the VM */
	:: else
	fi
}

/* slots_read_try(): ok tells whether the section has begun. The thread's buffer is empty when @ready. */
#ifndef LATE_COUNT
inline read_try(t, ready)
{
	atomic { ready -> open = open | BIT(t) };	/*: counts itself in, full fence */
	if
	:: atomic {
		!hold -> ok = true;			/*: looks at the hold: 0, its section begins */
		enter_section(t)
	   }
	:: hold ->					/*: looks at the hold: the VM is held */
		atomic {
			if
			:: gate_closed(t) -> ok = false	/*: gate_closed(): by others only */
			:: else -> ok = true;		/*: gate_closed(): no, its section begins */
				   enter_section(t)
			fi
		};
		if
		:: !ok -> open = open & ~BIT(t)		/*: counts itself out */
		:: else
		fi
	fi
}
#else
inline read_try(t, ready)
{
	ready;
	if
	:: hold && gate_closed(t) -> ok = false		/*: looks at the hold: held, does not enter */
	:: else -> ok = true				/*: looks at the hold: 0 */
	fi;
	atomic {
		if
		:: ok -> open = open | BIT(t);		/*: counts itself in, too late; its section begins */
			 enter_section(t)
		:: else
		fi
	}
}
#endif

inline read_end(t)
{
	atomic { section = section & ~BIT(t); open = open & ~BIT(t) }	/*: its section ends: counts itself out */
}

/* wait_while(): @cond as the thread finds it. */
#ifndef LATE_QUEUE
inline wait_while(t, ready, cond)
{
	do
	::	atomic { ready -> queue = queue | BIT(t) };	/*: wait_prepare(): is on the queue */
		if
		:: atomic { !(cond) -> queue = queue & ~BIT(t) }; break	/*: the VM is not held any more */
		:: else					/*: the VM is held: sleeps */
		fi;
		!(queue & BIT(t))			/*: is awake */
	od
}
#else
inline wait_while(t, ready, cond)
{
	do
	::	ready;
		if
		:: !(cond) -> break			/*: the VM is not held any more */
		:: else					/*: the VM is held: it will sleep */
		fi;
		queue = queue | BIT(t);			/*: wait_prepare(): is on the queue, too late; sleeps */
		!(queue & BIT(t))			/*: is awake */
	od
}
#endif

proctype vcpu(byte v)
{
	byte exits;
	bool ok;
#ifdef NEW_VCPU
	bool entered;
#endif

	if
	:: atomic { v == NV - 1 -> nr_vcpus = NV }	/*: vcpu_create(): there is one vCPU more */
	:: else
	fi;
enter:
#ifdef NO_FENCE
	store_mode(v, IN_GUEST);		/*: plain store of mode = IN_GUEST, into the store buffer */
#else
	atomic { buffer_empty(v) -> commit(v, IN_GUEST) };	/*: exchange: mode = IN_GUEST, full fence */
#endif
	if
#ifdef NEW_VCPU
	:: atomic { v == NV - 1 && !entered -> entered = true }	/*: is new: does not look at the hold */
	:: (v != NV - 1 || entered) && hold -> goto leave	/*: last look: the VM is held, does not enter */
	:: (v != NV - 1 || entered) && !hold	/*: last look: hold is 0 */
#else
	:: hold -> goto leave			/*: last look: the VM is held, does not enter */
	:: else					/*: last look: hold is 0 */
#endif
	fi;
	atomic {
		if
		:: vc[v].mode == EXITING -> goto leave	/*: the kick bars its entry */
		:: true -> guest = guest | BIT(v)	/*: VMRESUME: the guest runs */
		fi;
		if
		:: held -> assert(false)	/*: the guest runs, in a VM that is held */
		:: else
		fi
	};
end_guest:
	if
	:: atomic { vc[v].mode == EXITING -> guest = guest & ~BIT(v) }	/*: the kick makes the guest exit */
	:: atomic { exits < EXITS -> exits++; guest = guest & ~BIT(v) };	/*: exits: a fault */
	   store_mode(v, OUTSIDE);		/*: stores mode = OUTSIDE */
	   read_try(v, buffer_empty(v));
	   if
	   :: ok -> ok = false; read_end(v)
	   :: else
	   fi;
	   goto enter
	fi;
leave:
	store_mode(v, OUTSIDE);			/*: stores mode = OUTSIDE */
	if
	:: !hold -> goto enter			/*: look_again(): hold is 0 */
	:: hold					/*: look_again(): vcpu_run() = -EINTR */
	fi;
	wait_while(v, buffer_empty(v), hold);
	goto enter
}

proctype cpu(byte v)
{
end:	do
	:: atomic { vc[v].stored -> commit(v, vc[v].store); vc[v].stored = false; vc[v].store = 0 }	/*: the store of mode reaches memory */
	od
}

proctype reader()
{
	byte n;
	bool ok;

	do
	:: n < SECTIONS ->
		do
		::	read_try(READER, true);
			if
			:: ok -> break
			:: else
			fi;
			wait_while(READER, true, gate_closed(READER))
		od;
		atomic { ok = false; n++ };
		read_end(READER)
	:: else -> break
	od
}

#ifdef NOT_COUNTED
#define UNHOLD hold = 0
#else
#define UNHOLD hold--
#endif

/* remove_holder() */
inline remove_holder(h, mine)
{
	atomic { holders = holders & ~BIT(HOLDER + h); held = held - mine; UNHOLD; last = !holders };	/*: vm_resume(): one holder less */
	if
	:: last && queue -> atomic { last = false; queue = 0 }	/*: it was the last one: wakes all who wait */
	:: else -> last = false
	fi
}

#ifdef GIVES_UP
#define OR_GIVES_UP :: h == 0 && true -> goto give_up	/*: -ETIMEDOUT: gives up */
#else
#define OR_GIVES_UP
#endif

proctype holder(byte h)
{
	byte round, i, nr;
	bool ok, last;

again:
	atomic {
#ifdef NOT_COUNTED
		hold = 1;
#else
		hold++;
#endif
		holders = holders | BIT(HOLDER + h)	/*: raises the hold, full fence */
	};
#ifndef NOT_KICKED
	nr = nr_vcpus;
	do
	:: atomic {
		i < nr ->
		if
		:: vc[i].mode == IN_GUEST -> commit(i, EXITING)	/*: kicks a vCPU: mode is IN_GUEST, now EXITING */
		:: else						/*: a vCPU's mode is not IN_GUEST: no kick */
		fi;
		i++
	   }
	:: atomic { i == nr -> i = 0; nr = 0 }; break
	od;
#endif
#ifndef NOT_EVICTED
	nr = nr_vcpus;
#ifdef NOT_COUNTED
end_late:	/* waits for ever, too, for a vCPU that came in meanwhile: not what is looked for */
#endif
	do
	:: atomic { i < nr && vc[i].mode == OUTSIDE -> i++ }	/*: a vCPU is outside */
	:: atomic { i == nr -> i = 0; nr = 0 }; break
	OR_GIVES_UP
	od;
#endif
#ifndef NOT_DRAINED
	do
	:: atomic { i < THREADS && !(open & BIT(i)) -> i++ }
	:: atomic { i == THREADS -> i = 0 }; break	/*: no section is open */
	OR_GIVES_UP
	od;
#endif
	atomic {
		held++;				/*: vm_pause() = 0: the VM is held */
		if
		:: guest -> assert(false)	/*: a guest runs, in a VM that is held */
		:: section & ~holders -> assert(false)	/*: somebody else is in a section, of a VM that is held */
		:: else
		fi
	};
	if
	:: h == 1 ->
		read_try(HOLDER + h, true);
		atomic { assert(ok); ok = false };
		read_end(HOLDER + h)
	:: else
	fi;
	remove_holder(h, 1);
#ifdef GIVES_UP
	goto next;
give_up:
	atomic { i = 0; nr = 0 };
	remove_holder(h, 0);
next:
#endif
	if
	:: h == 0 && round + 1 < ROUNDS -> round++; goto again
	:: else
	fi
}

init {
	byte i;

	atomic {
		do
		:: i < NV -> vc[i].mode = OUTSIDE; run vcpu(i); run cpu(i); i++
		:: else -> break
		od;
		i = 0;
		run reader();
		do
		:: i < NH -> run holder(i); i++
		:: else -> break
		od
	}
}
