/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: single accesses of a guest, of every kind there is, to pages that are
 * missing. Each is also done by a model, on a copy of the memory: what guest and model end with is
 * compared byte for byte, so that an access that happened twice, or in part, shows.
 */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/missing.h"

#define PAGES 10 /* of the region; what is in them: */
enum page { DATA, DATA_NEXT, CODE, CODE_NEXT, DIRECTORY, TABLE, IDT, STACK, FAR, FAR_NEXT };

#define AT(page, offset) (MISSING_BASE + (page) * (u32)PAGE_SIZE + (offset))
#define LAST		 (PAGE_SIZE - 2) /* what begins here crosses the page */
#define MOVED		 0x12345678u
#define FIRST_IN	 0x60 /* what the device gives: this, and one more each time */
#define IDT_GATES	 0x10 /* in its page, behind its pseudo-descriptor */

#define SMALL 0x3u  /* present, writable */
#define LARGE 0x83u /* and 4 MiB */

extern const u8 missing_ops_start[], missing_ops_end[];
extern const u8 missing_op_read[], missing_op_write[], missing_op_jump[], missing_op_xadd[];
extern const u8 missing_op_inc[], missing_op_movs[], missing_op_movsl[], missing_op_outs[];
extern const u8 missing_op_ins[], missing_op_nmi[], missing_op_paging[], missing_nmi_handler[];

/* What is said of an access besides enum fault_access. */
enum {
	RMW = FAULT_READ | FAULT_WRITE, /* a write, and perhaps a read */
	WALK = 8,			/* read or write: the CPU sets flags in tables */
	PUSH = 16 | FAULT_WRITE,	/* to a page whose contents nobody knows */
};

/* How registers may look when an access is reported. */
enum moment { AT_START, AT_TARGET, AT_ELEMENT, LATER };

struct model {
	u32 eax, ecx, esi, edi;
	u8 *mem;
	u32 version; /* of the local APIC */
};

struct op {
	const char *name;
	const u8 *code;
	void (*effect)(struct model *m);
	u32 eax, ecx, esi, edi;
	enum moment moment;
	struct {
		u8 page, access; /* 0: no more */
	} fault[5];
};

/* --- the model ------------------------------------------------------------------------------- */

static u32 get32(const struct model *m, u32 at)
{
	u32 value;

	memcpy(&value, m->mem + at - MISSING_BASE, sizeof(value));
	return value;
}

static void put32(struct model *m, u32 at, u32 value)
{
	memcpy(m->mem + at - MISSING_BASE, &value, sizeof(value));
}

static void do_nothing(struct model *m)
{
}

static void do_read(struct model *m)
{
	m->eax = get32(m, m->esi);
}

static void do_write(struct model *m)
{
	put32(m, m->edi, m->eax);
}

static void do_move(struct model *m)
{
	m->eax = MOVED;
}

static void do_xadd(struct model *m)
{
	u32 old = get32(m, m->esi);

	put32(m, m->esi, old + m->eax);
	m->eax = old;
}

static void do_inc(struct model *m)
{
	put32(m, m->edi, get32(m, m->edi) + 1);
}

static void do_movs(struct model *m)
{
	for (; m->ecx; m->ecx--)
		m->mem[m->edi++ - MISSING_BASE] = m->mem[m->esi++ - MISSING_BASE];
}

static void do_movsl(struct model *m)
{
	put32(m, m->edi, m->version);
	m->esi += 4;
	m->edi += 4;
}

static void do_outs(struct model *m)
{
	m->esi += m->ecx;
	m->ecx = 0;
}

static void do_ins(struct model *m)
{
	for (u8 in = FIRST_IN; m->ecx; m->ecx--)
		m->mem[m->edi++ - MISSING_BASE] = in++;
}

/* Those with paging come last: it stays on. */
static const struct op ops[] = {
	{ "a read",
	  missing_op_read,
	  do_read,
	  0,
	  0,
	  AT(DATA, 8),
	  0,
	  AT_START,
	  { { DATA, FAULT_READ } } },
	{ "a write",
	  missing_op_write,
	  do_write,
	  77,
	  0,
	  0,
	  AT(DATA, 8),
	  AT_START,
	  { { DATA, FAULT_WRITE } } },
	{ "an instruction fetch",
	  missing_op_jump,
	  do_nothing,
	  0,
	  0,
	  AT(CODE, 0),
	  0,
	  AT_TARGET,
	  { { CODE, FAULT_FETCH } } },
	{ "the fetch of an instruction across pages",
	  missing_op_jump,
	  do_move,
	  0,
	  0,
	  AT(CODE, LAST),
	  0,
	  AT_TARGET,
	  { { CODE, FAULT_FETCH }, { CODE_NEXT, FAULT_FETCH } } },
	{ "a read across pages",
	  missing_op_read,
	  do_read,
	  0,
	  0,
	  AT(DATA, LAST),
	  0,
	  AT_START,
	  { { DATA, FAULT_READ }, { DATA_NEXT, FAULT_READ } } },
	{ "a write across pages",
	  missing_op_write,
	  do_write,
	  78,
	  0,
	  0,
	  AT(DATA, LAST),
	  AT_START,
	  { { DATA, FAULT_WRITE }, { DATA_NEXT, FAULT_WRITE } } },
	{ "LOCK XADD",
	  missing_op_xadd,
	  do_xadd,
	  5,
	  0,
	  AT(DATA, 16),
	  0,
	  AT_START,
	  { { DATA, RMW } } },
	{ "INC across pages",
	  missing_op_inc,
	  do_inc,
	  0,
	  0,
	  0,
	  AT(DATA, LAST),
	  AT_START,
	  { { DATA, RMW }, { DATA_NEXT, RMW } } },
	{ "REP MOVS from pages to pages",
	  missing_op_movs,
	  do_movs,
	  0,
	  40,
	  AT(DATA, LAST - 14),
	  AT(FAR, LAST - 6),
	  AT_ELEMENT,
	  { { DATA, FAULT_READ },
	    { FAR, FAULT_WRITE },
	    { FAR_NEXT, FAULT_WRITE },
	    { DATA_NEXT, FAULT_READ } } },
	{ "REP OUTS across pages",
	  missing_op_outs,
	  do_outs,
	  0,
	  4,
	  AT(DATA, LAST),
	  0,
	  AT_ELEMENT,
	  { { DATA, FAULT_READ }, { DATA_NEXT, FAULT_READ } } },
	{ "REP INS across pages",
	  missing_op_ins,
	  do_ins,
	  0,
	  4,
	  0,
	  AT(DATA, LAST),
	  AT_ELEMENT,
	  { { DATA, FAULT_WRITE }, { DATA_NEXT, FAULT_WRITE } } },
	{ "MOVS from the local APIC",
	  missing_op_movsl,
	  do_movsl,
	  0,
	  0,
	  LAPIC_DEFAULT_BASE + 0x30,
	  AT(DATA, 4),
	  AT_START,
	  { { DATA, FAULT_WRITE } } },
	{ "the delivery of an NMI",
	  missing_op_nmi,
	  do_nothing,
	  0,
	  0,
	  AT(IDT, 0),
	  AT(STACK, 64),
	  LATER,
	  { { IDT, FAULT_READ }, { STACK, PUSH } } },
	{ "a read through page tables",
	  missing_op_paging,
	  do_read,
	  0,
	  0,
	  AT(FAR, 8),
	  AT(DIRECTORY, 0),
	  LATER,
	  { { DIRECTORY, WALK }, { TABLE, WALK }, { FAR, FAULT_READ } } },
	{ "REP OUTS through page tables",
	  missing_op_outs,
	  do_outs,
	  0,
	  3,
	  AT(FAR, LAST),
	  0,
	  AT_ELEMENT,
	  { { DIRECTORY, WALK }, { TABLE, WALK }, { FAR, FAULT_READ }, { FAR_NEXT, FAULT_READ } } },
	{ "REP INS through page tables",
	  missing_op_ins,
	  do_ins,
	  0,
	  3,
	  0,
	  AT(FAR, LAST),
	  AT_ELEMENT,
	  { { DIRECTORY, WALK },
	    { TABLE, WALK },
	    { FAR, FAULT_WRITE },
	    { FAR_NEXT, FAULT_WRITE } } },
};

/* --- a run ----------------------------------------------------------------------------------- */

static struct missing_vm m;

static struct {
	const struct op *op;
	struct vcpu_regs start; /* registers */
	u8 out[8];
	unsigned int nr_out, nr_in, nr_faults;
	u64 served; /* before */
	bool reported, unchanged, once;
} now;

static struct vcpu *vcpu(void)
{
	return m.v[0].vcpu;
}

/* What the region's pages hold when they come. */
static void write_source(void)
{
	static const u8 move[] = { 0xb8,	MOVED & 0xff, MOVED >> 8 & 0xff, MOVED >> 16 & 0xff,
				   MOVED >> 24, 0xf4 };
	u32 handler = TINY_CODE + (u32)(missing_nmi_handler - missing_ops_start);
	struct model all = { .mem = m.source };

	for (u32 i = 0; i < PAGES * PAGE_SIZE; i++)
		m.source[i] = (u8)(i * 7 + i / 256 * 31);
	m.source[CODE * PAGE_SIZE] = 0xf4; /* HLT */
	memcpy(m.source + CODE * PAGE_SIZE + LAST, move, sizeof(move));
	memset(m.source + DIRECTORY * PAGE_SIZE, 0, (STACK - DIRECTORY) * PAGE_SIZE);
	put32(&all, AT(DIRECTORY, 0), LARGE);
	put32(&all, AT(DIRECTORY, (MISSING_BASE >> 22) * 4), AT(TABLE, SMALL));
	for (u32 i = 0; i < PAGES; i++)
		put32(&all, AT(TABLE, i * 4), AT(i, SMALL));
	put32(&all, AT(IDT, 0), 31);
	put32(&all, AT(IDT, 2), AT(IDT, IDT_GATES));
	put32(&all, AT(IDT, IDT_GATES + 2 * 8), 0x08u << 16 | handler);
	put32(&all, AT(IDT, IDT_GATES + 2 * 8 + 4), 0x8e00);
}

static bool access_right(u64 flags, u8 access)
{
	if (access == WALK)
		return flags && !(flags & ~(u64)RMW);
	if (access == RMW)
		return flags & (missing_on_kvm ? RMW : FAULT_WRITE) && !(flags & ~(u64)RMW);
	return flags == (access & 7u);
}

static bool report_right(const struct vcpu_run *run)
{
	const struct op *op = now.op;
	u64 n = atomic_load(&m.served) - now.served;

	if (n < ARRAY_SIZE(op->fault) && run->memory_fault.size == PAGE_SIZE &&
	    run->memory_fault.gpa == AT(op->fault[n].page, 0) &&
	    access_right(run->memory_fault.flags, op->fault[n].access))
		return true;
	ktap_note("%s, page %llu: flags %llu, gpa %#llx, size %llu", op->name,
		  (unsigned long long)n, (unsigned long long)run->memory_fault.flags,
		  (unsigned long long)run->memory_fault.gpa,
		  (unsigned long long)run->memory_fault.size);
	return false;
}

static u32 reg(const struct vcpu_regs *r, enum gpr i)
{
	return (u32)r->gpr[i];
}

/* How many elements of a string are done, and the pointers moved by as many. */
static bool at_element(const struct vcpu_regs *r)
{
	u32 done = reg(&now.start, GPR_RCX) - reg(r, GPR_RCX);
	u32 source = now.op->effect == do_ins ? 0 : done, to = now.op->effect == do_outs ? 0 : done;

	return r->rip == now.start.rip && reg(r, GPR_RSI) == reg(&now.start, GPR_RSI) + source &&
	       reg(r, GPR_RDI) == reg(&now.start, GPR_RDI) + to;
}

static bool state_right(const struct vcpu_regs *r)
{
	u64 rip = now.op->moment == AT_TARGET ? now.op->esi : now.start.rip;

	if (now.op->moment == AT_ELEMENT)
		return at_element(r);
	if (now.op->moment == LATER)
		return r->gpr[GPR_RSI] == now.start.gpr[GPR_RSI];
	return r->rip == rip && !memcmp(r->gpr, now.start.gpr, sizeof(r->gpr));
}

/* Once more without the page; @look: through the guest, which a request sees to. */
static bool same_again(bool look)
{
	struct vcpu_run before = vcpu()->run;
	const struct vcpu_run *run = &vcpu()->run;
	struct vcpu_regs r;

	if (look)
		vcpu_request(vcpu(), REQ_LOOK);
	return !vcpu_run(vcpu()) && run->reason == RUN_EXIT_MEMORY_FAULT &&
	       !memcmp(&run->memory_fault, &before.memory_fault, sizeof(run->memory_fault)) &&
	       !vcpu_get_regs(vcpu(), &r) && state_right(&r);
}

/* Asked to leave meanwhile: no word of the fault, and it comes again. */
static bool leaves_without(void)
{
	vcpu_request(vcpu(), REQ_EXIT);
	return vcpu_run(vcpu()) == -EINTR && vcpu()->run.reason != RUN_EXIT_MEMORY_FAULT;
}

static void take_fault(void)
{
	struct vcpu_run run = vcpu()->run;
	u64 offset = run.memory_fault.gpa - MISSING_BASE;
	struct vcpu_regs r;

	now.reported &= report_right(&run);
	now.unchanged &= !vcpu_get_regs(vcpu(), &r) && state_right(&r) && same_again(false) &&
			 same_again(true);
	now.once &= !missing_bring(&m, offset);
	now.nr_faults++;
	m.order[atomic_fetch_add(&m.served, 1) % ARRAY_SIZE(m.order)] = (u16)(offset / PAGE_SIZE);
}

static void take_io(void)
{
	struct vcpu_run *run = &vcpu()->run;

	if (run->io.in)
		run->io.data = FIRST_IN + now.nr_in++;
	else if (run->io.port == MISSING_PORT_NMI)
		lapic_post_nmi(vcpu());
	else if (now.nr_out < sizeof(now.out))
		now.out[now.nr_out++] = (u8)run->io.data;
}

/* It sleeps for a page and nobody wakes it: let it leave. */
static void give_up(struct timer *t)
{
	vcpu_request(vcpu(), REQ_EXIT);
}

/* Until its HLT. False: it comes to something else. */
static bool execute(const struct op *op)
{
	struct vcpu_regs *s = &now.start;
	struct timer late;
	u32 reason = RUN_EXIT_NONE;
	int err = 0;

	now.nr_out = now.nr_in = now.nr_faults = 0;
	*s = (struct vcpu_regs){ .rip = TINY_CODE + (u64)(op->code - missing_ops_start),
				 .rflags = 2 };
	s->gpr[GPR_RAX] = op->eax;
	s->gpr[GPR_RCX] = op->ecx;
	s->gpr[GPR_RDX] = MISSING_PORT;
	s->gpr[GPR_RSI] = op->esi;
	s->gpr[GPR_RDI] = op->edi;
	vcpu_set_mp_state(vcpu(), MP_RUNNABLE);
	vcpu_set_regs(vcpu(), s);
	timer_init(&late, give_up);
	timer_arm(&late, ticks_now() + MISSING_SOON);
	while (reason != RUN_EXIT_HLT && !err) {
		err = vcpu_run(vcpu());
		reason = vcpu()->run.reason;
		if (!err && reason == RUN_EXIT_MEMORY_FAULT && now.nr_faults < 8)
			take_fault();
		else if (!err && reason == RUN_EXIT_IO)
			take_io();
		else if (!err && reason != RUN_EXIT_HLT)
			err = -EIO;
	}
	timer_cancel(&late);
	if (err)
		ktap_note("%s: %s, %s", op->name, errno_name(err),
			  reason == RUN_EXIT_ERROR ? vcpu()->run.error.what : "a strange exit");
	return !err;
}

static bool memory_right(const struct op *op, const u8 *want)
{
	static u8 page[PAGE_SIZE];

	for (unsigned int i = 0; i < ARRAY_SIZE(op->fault) && op->fault[i].access; i++) {
		u64 offset = op->fault[i].page * PAGE_SIZE;

		if (op->fault[i].access & (WALK | 16))
			continue;
		if (backing_read(m.mem, offset, page, PAGE_SIZE) ||
		    memcmp(page, want + offset, PAGE_SIZE)) {
			ktap_note("%s: page %u holds something else", op->name, op->fault[i].page);
			return false;
		}
	}
	return true;
}

static u32 apic_version(void)
{
	const u8 *regs = vcpu()->lapic.regs;

	return regs ? *(const u32 *)(const void *)(regs + LAPIC_VERSION) : 0;
}

/* Against the model's. */
static bool result_right(const struct op *op, u8 *mem)
{
	struct model want = { op->eax, op->ecx, op->esi, op->edi, mem, apic_version() };
	struct vcpu_regs r;
	bool ok;

	op->effect(&want);
	ok = !vcpu_get_regs(vcpu(), &r) && reg(&r, GPR_RAX) == want.eax &&
	     reg(&r, GPR_RCX) == want.ecx && reg(&r, GPR_RSI) == want.esi &&
	     reg(&r, GPR_RDI) == want.edi;
	if (!ok)
		ktap_note("%s: registers %#x %#x %#x %#x", op->name, reg(&r, GPR_RAX),
			  reg(&r, GPR_RCX), reg(&r, GPR_RSI), reg(&r, GPR_RDI));
	if (op->effect == do_outs)
		ok &= now.nr_out == op->ecx &&
		      !memcmp(now.out, mem + op->esi - MISSING_BASE, op->ecx);
	if (op->effect == do_ins)
		ok &= now.nr_in == op->ecx;
	return ok && memory_right(op, mem);
}

static unsigned int nr_expected(const struct op *op)
{
	unsigned int n = 0;

	while (n < ARRAY_SIZE(op->fault) && op->fault[n].access)
		n++;
	return n;
}

/* Whether the handler brings some of its pages, or all: these the hypervisor decodes by itself. */
static bool waits(const struct op *op)
{
	bool decoded = op->code == missing_op_outs || op->code == missing_op_ins ||
		       op->code == missing_op_movsl;

	return m.config.way == WAY_QUEUE || (decoded && missing_on_kvm);
}

static bool served_right(const struct op *op)
{
	u64 n = atomic_load(&m.served) - now.served;

	for (u64 i = 0; i < n && i < nr_expected(op); i++)
		if (m.order[(now.served + i) % ARRAY_SIZE(m.order)] != op->fault[i].page)
			return false;
	return n == nr_expected(op) && (waits(op) || now.nr_faults == n);
}

/* Twice: the second time nothing is missing. @mem: the model's memory, as it comes. */
static void try_op(const struct op *op, u8 *mem)
{
	u32 *nmis = (u32 *)(void *)(m.ram + MISSING_NMIS);
	bool nmi = op->code == missing_op_nmi;

	memcpy(mem, m.source, PAGES * PAGE_SIZE);
	*nmis = 0;
	now.op = op;
	now.served = atomic_load(&m.served);
	now.reported = now.unchanged = true;
	now.once = !missing_take(&m, 0, PAGES * PAGE_SIZE) && execute(op);
	now.reported &= served_right(op);
	now.once &= result_right(op, mem) && *nmis == nmi;
	now.once &= execute(op) && !now.nr_faults && result_right(op, mem) && *nmis == 2u * nmi;
}

static void report(const struct op *op)
{
	const char *way = missing_way_name[m.config.way];

	if (waits(op)) {
		ktap_result(now.once && now.reported && now.unchanged,
			    "%s: %s waits for its pages, and is done once", way, op->name);
		return;
	}
	ktap_result(now.reported, "%s: %s is an exit with address, size and kind of access", way,
		    op->name);
	ktap_result(now.unchanged,
		    "%s: %s: nothing has changed; without the page the same exit comes again", way,
		    op->name);
	ktap_result(now.once, "%s: %s: with the page it is done once, and is no exit any more", way,
		    op->name);
}

static void test_stale(void)
{
	const struct op *op = &ops[0];
	bool ok = !missing_take(&m, 0, PAGES * PAGE_SIZE);

	now.op = op;
	vcpu_set_mp_state(vcpu(), MP_RUNNABLE);
	vcpu_set_regs(vcpu(), &now.start);
	ok = ok && !vcpu_run(vcpu()) && vcpu()->run.reason == RUN_EXIT_MEMORY_FAULT;
	ktap_result(ok && leaves_without() && !vcpu_run(vcpu()) &&
			    vcpu()->run.reason == RUN_EXIT_MEMORY_FAULT,
		    "%s: a vCPU that is asked to leave says nothing of the fault before",
		    missing_way_name[m.config.way]);
}

static void test_way(enum missing_way way)
{
	static u8 mem[PAGES * PAGE_SIZE];
	const struct missing_config c = { .way = way,
					  .code = { missing_ops_start, missing_ops_end },
					  .vcpus = 1,
					  .pages = PAGES };
	int err = missing_create(&m, &c);

	if (!err) {
		write_source();
		if (way == WAY_QUEUE || missing_on_kvm)
			err = missing_serve(&m, nr_cpus - 1);
		for (unsigned int i = 0; i < ARRAY_SIZE(ops) && !err; i++) {
			if (ops[i].code == missing_op_movsl && !vcpu()->lapic.regs) {
				ktap_skip("this VM has no local APIC", "%s: %s",
					  missing_way_name[way], ops[i].name);
				continue;
			}
			try_op(&ops[i], mem);
			report(&ops[i]);
			if (!i && way != WAY_QUEUE)
				test_stale();
		}
		vcpu_unload(vcpu());
		missing_destroy(&m);
	}
	missing_failed(way, err);
}

void missing_test_rules(const struct missing_options *o)
{
	for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++)
		if (o->ways & BIT(way))
			test_way(way);
}
