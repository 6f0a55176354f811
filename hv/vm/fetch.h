/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The queue of pages that a VM waits for: the userfaultfd shape.
 *
 * A thread that needs a missing page of a slot without SLOT_EXIT_ON_MISSING, a vCPU's or one in
 * vm_read(), sleeps in backing_wait(). The page is in the queue once, however many threads wait for
 * it; vm_next_fetch() hands it to a handler thread, once, and backing_fill() wakes them all.
 *
 * There is one queue per VM. A backing with pages that are wanted is in the queue of the VM that
 * wanted the first of them. When that VM stops showing the backing it moves to another that does.
 */
#ifndef HV_VM_FETCH_H
#define HV_VM_FETCH_H

#include "hv/host/list.h"
#include "hv/host/spinlock.h"
#include "hv/host/thread.h"
#include "hv/host/types.h"

struct vm;
struct backing;

struct fetch_queue {
	struct spinlock lock;	  /* inside a backing's */
	struct list backings;	  /* those with pages that are wanted, the next one first */
	struct wait_queue wanted; /* handlers */
	/* Threads that sleep for a page, and where those do that are no vCPU's: hv/vm/missing.c. */
	_Atomic u32 sleepers;
	struct wait_queue others;
};

/* A page to be brought. */
struct fetch {
	struct backing *backing; /* with a reference: backing_put() */
	u64 offset;
};

void fetch_queue_init(struct fetch_queue *q);

/**
 * vm_next_fetch - the next page that a thread of @vm waits for, for the thread that brings pages
 * @out: the page, and a reference to its backing
 * @deadline: absolute TSC
 *
 * Returns 0, or -ETIMEDOUT. A page is handed out once: whoever got it fills it. Pages of one
 * backing come in the order in which they were wanted, and backings take turns. Any number of
 * handlers. Thread context.
 */
int vm_next_fetch(struct vm *vm, struct fetch *out, u64 deadline);

#endif
