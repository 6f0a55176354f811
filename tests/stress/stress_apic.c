/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The APIC-access page is moved from frame to frame while vCPUs use their APICs, send each other
 * IPIs and change the mode of their APICs: no access reaches the frame itself, no vCPU is in the
 * guest with the address of a frame that was given back, and no IPI is lost or comes twice.
 *
 * Each vCPU sends one IPI at a time and waits for it to be taken; each sender has a vector of its
 * own. A vCPU whose APIC is about to be disabled closes its gate first, because what arrives then
 * is dropped; from xAPIC to x2APIC mode it changes whatever is on its way.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "tests/stress/guests.h"

#define VCPUS	 3
#define IPIS	 40
#define MOVES	 40
#define SENTINEL 0xa5
#define RAM	 (8 * PAGE_SIZE)
#define APIC	 LAPIC_DEFAULT_BASE
#define CLOSED	 (-1)

enum { MSR_X2APIC_ICR = 0x830 };
enum { BASE_XAPIC = APIC | LAPIC_BASE_EN, BASE_X2APIC = BASE_XAPIC | LAPIC_BASE_EXTD };

/* What the guest executes lies in its memory, for the hypervisor to decode. */
static const u8 code[] = {
	0x66, 0x67, 0x8b, 0x03, /* mov eax, [ebx] */
	0x66, 0x67, 0x89, 0x03, /* mov [ebx], eax */
};

#define CODE	   0x1000
#define CODE_READ  CODE
#define CODE_WRITE (CODE + 4)
#define CODE_WRMSR (CODE + 8)

/* One instruction; it is executed again until it has been carried out. */
struct act {
	enum { ACT_READ, ACT_WRITE, ACT_WRMSR, ACT_EOI } op;
	u32 where; /* offset in the page, or MSR */
	u64 value; /* ACT_READ: what it has to be */
};

struct user {
	struct guest g;
	unsigned int nr;
	bool x2apic;
	_Atomic int gate; /* IPIs on their way; CLOSED */

	struct act program[4];
	unsigned int at, len; /* the program's instruction that is next */
	/* Has been executed, at .rip; whether it was carried out is not known yet. */
	const struct act *doing;
	u64 rip;

	unsigned int idle;   /* steps in which it only is in the guest */
	struct user *target; /* an IPI is on its way there */
	u64 sent[VCPUS], sent_at;
	unsigned int ipis;
	bool switching;
};

static struct user users[VCPUS];
static struct vm *vm;
static _Atomic unsigned int finished;
static _Atomic bool over, deleted;

static struct user *user_of(struct hw_vcpu *hw)
{
	return container_of((struct guest *)hw->arg, struct user, g);
}

static _Atomic u64 *taken(struct user *to, struct user *from)
{
	return &to->g.taken[from->nr];
}

/* --- executing ------------------------------------------------------------------------------- */

/* Where the APIC is not, there is nothing, and nothing reads as ones. */
static u64 expected(struct user *u, const struct act *i)
{
	return u->x2apic ? ~0u : i->value;
}

static void end_switch(struct user *u)
{
	u->switching = false;
	if (u->x2apic)
		atomic_store(&u->gate, 0);
	u->x2apic = !u->x2apic;
}

/* The instruction pointer tells whether the instruction has been carried out. */
static void settle(struct hw_vcpu *hw)
{
	struct user *u = user_of(hw);
	const struct act *i = u->doing;

	u->doing = NULL;
	if (!i || hw->reg[REG_RIP] == u->rip)
		return;
	if (i->op == ACT_READ)
		stress_check(hw->vmx->gpr[GPR_RAX] == expected(u, i),
			     "vCPU %u reads %#llx at offset %#x", u->nr,
			     (unsigned long long)hw->vmx->gpr[GPR_RAX], i->where);
	if (i->op == ACT_EOI)
		u->g.eoi = false;
	else if (++u->at == u->len && u->switching)
		end_switch(u);
}

static int access_page(struct hw_vcpu *hw, const struct act *i)
{
	bool write = i->op != ACT_READ;
	gpa_t gpa = APIC + i->where;
	u64 raw;
	int exit;

	hw->vmx->gpr[GPR_RBX] = gpa;
	if (write)
		hw->vmx->gpr[GPR_RAX] = i->value;
	exit = write ? hw_write(hw, gpa, i->value) : hw_read(hw, gpa, &raw);
	stress_check(exit != HW_GOES_ON, "vCPU %u %s the page itself at offset %#x",
		     user_of(hw)->nr, write ? "writes" : "reads", i->where);
	return exit;
}

static int execute(struct hw_vcpu *hw, const struct act *i)
{
	struct user *u = user_of(hw);
	int exit;

	u->doing = i;
	u->rip = i->op == ACT_READ ? CODE_READ : i->op == ACT_WRMSR ? CODE_WRMSR : CODE_WRITE;
	hw->reg[REG_RIP] = u->rip;
	if (i->op == ACT_WRMSR)
		return hw_wrmsr(hw, i->where, i->value);
	if (i->op != ACT_EOI || !u->x2apic)
		return access_page(hw, i);
	exit = hw_eoi(hw);
	if (exit == HW_GOES_ON)
		hw->reg[REG_RIP]++;
	return exit;
}

static void add(struct user *u, int op, u32 where, u64 value)
{
	u->program[u->len++] = (struct act){ op, where, value };
}

/* --- what the guest does ---------------------------------------------------------------------- */

static void begin_send(struct user *u)
{
	struct user *to = &users[stress_random(VCPUS)];
	int open = atomic_load(&to->gate);
	u32 icr = GUEST_VECTOR + u->nr;

	if (open == CLOSED || !atomic_compare_exchange_strong(&to->gate, &open, open + 1))
		return;
	u->target = to;
	u->sent[to->nr]++;
	u->sent_at = ticks_now();
	if (u->x2apic) {
		add(u, ACT_WRMSR, MSR_X2APIC_ICR, (u64)to->nr << 32 | icr);
	} else {
		add(u, ACT_WRITE, LAPIC_ICR2, (u64)to->nr << 24);
		add(u, ACT_WRITE, LAPIC_ICR, icr);
	}
}

static void wait_for_ack(struct user *u)
{
	u64 sent = u->sent[u->target->nr], n = atomic_load(taken(u->target, u));

	stress_check(n <= sent, "vCPU %u takes an IPI of vCPU %u twice", u->target->nr, u->nr);
	stress_check(n == sent || ticks_now() < u->sent_at + tsc_hz,
		     "vCPU %u does not take an IPI of vCPU %u", u->target->nr, u->nr);
	if (n < sent)
		return;
	atomic_fetch_sub(&u->target->gate, 1);
	u->target = NULL;
	if (++u->ipis == IPIS)
		atomic_fetch_add(&finished, 1);
}

static void begin_switch(struct user *u)
{
	int open = 0;

	if (!u->x2apic) {
		add(u, ACT_WRMSR, MSR_APIC_BASE, BASE_X2APIC);
	} else {
		if (!atomic_compare_exchange_strong(&u->gate, &open, CLOSED))
			return;
		add(u, ACT_WRMSR, MSR_APIC_BASE, APIC);
		add(u, ACT_WRMSR, MSR_APIC_BASE, BASE_XAPIC);
		add(u, ACT_WRITE, LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
	}
	u->switching = true;
}

static void choose(struct user *u)
{
	u->at = u->len = 0;
	if (u->target) {
		wait_for_ack(u);
		if (u->target && stress_random(4))
			return;
	}
	switch (stress_random(16)) {
	case 0: begin_switch(u); break;
	case 1 ... 4: add(u, ACT_READ, LAPIC_ID, (u64)u->nr << 24); break;
	case 5: add(u, ACT_READ, LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff); break;
	case 6:
		if (!u->x2apic) /* holds nothing back */
			add(u, ACT_WRITE, LAPIC_TPR, stress_random(GUEST_VECTOR));
		break;
	case 7:
	case 8:
	case 9: u->idle = (unsigned int)stress_random(60); break;
	default:
		if (!u->target && u->ipis < IPIS)
			begin_send(u);
	}
}

static int step(struct hw_vcpu *hw)
{
	static const struct act eoi = { ACT_EOI, LAPIC_EOI, 0 };
	struct user *u = user_of(hw);

	settle(hw);
	if (vmx_apic_uses_page(hw->vmx) && !atomic_load(&deleted))
		frame_use(hw->apic_page, "APIC_ACCESS_ADDR is that of a frame");
	if (u->g.eoi)
		return execute(hw, &eoi);
	if (u->idle) {
		u->idle--;
		return HW_GOES_ON;
	}
	if (u->at == u->len)
		choose(u);
	if (u->at < u->len)
		return execute(hw, &u->program[u->at]);
	return u->ipis == IPIS && !stress_random(8) ? VM_EXIT_HLT : HW_GOES_ON;
}

static void take(struct hw_vcpu *hw, const struct vm_event *e)
{
	struct user *u = user_of(hw);
	unsigned int from = (unsigned int)e->vector - GUEST_VECTOR;

	settle(hw);
	stress_check(e->type == EVENT_EXTERNAL && from < VCPUS, "vCPU %u gets event %u", u->nr,
		     e->vector);
	stress_check(!u->g.eoi, "vCPU %u gets an interrupt before its EOI", u->nr);
	u->g.eoi = true;
	atomic_fetch_add(&u->g.taken[from], 1);
}

/* Each entry: the tables and the VMCS name the same frame, unless the tables name none. */
static void entered(struct hw_vcpu *hw)
{
	hpa_t hpa;

	if (!vmx_apic_uses_page(hw->vmx) || !hw_look_up(hw, APIC, &hpa))
		return;
	stress_check(hpa == hw->apic_page,
		     "vCPU %u is entered with the address %#llx, the page is mapped to %#llx",
		     user_of(hw)->nr, (unsigned long long)hw->apic_page, (unsigned long long)hpa);
}

/* --- the others ------------------------------------------------------------------------------ */

static bool left(struct guest *g, int err)
{
	stress_check(err == -EINTR, "a vCPU leaves with %d, reason %u", err, g->vcpu->run.reason);
	return !atomic_load(&over);
}

static void move_page(void *arg)
{
	bool ends = stress_run.seed % 8 == 7;

	for (unsigned int i = 0; i < MOVES; i++) {
		int err = vm_move_apic_page(vm, stress_random(2) ? SENTINEL : -1);

		stress_check(err == (atomic_load(&deleted) ? -ENOENT : 0),
			     "vm_move_apic_page(): %d", err);
		spin_ticks(stress_random(500));
		if (ends && i == MOVES / 2) {
			atomic_store(&deleted, true);
			stress_check(!vm_delete_apic_page(vm), "vm_delete_apic_page()");
		}
	}
}

/* Invalidations of other memory, which the page's have to get along with. */
static void move_ram(void *arg)
{
	struct backing *ram = arg;

	while (!atomic_load(&over)) {
		u64 page = stress_random(RAM / PAGE_SIZE) * PAGE_SIZE;
		int err = stress_random(2) ? backing_move(ram, page, PAGE_SIZE, -1)
					   : vm_drop_page(vm, page);

		stress_check(!err, "RAM cannot be moved: %d", err);
		if (!stress_random(8))
			vcpu_request(users[stress_random(VCPUS)].g.vcpu, REQ_EXIT);
		spin_ticks(stress_random(1000));
	}
}

static void start(unsigned int nr)
{
	struct user *u = &users[nr];
	struct hw_vcpu *hw;

	*u = (struct user){ .nr = nr, .g = { .left = left } };
	guest_create(&u->g, vm);
	u->x2apic = stress_random(2);
	if (!u->x2apic)
		stress_check(!lapic_start(u->g.vcpu, LAPIC_XAPIC), "its APIC cannot be started");
	hw = hw_of(u->g.vcpu);
	hw->step = step;
	hw->event = take;
	hw->entered = entered;
}

static struct backing *make_vm(void)
{
	static const enum vmx_apic_rung rungs[] = { VMX_APIC_ACCESS, VMX_APIC_DELIVERY,
						    VMX_APIC_REGISTER, VMX_APIC_X2APIC };
	u64 seed = stress_run.seed;

	hw_set_apic(rungs[seed / 3 % 4]);
	stress_check(!vm_create(&vm) && !vm_add_ram(vm, 0, RAM), "a VM cannot be created");
	vm_expect_events(vm);
	vm_set_apic_policy(vm, RELOAD_RETRY, seed % 5 == 4 ? STALL_BAIL : STALL_REREQUEST,
			   seed % 7 == 6 ? FLUSH_BOTH : FLUSH_ZAP);
	stress_check(!vm_write(vm, CODE, code, sizeof(code)), "no code");
	return slot_by_id(vm, 0)->backing;
}

static void run(void)
{
	struct thread *mover, *other;
	struct backing *ram;

	atomic_store(&over, false);
	atomic_store(&deleted, false);
	atomic_store(&finished, 0);
	ram = make_vm();
	for (unsigned int i = 0; i < VCPUS; i++)
		start(i);
	for (unsigned int i = 0; i < VCPUS; i++)
		guest_start(&users[i].g, "vCPU");
	mover = stress_spawn("mover", move_page, NULL);
	other = stress_spawn("other", move_ram, ram);
	stress_wait(mover);
	while (atomic_load(&finished) < VCPUS)
		spin_ticks(100);
	atomic_store(&over, true);
	stress_wait(other);
	vm_stop(vm);
	for (unsigned int i = 0; i < VCPUS; i++)
		guest_end(&users[i].g);
	for (unsigned int i = 0; i < VCPUS * VCPUS; i++)
		stress_check(atomic_load(taken(&users[i % VCPUS], &users[i / VCPUS])) ==
				     users[i / VCPUS].sent[i % VCPUS],
			     "an IPI of vCPU %u came twice", i / VCPUS);
	vm_destroy(vm);
}

const struct stress_test stress_test = {
	.name = "apic", .run = run, .threads = 1 + VCPUS + 2, .seeds = 40, .free_runs = 40
};
