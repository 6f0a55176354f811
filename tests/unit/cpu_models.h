/* SPDX-License-Identifier: GPL-2.0-only */
/* Capability MSRs of CPUs for the tests, and a reader that counts what it is asked for. */
#ifndef TESTS_UNIT_CPU_MODELS_H
#define TESTS_UNIT_CPU_MODELS_H

#include "vmx/caps.h"

struct cpu_model {
	unsigned int phys_bits;
	u64 msr[0x12]; /* 0x480 + i; an MSR that is 0 does not exist */
};

/* A server CPU with everything Stillpoint knows how to use. */
extern const struct cpu_model cpu_skylake;
/* An early 64-bit CPU: secondary controls, but no EPT and no TRUE capability MSRs. */
extern const struct cpu_model cpu_penryn;
/* The first CPUs with VMX: no secondary controls. */
extern const struct cpu_model cpu_merom;

/* The caps of @model as vmx_caps_read() finds them; fails the test on an error. */
struct vmx_caps cpu_model_caps(const struct cpu_model *model);

/* For vmx_caps_read(): reads of the model set by cpu_model_use(); one that does not exist is
 * counted. */
void cpu_model_use(const struct cpu_model *model);
int cpu_model_read(u32 msr, u64 *v);
extern unsigned int cpu_model_bad_reads;

#endif
