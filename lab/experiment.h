/* SPDX-License-Identifier: GPL-2.0-only */
/* An experiment: a small VMM with a name, a line on what it shows, and parameters. */
#ifndef LAB_EXPERIMENT_H
#define LAB_EXPERIMENT_H

#include "hv/host/types.h"
#include "lab/params.h"

enum experiment_flags {
	EXP_NEEDS_VMX = 1,  /* cannot run without VMX and EPT */
	EXP_ON_REQUEST = 2, /* runs only when named */
	EXP_ENDS_RUN = 4,   /* decides the run's status itself; must stand alone */
};

struct experiment {
	const char *name;
	const char *shows;  /* one line */
	unsigned int flags; /* enum experiment_flags */
	const struct param_spec *spec;
	unsigned int nr_spec;
	/* Reports through ktap and metric. Thread context on CPU 0. */
	void (*run)(const struct param_values *params);
};

/* Experiments are listed by the linker, sorted by file name. */
#define EXPERIMENT(sym)                                                                            \
	static const struct experiment sym;                                                        \
	static const struct experiment *const sym##_entry __section(".experiments") __used = &sym; \
	static const struct experiment sym

/* Global parameters of this run. */
struct run_options {
	u64 seed;
	u64 chaos; /* 0: none */
	u32 apic;  /* 0: the best rung, else enum vmx_apic_rung + 1 */
};

extern struct run_options run_options;

/* Why guests cannot run on this machine ("needs unrestricted guest ..."), or NULL. */
extern const char *guests_missing;

#endif
