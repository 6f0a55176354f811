/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/lapic_fixture.h"

struct vcpu *nth(u32 i)
{
	return fixture_vm->vcpu[i];
}

void lapic_fixture_start(unsigned int vcpus, enum vmx_apic_rung rung, enum lapic_mode mode)
{
	fixture_start(0);
	assert_int_equal(vm_set_apic(fixture_vm, rung), 0);
	fake_machine.now = 1000000;
	for (unsigned int i = 0; i < vcpus; i++) {
		struct vcpu *v;

		assert_int_equal(vcpu_create(&v, fixture_vm), 0);
		if (mode != LAPIC_DISABLED)
			assert_int_equal(lapic_start(v, mode), 0);
	}
	clear_events();
	fixture_load(nth(0), 0);
}

void lapic_fixture_end(void)
{
	fixture_end();
}

u64 get_msr(struct vcpu *v, u32 msr)
{
	u64 value = 0xdeadbeefdeadbeef;

	assert_int_equal(lapic_read(v, msr, &value), 0);
	return value;
}

void put_msr(struct vcpu *v, u32 msr, u64 value)
{
	assert_int_equal(lapic_write(v, msr, value), 0);
}

u32 get_reg(struct vcpu *v, unsigned int offset)
{
	u32 value = 0xdeadbeef;

	if (lapic_mode(v) == LAPIC_X2APIC)
		return (u32)get_msr(v, MSR_OF(offset));
	lapic_mmio_read(v, (u16)offset, 4, (u8 *)&value);
	return value;
}

void put_reg(struct vcpu *v, unsigned int offset, u32 value)
{
	if (lapic_mode(v) == LAPIC_X2APIC)
		put_msr(v, MSR_OF(offset), value);
	else
		assert_int_equal(lapic_mmio_write(v, (u16)offset, 4, (const u8 *)&value), 0);
}

void send_icr(struct vcpu *v, u64 icr)
{
	if (lapic_mode(v) == LAPIC_X2APIC) {
		put_msr(v, MSR_OF(LAPIC_ICR), icr);
		return;
	}
	put_reg(v, LAPIC_ICR2, (u32)(icr >> 32) << 24);
	put_reg(v, LAPIC_ICR, (u32)icr);
}

bool pends(struct vcpu *v, u8 vector)
{
	return get_reg(v, LAPIC_IRR + vector / 32 * 16u) >> vector % 32 & 1;
}

bool in_service(struct vcpu *v, u8 vector)
{
	return get_reg(v, LAPIC_ISR + vector / 32 * 16u) >> vector % 32 & 1;
}

u64 all_hit(void)
{
	u64 set = 0;

	for (u32 i = 0; i < fixture_vm->nr_vcpus; i++) {
		struct lapic *l = &nth(i)->lapic;
		bool any = atomic_load(&l->pending);

		for (u32 n = 0; n < 4; n++)
			any |= atomic_load(&l->posted[n]) != 0;
		if (any != !!(atomic_load(&nth(i)->requests) & REQ_EVENT))
			fail_msg("vCPU %u: a request without an event, or the reverse", i);
		set |= any ? BIT(i) : 0;
	}
	return set;
}

void clear_events(void)
{
	for (u32 i = 0; i < fixture_vm->nr_vcpus; i++) {
		struct lapic *l = &nth(i)->lapic;

		atomic_fetch_and(&nth(i)->requests, ~(u32)REQ_EVENT);
		atomic_store(&l->pending, 0);
		atomic_store(&l->errors, 0);
		memset(l->regs + LAPIC_ISR, 0, LAPIC_ESR - LAPIC_ISR);
		atomic_store(&l->in_service, -1);
		for (u32 n = 0; n < 4; n++)
			atomic_store(&l->posted[n], 0);
	}
}

u64 hit_by(struct vcpu *from, u64 icr)
{
	u64 set;

	send_icr(from, icr);
	set = all_hit();
	clear_events();
	return set;
}
