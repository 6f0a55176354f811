/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "tests/unit/cpu_models.h"

#define RANGE(may_be_1, must_be_1) ((u64)(may_be_1) << 32 | (must_be_1))

const struct cpu_model cpu_skylake = {
	.phys_bits = 46,
	.msr = {
		[0x00] = 0x00da040000000004,		      /* BASIC: true controls */
		[0x01] = RANGE(0x000000ff, 0x00000016),	      /* pin */
		[0x02] = RANGE(0xfff9fffe, 0x0401e172),	      /* primary */
		[0x03] = RANGE(0x01ffffff, 0x00036dff),	      /* exit */
		[0x04] = RANGE(0x0003ffff, 0x000011ff),	      /* entry */
		[0x05] = 0x000000007004c1e7,		      /* MISC: 4 CR3 targets */
		[0x06] = 0x80000021, [0x07] = 0xffffffff,     /* CR0 */
		[0x08] = 0x00002000, [0x09] = 0x003767ff,     /* CR4 */
		[0x0a] = 0x2e,				      /* VMCS_ENUM */
		[0x0b] = RANGE(0x0217ffff, 0x00000000),	      /* secondary */
		[0x0c] = 0x00000f0106334141,		      /* EPT_VPID_CAP */
		[0x0d] = RANGE(0x000000ff, 0x00000016),
		[0x0e] = RANGE(0xfff9fffe, 0x04006172),
		[0x0f] = RANGE(0x01ffffff, 0x00036dfb),
		[0x10] = RANGE(0x0003ffff, 0x000011fb),
		[0x11] = 1,				      /* VMFUNC: EPTP switching */
	},
};

const struct cpu_model cpu_penryn = {
	.phys_bits = 38,
	.msr = {
		[0x00] = 0x005a08000000000d,
		[0x01] = RANGE(0x0000003f, 0x00000016),
		[0x02] = RANGE(0xf7f9fffe, 0x0401e172),
		[0x03] = RANGE(0x0003ffff, 0x00036dff),
		[0x04] = RANGE(0x00003fff, 0x000011ff),
		[0x05] = 0x00000000000403c0,
		[0x06] = 0x80000021, [0x07] = 0xffffffff,
		[0x08] = 0x00002000, [0x09] = 0x000427ff,
		[0x0a] = 0x2c,
		[0x0b] = RANGE(0x00000041, 0x00000000),
	},
};

const struct cpu_model cpu_merom = {
	.phys_bits = 36,
	.msr = {
		[0x00] = 0x001a040000000007,
		[0x01] = RANGE(0x0000003f, 0x00000016),
		[0x02] = RANGE(0x77b9fffe, 0x0401e172),
		[0x03] = RANGE(0x0003ffff, 0x00036dff),
		[0x04] = RANGE(0x00003fff, 0x000011ff),
		[0x05] = 0x00000000000403c0,
		[0x06] = 0x80000021, [0x07] = 0xffffffff,
		[0x08] = 0x00002000, [0x09] = 0x000027ff,
		[0x0a] = 0x2c,
	},
};

static const struct cpu_model *in_use;
unsigned int cpu_model_bad_reads;

void cpu_model_use(const struct cpu_model *model)
{
	in_use = model;
	cpu_model_bad_reads = 0;
}

int cpu_model_read(u32 msr, u64 *v)
{
	if (msr < 0x480 || msr > 0x491 || !in_use->msr[msr - 0x480]) {
		cpu_model_bad_reads++;
		return -EFAULT;
	}
	*v = in_use->msr[msr - 0x480];
	return 0;
}

struct vmx_caps cpu_model_caps(const struct cpu_model *model)
{
	struct vmx_caps caps;

	cpu_model_use(model);
	assert_int_equal(vmx_caps_read(&caps, cpu_model_read, true, model->phys_bits), 0);
	return caps;
}
