/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's board: every device of one guest, on its port and memory buses. The VMM runs the
 * vCPUs and hands each exit that is the board's to board_handle().
 */
#ifndef HV_DEV_BOARD_H
#define HV_DEV_BOARD_H

#include "hv/dev/bus.h"
#include "hv/dev/ending.h"
#include "hv/dev/fwcfg.h"
#include "hv/dev/lines.h"
#include "hv/dev/power.h"
#include "hv/dev/serial.h"
#include "hv/dev/testdev.h"
#include "hv/host/spinlock.h"

struct vcpu;
struct vm;

struct board_config {
	const char *name; /* in front of the guest's lines: "guest"; at most 24 bytes count */
};

struct board {
	struct vm *vm;
	struct ending ending;
	struct spinlock
		lock; /* protects everything below and the ending; then the console's lock */
	struct bus ports;
	struct lines com1_lines, debugcon_lines;
	struct serial com1;
	struct fwcfg fwcfg;
	struct power power;
	struct testdev testdev;
};

/**
 * board_init - build the board of @vm
 * @b: any content
 * @vm: its RAM and its vCPUs are there already, none has run; it outlives the board
 * @config: read here only
 *
 * Returns 0 or an error of vm_add_ram(). On success board_destroy() must follow some day.
 */
int board_init(struct board *b, struct vm *vm, const struct board_config *config);

/** board_destroy - when no vCPU runs any more: print what is left of the guest's text. */
void board_destroy(struct board *b);

/**
 * board_move - the board's guest goes on in another VM
 * @vm: with vCPUs of the same number; none of its own nor of the other VM's is running
 *
 * The devices keep their state, as a VMM does that migrates them.
 */
void board_move(struct board *b, struct vm *vm);

/**
 * board_handle - serve the exit in @vcpu->run
 * @vcpu: vcpu_run() has just returned 0 on this thread
 *
 * For a read from a port, the value is left in the run record for the next vcpu_run() to complete.
 * Exits that no guest survives (triple fault, refused entry, an access to no memory, ...) end it.
 * Thread context, any CPU; several vCPUs of one VM may be here at once.
 *
 * Returns 0 to go on, 1 when the guest has ended, by this exit or another vCPU's: see @b->ending.
 * Then vm_stop() has been called, and every other vCPU comes out.
 */
int board_handle(struct board *b, struct vcpu *vcpu);

/**
 * board_end - the VMM ends the guest: a time limit, an error of vcpu_run()
 *
 * As ending_set(); stops the vCPUs and prints what is left of the guest's text. Thread context.
 */
void board_end(struct board *b, int status, const char *fmt, ...) __printf(3, 4);

/**
 * board_report - say on the console what the guest did that was probably not meant
 *
 * So far: accesses to ports where there is no device. When no vCPU runs any more.
 */
void board_report(struct board *b);

#endif
