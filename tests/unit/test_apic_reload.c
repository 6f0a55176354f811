/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reloading the address of the APIC-access page while somebody moves it: what bars the entry and
 * what does not, who waits for whom, and what the order of the steps is for.
 */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define APIC   LAPIC_DEFAULT_BASE
#define VECTOR 0x41
#define SEEDS  64

extern struct counter apic_reloads, apic_retries, apic_retries_ended, apic_stale, apic_unflushed;

static struct vm *vm;
static struct vcpu *vcpu, *other;
static struct fake_vcpu *f;

/* What others do while this CPU spins, by round. */
static unsigned int rounds;

static int setup(void **state)
{
	const enum apic_stall *stall = *state;
	const struct fixture_apic how = { "", VMX_APIC_ACCESS, LAPIC_XAPIC };

	fixture_start_apics(2, &how);
	vm = fixture_vm;
	vcpu = vm->vcpu[0];
	other = vm->vcpu[1];
	f = fake_of(vcpu);
	vmx_apic_flush(&vcpu->vmx);
	if (stall)
		vm_set_apic_policy(vm, RELOAD_RETRY, *stall, FLUSH_ZAP);
	rounds = 0;
	return 0;
}

static int teardown(void **state)
{
	chaos_off();
	fake_machine.on_spin = NULL;
	fixture_end();
	return 0;
}

static bool pending(struct vcpu *v)
{
	return atomic_load(&v->requests) & REQ_APIC_PAGE;
}

static void expect_reloaded(void)
{
	assert_false(pending(vcpu));
	assert_int_equal(f->apic.page, vm_apic_page_frame(vm));
}

/* --- while an invalidation is in progress ----------------------------------------------------- */

/* The guest does not run, nor has its address been written. */
static unsigned int stalled(void)
{
	assert_int_equal(f->entries, 0);
	assert_int_equal(f->apic.pages, 0);
	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	return ++rounds;
}

static void end_after_ten(void)
{
	if (stalled() == 10) {
		assert_true(pending(vcpu));
		invalidate_end(vm);
		fake_machine.on_spin = NULL;
	}
}

/* However long it lasts; and when it has ended the first attempt succeeds. */
static void test_no_entry(void **state)
{
	u64 retries = counter_read(&apic_retries), reloads = counter_read(&apic_reloads);

	invalidate_begin(vm, APIC, PAGE_SIZE);
	fake_machine.on_spin = end_after_ten;
	fixture_run_to_end(vcpu);
	assert_int_equal(counter_read(&apic_retries), retries + 10);
	assert_int_equal(counter_read(&apic_reloads), reloads + 1);
	assert_int_equal(f->entries, 1);
	expect_reloaded();
}

static void kick_after_three(void)
{
	if (stalled() == 3)
		vcpu_request(vcpu, REQ_EXIT);
	assert_true(rounds < 10);
}

static void hold_after_three(void)
{
	if (stalled() == 3)
		vm_stop(vm);
	assert_true(rounds < 10);
}

/* Who is asked to leave leaves, and has to reload when it comes again. */
static void leaves(void (*why)(void))
{
	invalidate_begin(vm, APIC, PAGE_SIZE);
	fake_machine.on_spin = why;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(f->entries, 0);
	assert_true(pending(vcpu));
	invalidate_end(vm);
	fake_machine.on_spin = NULL;
}

static void test_kick(void **state)
{
	leaves(kick_after_three);
	fixture_run_to_end(vcpu);
	expect_reloaded();
}

static void test_hold(void **state)
{
	leaves(hold_after_three);
}

static void post_and_end(void)
{
	if (stalled() == 3) {
		lapic_post(vcpu, VECTOR);
		assert_true(atomic_load(&vcpu->seen_seq) < atomic_load(&vcpu->event_seq));
	} else if (rounds == 6) {
		assert_int_equal(atomic_load(&vcpu->seen_seq), atomic_load(&vcpu->event_seq));
		assert_true(f->queued);
		invalidate_end(vm);
		fake_machine.on_spin = NULL;
	}
}

/* Other requests are carried out meanwhile. */
static void test_event(void **state)
{
	f->reg[REG_RFLAGS] |= RFLAGS_IF;
	invalidate_begin(vm, APIC, PAGE_SIZE);
	fake_machine.on_spin = post_and_end;
	fixture_run_to_end(vcpu);
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(f->delivered[0].vector, VECTOR);
	expect_reloaded();
}

static void wait_for_turn(void)
{
	assert_true(++rounds < 10);
}

static void mover_runs(void)
{
	if (fake_machine.yields < 3)
		return;
	invalidate_end(vm);
	atomic_store(&this_cpu()->nr_runnable, 0);
	fake_machine.on_yield = NULL;
}

/* The one who moves the page may be a thread of this CPU. */
static void test_yield(void **state)
{
	invalidate_begin(vm, APIC, PAGE_SIZE);
	atomic_store(&this_cpu()->nr_runnable, 1);
	fake_machine.on_spin = wait_for_turn;
	fake_machine.on_yield = mover_runs;
	fixture_run_to_end(vcpu);
	assert_int_equal(fake_machine.yields, 3);
	expect_reloaded();
}

/* In the guest when it begins: out by the kick, and not in again. */
static void begin_in_guest(struct vcpu *v)
{
	invalidate_begin(vm, APIC, PAGE_SIZE);
	assert_int_equal(fake_machine.nmis[0], 0); /* it is the flush that kicks */
	vcpu_kick(v);
	f->entries = f->apic.pages = 0;
	fake_machine.on_spin = end_after_ten;
}

static void test_in_guest(void **state)
{
	fake_exit_add(VM_EXIT_NMI)->during = begin_in_guest;
	fixture_run_to_end(vcpu);
	assert_int_equal(f->entries, 1);
	expect_reloaded();
}

/* Two invalidations beside the page have one range that covers it: a wait too long, no more. */
static void test_widened(void **state)
{
	invalidate_begin(vm, 0, PAGE_SIZE);
	invalidate_begin(vm, APIC + PAGE_SIZE, PAGE_SIZE);
	fake_machine.on_spin = end_after_ten;
	invalidate_end(vm);
	fixture_run_to_end(vcpu);
	expect_reloaded();
}

/* Only one of them is over: what the other one has in its range still is in progress. */
static void test_overlapping(void **state)
{
	invalidate_begin(vm, APIC, PAGE_SIZE);
	invalidate_begin(vm, 0, PAGE_SIZE);
	invalidate_end(vm);
	fake_machine.on_spin = end_after_ten;
	fixture_run_to_end(vcpu);
	expect_reloaded();
}

/* A fault maps nothing; the guest would try again. */
static void test_fault(void **state)
{
	struct missing missing;
	struct ept_mapping m;

	invalidate_begin(vm, APIC, PAGE_SIZE);
	assert_int_equal(vm_fault(vm, APIC, FAULT_READ, &missing), 0);
	assert_int_equal(ept_lookup(&vm->vmx.ept, APIC, &m), -ENOENT);
	invalidate_end(vm);
}

/* As it was before the question was asked: what is found is written, and the guest runs. */
static void test_noretry(void **state)
{
	vm_set_apic_policy(vm, RELOAD_NORETRY, STALL_REREQUEST, FLUSH_ZAP);
	invalidate_begin(vm, APIC, PAGE_SIZE);
	fixture_run_to_end(vcpu);
	assert_int_equal(f->entries, 1);
	assert_int_equal(f->apic.pages, 1);
	invalidate_end(vm);
}

/* --- the end of an invalidation between two steps --------------------------------------------- */

static bool begun;

/* The page goes to another frame, and that was all. Whoever is to hear of it has heard already. */
static void exchange_and_end(void)
{
	u32 requests = atomic_load(&vcpu->requests);

	if (!begun)
		return;
	begun = false;
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	atomic_store(&vcpu->requests, requests);
	invalidate_end(vm);
}

/*
 * A reload against the end of a move, in many interleavings. Returns how often an address was
 * written that is not the page's when all is over, and nothing will mend it.
 */
static unsigned int reload_against_moves(enum apic_reload how)
{
	unsigned int wrong = 0;

	vm_set_apic_policy(vm, how, STALL_REREQUEST, FLUSH_ZAP);
	fake_machine.on_spin = exchange_and_end;
	for (u64 seed = 0; seed < SEEDS; seed++) {
		unsigned int pages = f->apic.pages;
		bool done;

		begun = true;
		invalidate_begin(vm, APIC, PAGE_SIZE);
		chaos_init(seed);
		done = apic_page_reload(vcpu);
		chaos_off();
		exchange_and_end();
		assert_int_equal(f->apic.pages, pages + done);
		wrong += done && f->apic.page != vm_apic_page_frame(vm);
	}
	return wrong;
}

static void test_between(void **state)
{
	u64 ended = counter_read(&apic_retries_ended), reloads = counter_read(&apic_reloads);

	assert_int_equal(reload_against_moves(RELOAD_RETRY), 0);
	/* Some were only found out by the sequence. */
	assert_true(counter_read(&apic_retries_ended) > ended);
	assert_true(counter_read(&apic_reloads) > reloads);
}

/* With the frame looked up before the sequence is read, or nothing asked, the same is seen to fail.
 */
static void test_reversed(void **state)
{
	assert_true(reload_against_moves(RELOAD_REVERSED) > 0);
	assert_true(reload_against_moves(RELOAD_NORETRY) > 0);
}

/* --- whom the one who moves it waits for ------------------------------------------------------ */

/* The other vCPU has entered after the generation has advanced, so it has flushed; only later it
 * takes the request. */
static void other_vcpu(void)
{
	rounds++;
	if (rounds == 2)
		other->vmx.flushed_gen = atomic_load(&vm->vmx.flush_gen);
	else if (rounds == 20)
		atomic_fetch_and(&other->requests, ~(u32)REQ_APIC_PAGE);
}

static void other_leaves(void)
{
	if (++rounds == 20)
		atomic_store(&other->mode, OUTSIDE_GUEST_MODE);
}

static void test_waits(void **state)
{
	fixture_load(other, 1);
	fixture_load(vcpu, 0);
	atomic_store(&other->cpu, 1);
	atomic_store(&other->requests, 0);
	atomic_store(&other->mode, IN_GUEST_MODE);
	fake_machine.on_spin = other_vcpu;
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	assert_int_equal(rounds, 20);
	assert_int_equal(fake_machine.nmis[1], 1);
	/* It has nothing to do with other memory. */
	rounds = 0;
	assert_int_equal(vm_drop_page(vm, 0), 0);
	assert_int_equal(rounds, 2);
	/* One that comes out is good too, whatever is pending. */
	rounds = 0;
	fake_machine.on_spin = other_leaves;
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	assert_int_equal(rounds, 20);
	assert_true(pending(other));
	rounds = 0;
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	assert_int_equal(rounds, 0);
}

/* FLUSH_RELOAD kicks nobody and waits for nobody. */
static void test_unflushed(void **state)
{
	u64 unflushed = counter_read(&apic_unflushed);

	fixture_run_to_end(vcpu);
	vm_set_apic_policy(vm, RELOAD_RETRY, STALL_REREQUEST, FLUSH_RELOAD);
	atomic_store(&other->mode, IN_GUEST_MODE);
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	assert_int_equal(fake_machine.nmis[0] + fake_machine.nmis[1], 0);
	assert_int_equal(atomic_load(&other->mode), IN_GUEST_MODE);
	atomic_store(&other->mode, OUTSIDE_GUEST_MODE);
	vcpu->watched = WATCH_CHAOS;
	fixture_run_to_end(vcpu);
	assert_int_equal(counter_read(&apic_unflushed), unflushed);
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	atomic_store(&vcpu->requests, 0); /* as if it had not heard of it */
	fixture_run_to_end(vcpu);
	assert_int_equal(counter_read(&apic_unflushed), unflushed + 1);
}

/* The loop that looks sees an address that is not the translation. */
static void test_watched(void **state)
{
	u64 stale = counter_read(&apic_stale);
	struct missing missing;

	vcpu->watched = WATCH_CHAOS;
	fixture_run_to_end(vcpu);
	assert_int_equal(vm_fault(vm, APIC, FAULT_READ, &missing), 0);
	fixture_run_to_end(vcpu);
	assert_int_equal(counter_read(&apic_stale), stale);
	vmx_apic_set_page(&vcpu->vmx, f->apic.page + PAGE_SIZE);
	fixture_run_to_end(vcpu);
	assert_int_equal(counter_read(&apic_stale), stale + 1);
	/* One that does not use the page may have whatever address. */
	vmx_apic_set_mode(&vcpu->vmx, VMX_APIC_MSRS);
	fixture_run_to_end(vcpu);
	assert_int_equal(counter_read(&apic_stale), stale + 1);
}

/* --- asleep ----------------------------------------------------------------------------------- */

static void move_then_wake(void)
{
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	assert_true(pending(vcpu));
	assert_int_equal(f->entries, 0);
	lapic_post(vcpu, VECTOR);
}

/* A vCPU in HLT is not woken for it; before it runs it reloads. */
static void test_halted(void **state)
{
	f->reg[REG_RFLAGS] |= RFLAGS_IF;
	vcpu->mp_state = MP_HALTED;
	fake_machine.on_block = move_then_wake;
	fixture_run_to_end(vcpu);
	assert_int_equal(fake_machine.blocks, 1);
	expect_reloaded();
}

static enum apic_stall rerequest = STALL_REREQUEST, bail = STALL_BAIL;

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define ON(fn, stall)                                                                              \
	{                                                                                          \
#fn ": " #stall, fn, setup, teardown, &(stall)                                     \
	}
#define BOTH(fn) ON(fn, rerequest), ON(fn, bail)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_no_entry), BOTH(test_kick),	     BOTH(test_hold),
		BOTH(test_event),    BOTH(test_yield),	     BOTH(test_in_guest),
		BOTH(test_widened),  BOTH(test_overlapping), TEST(test_fault),
		TEST(test_noretry),  TEST(test_between),     TEST(test_reversed),
		TEST(test_waits),    TEST(test_unflushed),   TEST(test_watched),
		TEST(test_halted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
