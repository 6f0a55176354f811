/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Backing: the host memory behind guest memory, as an object of its own (what a memfd is to KVM).
 *
 * Slots say which part of which backing a range of guest-physical addresses shows; several slots,
 * of several VMs, may show the same one, and a slot that is deleted and created again shows the
 * same bytes. A backing is a row of pages that can move: whoever installs a translation finds the
 * page through backing_find() under the invalidate protocol (hv/vm/invalidate.h) and nobody keeps a
 * reference to a frame.
 *
 * Memory comes in blocks of 2 MiB, contiguous and aligned, so that large mappings are possible, and
 * is zeroed when it is first touched; a block that has been moved or made missing in part is split
 * into 512 pages of 4 KiB. With BACKING_1G blocks are cut from 1 GiB where the machine has them,
 * and a populated gigabyte can be mapped by one leaf.
 *
 * A page is present, missing or arriving. What becomes of a fault on a page that is missing is the
 * slot's to say (hv/vm/slots.h).
 */
#ifndef HV_VM_BACKING_H
#define HV_VM_BACKING_H

#include "hv/host/thread.h"
#include "hv/host/list.h"
#include "hv/host/types.h"

struct vm;
struct backing;
struct wait_queue;
struct fetch_queue;

enum backing_flags {
	BACKING_RESERVE =
		1,	/* take all memory now, so that a guest cannot run the machine out later */
	BACKING_1G = 2, /* in blocks of 1 GiB where possible; implies BACKING_RESERVE */
	/*
	 * Every page is missing until it is filled. Their memory is reserved and stays theirs, also
	 * when they are made missing again: filling one cannot fail for lack of memory. Not with
	 * BACKING_1G.
	 */
	BACKING_MISSING = 4,
};

/* Where a page is. */
struct backing_page {
	hpa_t hpa; /* of the 4 KiB page at the offset asked for */
	u64 span;  /* bytes around it that are contiguous, aligned and zeroed: 4 KiB, 2 MiB or 1 GiB
		    */
};

/**
 * backing_create - an object of @size bytes
 * @size: a multiple of 4 KiB, not 0
 * @flags: enum backing_flags
 *
 * Returns 0 with one reference, -EINVAL, -ENOMEM. Thread context.
 */
int backing_create(struct backing **out, u64 size, unsigned int flags);

void backing_get(struct backing *b);
/** backing_put - the last reference frees all memory. Nobody may sleep in backing_wait(). */
void backing_put(struct backing *b);

u64 backing_size(const struct backing *b);

/**
 * backing_find - the page at an offset, allocated and zeroed if nobody has touched it yet
 * @offset: a multiple of 4 KiB, below the size
 *
 * Returns 0; -EAGAIN when the page is missing or arriving; -ENOMEM. Any thread; does not sleep.
 */
int backing_find(struct backing *b, u64 offset, struct backing_page *out);

/**
 * backing_look - the same for what is there and zeroed already: nothing is allocated or queued
 *
 * Returns whether it is. Any context.
 */
bool backing_look(struct backing *b, u64 offset, struct backing_page *out);

/**
 * backing_populate - allocate and zero everything now. 0, -ENOMEM; missing pages stay missing.
 */
int backing_populate(struct backing *b);

/*
 * A view: that a range of a VM's guest-physical addresses shows a part of a backing. Lives in the
 * slot. The backing knows its views, so whoever moves pages finds all translations there can be
 * without looking at anybody's slots.
 */
struct backing_view {
	struct list node;     /* backing's, while attached */
	struct list affected; /* of the move under way */
	struct vm *vm;
	gpa_t gpa;
	u64 offset, size;
};

/**
 * backing_attach, backing_detach - [gpa, gpa + size) of @vm shows (no longer shows) [offset, offset
 * + size) of the backing
 * @v: uninitialised; stays where it is until detached
 *
 * Attach before the slot is published; detach when no reader can find it any more. In between,
 * moves invalidate and zap the range. Both wait, asleep, until a move that is under way has ended,
 * and so may be called with vm->change_mutex held, but neither in a read section nor with a
 * spinlock held. Once detach has returned nobody uses @v or @vm on the backing's behalf.
 */
void backing_attach(struct backing *b, struct backing_view *v, struct vm *vm, gpa_t gpa, u64 offset,
		    u64 size);
void backing_detach(struct backing *b, struct backing_view *v);

/**
 * backing_move - move pages to other frames, while guests run
 * @offset, @len: multiples of 4 KiB
 * @fill: 0..255: what the frames that are left are filled with before they are freed; or -1
 *
 * begin on every VM that shows the range; zap; flush; copy; exchange; end; free. What nobody has
 * touched yet stays where it is, or is not. A block becomes
 * single pages, except when it is moved as a whole. Returns 0, -EINVAL, -ENOMEM (nothing moved),
 * -EAGAIN (a page is missing), -ETIMEDOUT (a vCPU does not leave; nothing moved). Thread context.
 */
int backing_move(struct backing *b, u64 offset, u64 len, int fill);

/* --- pages that are not there -------------------------------------------------------------------
 *
 * Present -> missing by backing_punch(); missing -> arriving by vm_next_fetch() (hv/vm/fetch.h),
 * which hands the page to whoever brings it; arriving (or missing) -> present by backing_fill(), or
 * by backing_stage() and backing_publish().
 */

/**
 * backing_punch - make pages missing; their contents are gone. What is missing or arriving stays
 * so. Errors as backing_move() but -EAGAIN.
 */
int backing_punch(struct backing *b, u64 offset, u64 len);

/**
 * backing_fill - make a missing or arriving page present with these contents, and wake who waits
 * @offset: a multiple of 4 KiB
 * @data: 4096 bytes, read before anybody can see the page; nobody writes them meanwhile
 *
 * Any number of threads may fill the same page: one of them does, and on return it is present.
 * Returns 0; -EEXIST (it was present already, or somebody else has filled it meanwhile: nothing was
 * written); -EINVAL; -ENOMEM (not with BACKING_MISSING). Any thread; does not sleep.
 */
int backing_fill(struct backing *b, u64 offset, const void *data);

/**
 * backing_stage - put contents into a page that stays missing
 * @offset, @data: as for backing_fill()
 *
 * For what is sent ahead, and may be sent again: a later backing_stage() or backing_fill()
 * replaces it. Nobody sees it before backing_publish(). Returns and context as backing_fill();
 * -EEXIST: the page is present.
 */
int backing_stage(struct backing *b, u64 offset, const void *data);

/**
 * backing_publish - make staged pages present as they are, and wake who waits
 * @offset: a multiple of 256 KiB
 * @pages: bit i: the page at @offset + i * 4 KiB, unless nothing was staged in it or it is present
 *
 * Returns how many became present, -EINVAL. Any thread; does not sleep.
 */
int backing_publish(struct backing *b, u64 offset, u64 pages);

/**
 * backing_read, backing_write - the memory itself, as its owner sees it: by no VM's slots
 * @offset, @len: within the backing, any alignment, @len not 0
 *
 * Pages need not be shown to any guest, or may be hidden from it (hv/vm/userfault.h); a dirty log
 * learns nothing. While pages are being moved they wait. Return 0; -EAGAIN (a page is missing; what
 * precedes it was transferred), -EINVAL, -ENOMEM. Thread context.
 */
int backing_read(struct backing *b, u64 offset, void *buf, u64 len);
int backing_write(struct backing *b, u64 offset, const void *buf, u64 len);

/**
 * backing_wait - have a missing page fetched, and sleep until it may be there or @stop() says so
 * @q: the queue of the VM that wants it
 * @also: a second wait queue whose wake-ups count; may be NULL
 * @stop: asked before sleeping and after every wake-up; may be NULL
 *
 * Returns 0 (look again) or -EINTR (@stop() said so). Thread context, no section of the readers'
 * gate open.
 */
int backing_wait(struct backing *b, u64 offset, struct fetch_queue *q, struct wait_queue *also,
		 bool (*stop)(void *arg), void *arg);

#endif
