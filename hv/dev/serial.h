/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A 16550A UART as the guest's COM1. It sends at once, so it is always ready, and nothing is
 * connected to its input but its own loopback. Its interrupt line is computed (IIR) but leads
 * nowhere yet.
 */
#ifndef HV_DEV_SERIAL_H
#define HV_DEV_SERIAL_H

#include "hv/dev/bus.h"
#include "hv/dev/lines.h"

#define SERIAL_COM1  0x3f8
#define SERIAL_PORTS 8
#define SERIAL_FIFO  16

struct serial {
	struct lines *out;
	u8 ier, lcr, mcr, scr;
	u8 dll, dlm;
	bool fifo_on;
	bool thr_empty; /* the "transmitter empty" interrupt is due; IIR's read clears it */
	bool overrun;	/* a received byte was lost; LSR's read clears it */
	u8 msr_delta;	/* changes of the modem lines since MSR's read */
	u8 rx[SERIAL_FIFO];
	u8 rx_head, rx_len;
};

/** serial_init - power-on state. @out: gets what the guest sends. */
void serial_init(struct serial *s, struct lines *out);

/* Byte registers; struct serial is the device. */
extern const struct bus_ops serial_ops;

#endif
