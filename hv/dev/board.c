/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's board: what is where, and the way of an access to its device. */
#include "hv/dev/board.h"
#include "hv/dev/debugcon.h"
#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/vm/vcpu.h"
#include "hv/vm/vm.h"

/*
 * Ports that every PC guest touches without asking. Nothing answers there, which is what a guest
 * finds on a PC without the chip; listed so that they do not count as accesses to an unknown
 * device.
 */
static const struct {
	u16 first, count;
} absent_ports[] = {
	{ 0x20, 2 },  /* master PIC */
	{ 0x70, 2 },  /* RTC and CMOS */
	{ 0x80, 1 },  /* POST code, the classic I/O delay */
	{ 0xa0, 2 },  /* slave PIC */
	{ 0x4d0, 2 }, /* PIC trigger modes */
};

static const struct bus_ops absent_ops = { .sizes = 1 | 2 };

static int add_ports(struct board *b)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < ARRAY_SIZE(absent_ports); i++)
		ret = bus_add(&b->ports, absent_ports[i].first, absent_ports[i].count, &absent_ops,
			      NULL);
	if (!ret)
		ret = bus_add(&b->ports, SERIAL_COM1, SERIAL_PORTS, &serial_ops, &b->com1);
	if (!ret)
		ret = bus_add(&b->ports, DEBUGCON_PORT, 1, &debugcon_ops, &b->debugcon_lines);
	if (!ret)
		ret = bus_add(&b->ports, FWCFG_PORT, FWCFG_PORTS, &fwcfg_ops, &b->fwcfg);
	if (!ret)
		ret = power_add(&b->power, &b->ports, &b->ending);
	return ret;
}

int board_init(struct board *b, struct vm *vm, const struct board_config *config)
{
	char prefix[LINES_MAX_PREFIX];
	int ret;

	*b = (struct board){ .vm = vm, .lock = SPINLOCK_INIT };
	fmt_print(prefix, sizeof(prefix), "%.24s: ", config->name);
	lines_init(&b->com1_lines, prefix);
	fmt_print(prefix, sizeof(prefix), "%.24s.e9: ", config->name);
	lines_init(&b->debugcon_lines, prefix);
	serial_init(&b->com1, &b->com1_lines);
	fwcfg_init(&b->fwcfg, vm_ram_size(vm), vm_nr_vcpus(vm));

	/* The port map is fixed: a clash is a mistake in this file. */
	ret = add_ports(b);
	BUG_ON(ret);
	return testdev_add(&b->testdev, &b->ports, vm);
}

void board_move(struct board *b, struct vm *vm)
{
	spin_lock(&b->lock);
	b->vm = vm;
	spin_unlock(&b->lock);
}

static void flush_lines(struct board *b)
{
	lines_flush(&b->com1_lines);
	lines_flush(&b->debugcon_lines);
}

void board_destroy(struct board *b)
{
	flush_lines(b);
}

/* An exit that ends the guest whatever the devices say. */
static void end_by_exit(struct board *b, struct vcpu *vcpu)
{
	const struct vcpu_run *run = &vcpu->run;
	unsigned long long rip = vcpu_rip(vcpu);

	switch (run->reason) {
	case RUN_EXIT_MMIO:
		board_end(b, RUN_FAILED, "CPU %u at %#llx: %s at %#llx, where there is no memory",
			  vcpu->id, rip,
			  run->mmio.fetch   ? "execution"
			  : run->mmio.write ? "write"
					    : "read",
			  (unsigned long long)run->mmio.gpa);
		break;
	case RUN_EXIT_HLT:
		board_end(b, RUN_FAILED, "CPU %u at %#llx: all CPUs wait and nothing can wake them",
			  vcpu->id, rip);
		break;
	case RUN_EXIT_SHUTDOWN:
		board_end(b, RUN_FAILED, "CPU %u at %#llx: triple fault", vcpu->id, rip);
		break;
	case RUN_EXIT_ENTRY_FAILED:
		board_end(b, RUN_ENTRY_FAILED, "CPU %u at %#llx: VM entry failed", vcpu->id, rip);
		break;
	case RUN_EXIT_ERROR:
		board_end(b, RUN_FAILED, "CPU %u at %#llx: %.64s", vcpu->id, rip, run->error.what);
		break;
	default:
		panic("CPU %u of a guest: unknown reason %u to leave vcpu_run()", vcpu->id,
		      run->reason);
	}
}

static void port_access(struct board *b, struct vcpu_run *run)
{
	if (run->io.in)
		run->io.data = bus_read(&b->ports, run->io.port, run->io.size);
	else
		bus_write(&b->ports, run->io.port, run->io.size, run->io.data);
}

/* Port 0xE4. A wrong address is the guest's own affair: there is nothing to drop. */
static void drop_page(struct board *b, gpa_t page)
{
	int ret = vm_drop_page(b->vm, page);

	if (ret && ret != -EFAULT)
		board_end(b, RUN_FAILED, "page %#llx could not be dropped: %s",
			  (unsigned long long)page, errno_name(ret));
}

/* After the ending is set: the guest's last words, and every vCPU out. */
static void finish(struct board *b)
{
	spin_lock(&b->lock);
	flush_lines(b);
	spin_unlock(&b->lock);
	vm_stop(b->vm);
}

int board_handle(struct board *b, struct vcpu *vcpu)
{
	bool ended, drop;
	gpa_t page;

	if (ending_is_set(&b->ending))
		return 1;
	if (unlikely(vcpu->run.reason != RUN_EXIT_IO)) {
		/* No device here holds a level: there is nothing to raise again. */
		if (vcpu->run.reason == RUN_EXIT_EOI)
			return 0;
		end_by_exit(b, vcpu);
		return 1;
	}

	spin_lock(&b->lock);
	port_access(b, &vcpu->run);
	drop = testdev_take_drop(&b->testdev, &page);
	ended = ending_is_set(&b->ending);
	spin_unlock(&b->lock);

	if (unlikely(ended))
		finish(b);
	if (unlikely(drop)) {
		drop_page(b, page);
		ended = ending_is_set(&b->ending);
	}
	return ended;
}

void board_end(struct board *b, int status, const char *fmt, ...)
{
	va_list ap;

	spin_lock(&b->lock);
	va_start(ap, fmt);
	ending_vset(&b->ending, status, fmt, ap);
	va_end(ap);
	spin_unlock(&b->lock);
	finish(b);
}

void board_report(struct board *b)
{
	if (b->ports.nr_unclaimed)
		printk("board: %llu accesses to ports without a device, the first to %#llx\n",
		       (unsigned long long)b->ports.nr_unclaimed,
		       (unsigned long long)b->ports.unclaimed);
}
