/* SPDX-License-Identifier: GPL-2.0-only */
/* The 16550A's registers. */
#include "hv/dev/serial.h"

enum serial_reg {
	REG_DATA = 0, /* RBR, THR; DLL with DLAB */
	REG_IER = 1,  /* DLM with DLAB */
	REG_IIR = 2,  /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

enum serial_bits {
	IER_RX = 1 << 0,
	IER_THR_EMPTY = 1 << 1,
	IER_LINE = 1 << 2,
	IER_MODEM = 1 << 3,
	IER_ALL = 0x0f,

	IIR_MODEM = 0x00,
	IIR_NONE = 0x01,
	IIR_THR_EMPTY = 0x02,
	IIR_RX = 0x04,
	IIR_LINE = 0x06,
	IIR_FIFO = 0xc0,

	FCR_ENABLE = 1 << 0,
	FCR_CLEAR_RX = 1 << 1,

	LCR_DLAB = 1 << 7,

	MCR_DTR = 1 << 0,
	MCR_RTS = 1 << 1,
	MCR_OUT1 = 1 << 2,
	MCR_OUT2 = 1 << 3,
	MCR_LOOP = 1 << 4,
	MCR_ALL = 0x1f,

	LSR_DATA = 1 << 0,
	LSR_OVERRUN = 1 << 1,
	LSR_THR_EMPTY = 1 << 5,
	LSR_IDLE = 1 << 6,

	MSR_CTS = 1 << 4,
	MSR_DSR = 1 << 5,
	MSR_RI = 1 << 6,
	MSR_DCD = 1 << 7,
};

void serial_init(struct serial *s, struct lines *out)
{
	*s = (struct serial){ .out = out, .dll = 1 };
}

/* A terminal that is always there; in loopback the modem lines are MCR's own outputs. */
static u8 modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void set_mcr(struct serial *s, u8 value)
{
	u8 before = modem_lines(s), after, changed;

	s->mcr = value & MCR_ALL;
	after = modem_lines(s);
	changed = before ^ after;
	if (after & MSR_RI)
		changed &= ~MSR_RI;
	s->msr_delta |= changed >> 4;
}

static void receive(struct serial *s, u8 byte)
{
	unsigned int room = s->fifo_on ? SERIAL_FIFO : 1;

	if (s->rx_len < room) {
		s->rx[(s->rx_head + s->rx_len++) % SERIAL_FIFO] = byte;
		return;
	}
	/* A full FIFO keeps what it has; the single holding register is overwritten. */
	s->overrun = true;
	if (!s->fifo_on)
		s->rx[s->rx_head] = byte;
}

static u8 take_received(struct serial *s)
{
	u8 byte;

	if (!s->rx_len)
		return 0;
	byte = s->rx[s->rx_head];
	s->rx_head = (s->rx_head + 1) % SERIAL_FIFO;
	s->rx_len--;
	return byte;
}

static void transmit(struct serial *s, u8 byte)
{
	if (s->mcr & MCR_LOOP)
		receive(s, byte);
	else
		lines_put(s->out, byte);
	s->thr_empty = true;
}

static void set_fcr(struct serial *s, u8 value)
{
	bool on = value & FCR_ENABLE;

	if (on != s->fifo_on || (on && (value & FCR_CLEAR_RX)))
		s->rx_len = 0;
	s->fifo_on = on;
}

/* The most urgent pending and enabled interrupt. */
static u8 pending(const struct serial *s)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->rx_len)
		return IIR_RX;
	if ((s->ier & IER_THR_EMPTY) && s->thr_empty)
		return IIR_THR_EMPTY;
	if ((s->ier & IER_MODEM) && s->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static u8 read_iir(struct serial *s)
{
	u8 iir = pending(s);

	if (iir == IIR_THR_EMPTY)
		s->thr_empty = false;
	return iir | (s->fifo_on ? IIR_FIFO : 0);
}

static u8 read_lsr(struct serial *s)
{
	u8 lsr = LSR_THR_EMPTY | LSR_IDLE | (s->rx_len ? LSR_DATA : 0) |
		 (s->overrun ? LSR_OVERRUN : 0);

	s->overrun = false;
	return lsr;
}

static u8 read_msr(struct serial *s)
{
	u8 msr = modem_lines(s) | s->msr_delta;

	s->msr_delta = 0;
	return msr;
}

static u64 serial_read(void *dev, u64 offset, u8 size)
{
	struct serial *s = dev;
	bool dlab = s->lcr & LCR_DLAB;

	switch ((enum serial_reg)offset) {
	case REG_DATA: return dlab ? s->dll : take_received(s);
	case REG_IER: return dlab ? s->dlm : s->ier;
	case REG_IIR: return read_iir(s);
	case REG_LCR: return s->lcr;
	case REG_MCR: return s->mcr;
	case REG_LSR: return read_lsr(s);
	case REG_MSR: return read_msr(s);
	case REG_SCR: return s->scr;
	}
	return 0xff;
}

static void set_ier(struct serial *s, u8 value)
{
	/* Enabling this interrupt while the transmitter is empty raises it. */
	if ((value & IER_THR_EMPTY) && !(s->ier & IER_THR_EMPTY))
		s->thr_empty = true;
	s->ier = value & IER_ALL;
}

static void serial_write(void *dev, u64 offset, u8 size, u64 value)
{
	struct serial *s = dev;
	bool dlab = s->lcr & LCR_DLAB;

	switch ((enum serial_reg)offset) {
	case REG_DATA:
		if (dlab)
			s->dll = value;
		else
			transmit(s, value);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = value;
		else
			set_ier(s, value);
		break;
	case REG_IIR: set_fcr(s, value); break;
	case REG_LCR: s->lcr = value; break;
	case REG_MCR: set_mcr(s, value); break;
	case REG_LSR:
	case REG_MSR: break; /* read-only */
	case REG_SCR: s->scr = value; break;
	}
}

const struct bus_ops serial_ops = { .sizes = 1, .read = serial_read, .write = serial_write };
