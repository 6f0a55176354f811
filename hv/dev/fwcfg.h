/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's fw_cfg by its two ports, with the few keys that guests ask for: how many CPUs, how much
 * RAM. Unknown keys, and everything behind the end of a known one, read as zeros. No DMA, no files.
 */
#ifndef HV_DEV_FWCFG_H
#define HV_DEV_FWCFG_H

#include "hv/dev/bus.h"

#define FWCFG_PORT  0x510 /* selector (16-bit write), then the data port */
#define FWCFG_PORTS 2

enum fwcfg_key {
	FWCFG_SIGNATURE = 0x00, /* "QEMU" */
	FWCFG_ID = 0x01,	/* u32, bit 0: the port interface */
	FWCFG_RAM_SIZE = 0x03,	/* u64, bytes */
	FWCFG_NOGRAPHIC = 0x04, /* u16, 1: no display */
	FWCFG_NB_CPUS = 0x05,	/* u16, CPUs present at start */
	FWCFG_MAX_CPUS = 0x0f,	/* u16, CPUs that can ever be */
	FWCFG_FILE_DIR = 0x19,	/* u32 big-endian: number of files */
};

struct fwcfg {
	u64 ram_size;
	u16 nr_cpus;
	u8 item[8]; /* the selected key's bytes */
	u8 len, pos;
};

/** fwcfg_init - @ram_size: bytes; @nr_cpus: vCPUs, 1..65535. The signature is selected, as after a
 * reset. */
void fwcfg_init(struct fwcfg *f, u64 ram_size, u32 nr_cpus);

/* struct fwcfg is the device. */
extern const struct bus_ops fwcfg_ops;

#endif
