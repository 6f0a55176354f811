/* SPDX-License-Identifier: GPL-2.0-only */
/* The ways a guest ends itself. */
#include "hv/dev/power.h"
#include "hv/host/console.h"

#define PORT_DEBUG_EXIT 0xf4
#define PORT_SHUTDOWN	0x8900
#define PORT_KEYBOARD	0x64
#define PORT_A		0x92
#define PORT_PCI	0xcf8

enum {
	DEBUG_EXIT_PORTS = 4,
	KEYBOARD_PULSE = 0xf0, /* commands 0xf0..0xff pulse the output lines that are 0 below */
	KEYBOARD_RESET_LINE = 0x01,
	PORT_A_RESET = 0x01,
	PORT_A_A20 = 0x02,
	PCI_PORTS = 8,
	PCI_RESET_CONTROL = 1, /* 0xcf9, and only as a byte */
	RESET_CONTROL_CPU = 0x04,
	RESET_CONTROL_BITS = 0x0e,
};

static void debug_exit_write(void *dev, u64 offset, u8 size, u64 value)
{
	struct power *p = dev;
	int status = min_u64(value, ENDING_STATUS_MAX);

	ending_set(p->ending, status, "debug exit with value %#llx", (unsigned long long)value);
}

static void shutdown_write(void *dev, u64 offset, u8 size, u64 value)
{
	static const char magic[] = "Shutdown";
	struct power *p = dev;

	if (value == (u8)magic[p->shutdown_seen])
		p->shutdown_seen++;
	else
		p->shutdown_seen = value == (u8)magic[0];
	if (p->shutdown_seen == sizeof(magic) - 1) {
		p->shutdown_seen = 0;
		ending_set(p->ending, 0, "powered off (port %#x)", PORT_SHUTDOWN);
	}
}

static void reset(struct power *p, unsigned int port)
{
	ending_set(p->ending, RUN_FAILED, "asked for a reset (port %#x)", port);
}

/* Status: no data from the keyboard, ready for a command. */
static u64 keyboard_read(void *dev, u64 offset, u8 size)
{
	return 0;
}

static void keyboard_write(void *dev, u64 offset, u8 size, u64 value)
{
	if ((value & KEYBOARD_PULSE) == KEYBOARD_PULSE && !(value & KEYBOARD_RESET_LINE))
		reset(dev, PORT_KEYBOARD);
}

static u64 port_a_read(void *dev, u64 offset, u8 size)
{
	struct power *p = dev;

	return p->port_a;
}

static void port_a_write(void *dev, u64 offset, u8 size, u64 value)
{
	struct power *p = dev;

	p->port_a = value & PORT_A_A20;
	if (value & PORT_A_RESET)
		reset(p, PORT_A);
}

static bool is_reset_control(u64 offset, u8 size)
{
	return offset == PCI_RESET_CONTROL && size == 1;
}

static u64 pci_read(void *dev, u64 offset, u8 size)
{
	struct power *p = dev;

	return is_reset_control(offset, size) ? p->reset_control : UINT64_MAX;
}

static void pci_write(void *dev, u64 offset, u8 size, u64 value)
{
	struct power *p = dev;

	if (!is_reset_control(offset, size))
		return;
	p->reset_control = value & RESET_CONTROL_BITS;
	if (value & RESET_CONTROL_CPU)
		reset(p, PORT_PCI + PCI_RESET_CONTROL);
}

static const struct bus_ops debug_exit_ops = { .sizes = 1 | 2 | 4, .write = debug_exit_write };
static const struct bus_ops shutdown_ops = { .sizes = 1, .write = shutdown_write };
static const struct bus_ops keyboard_ops = { .sizes = 1,
					     .read = keyboard_read,
					     .write = keyboard_write };
static const struct bus_ops port_a_ops = { .sizes = 1, .read = port_a_read, .write = port_a_write };
static const struct bus_ops pci_ops = { .sizes = 1 | 2 | 4, .read = pci_read, .write = pci_write };

int power_add(struct power *p, struct bus *ports, struct ending *ending)
{
	int ret;

	*p = (struct power){ .ending = ending, .port_a = PORT_A_A20 };
	ret = bus_add(ports, PORT_DEBUG_EXIT, DEBUG_EXIT_PORTS, &debug_exit_ops, p);
	if (!ret)
		ret = bus_add(ports, PORT_SHUTDOWN, 1, &shutdown_ops, p);
	if (!ret)
		ret = bus_add(ports, PORT_KEYBOARD, 1, &keyboard_ops, p);
	if (!ret)
		ret = bus_add(ports, PORT_A, 1, &port_a_ops, p);
	if (!ret)
		ret = bus_add(ports, PORT_PCI, PCI_PORTS, &pci_ops, p);
	return ret;
}
