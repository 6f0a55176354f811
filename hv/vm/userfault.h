/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bitmap that hides pages from a guest: bit set, an access is a memory-fault exit; bit clear, the
 * page is as the backing has it. (The shape of KVM Userfault, J. Houghton, 2024.)
 *
 * There is a bit for each page of the backing, so slots that show parts of it may be split, merged
 * and moved. A slot with SLOT_USERFAULT has one; slots of several VMs may share it.
 *
 * Who resolves a fault writes the page (backing_write()) and then clears its bit: the clear is a
 * release, the test in the fault is an acquire, so a guest that gets past the bit reads what was
 * written before it was cleared. Clearing needs no lock and tells nobody, since nothing is cached
 * of a bit that is set. Setting one takes a page away from running guests, and is an invalidation.
 * Nothing here claims a page, as backing_fill() does: of those that hear of the same one a single
 * thread writes it, for after the clear a write would take back what the guest has written.
 */
#ifndef HV_VM_USERFAULT_H
#define HV_VM_USERFAULT_H

#include "hv/host/types.h"

struct backing;
struct userfault;

/**
 * userfault_create - a bitmap for all pages of a backing
 * @b: keeps a reference to it
 * @hidden: what all bits are at first
 *
 * Returns 0 with one reference, -ENOMEM. Thread context.
 */
int userfault_create(struct userfault **out, struct backing *b, bool hidden);

void userfault_get(struct userfault *u);
void userfault_put(struct userfault *u);

/** userfault_backing - the backing it was made for. */
struct backing *userfault_backing(const struct userfault *u);

/** userfault_bits - the bits themselves, 64 pages a word: an acquiring load tells. */
const _Atomic u64 *userfault_bits(const struct userfault *u);

/** userfault_hides - whether the bit of the page at @offset is set. Acquires. Any context. */
bool userfault_hides(const struct userfault *u, u64 offset);

/**
 * userfault_hides_any - the same for all pages of [offset, offset + len)
 * @offset, @len: multiples of 256 KiB
 */
bool userfault_hides_any(const struct userfault *u, u64 offset, u64 len);

/**
 * userfault_clear - show pages
 * @offset: a multiple of 256 KiB, below the backing's size
 * @pages: bit i: the page at @offset + i * 4 KiB
 *
 * Releases what was written before. Any thread.
 */
void userfault_clear(struct userfault *u, u64 offset, u64 pages);

/** userfault_clear_page - the same for the page at @offset, a multiple of 4 KiB. */
void userfault_clear_page(struct userfault *u, u64 offset);

/**
 * userfault_set - hide pages, from guests that may be running
 * @offset, @len: multiples of 4 KiB, within the backing
 *
 * An invalidation of every range that shows them through any slot: begin, set, zap, flush, end. On
 * return no CPU uses a translation of them. Returns 0, -EINVAL; or -ENOMEM, -ETIMEDOUT (a vCPU does
 * not leave): the bits are set, but a CPU may go on using a page. Thread context.
 */
int userfault_set(struct userfault *u, u64 offset, u64 len);

#endif
