/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of experiment `apic`, and what they share: a tiny guest's VM whose vCPUs do jobs with
 * their local APICs (lab/apic_box.h), and a thread for each.
 */
#ifndef LAB_APIC_H
#define LAB_APIC_H

#include "hv/host/ktap.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/vm/vcpu.h"
#include "lab/apic_box.h"
#include "lab/experiment.h"
#include "lab/needs.h"
#include "lab/tiny.h"

#define APIC_MAX_VCPUS 8
#define SENTINEL       0xa5 /* what every byte of the APIC-access page holds */

/* A vCPU's box, as its VMM sees it that reads and writes it while the guest runs. */
struct apic_box {
	_Atomic u32 beats; /* advances all the time, but for long jobs */
	_Atomic u32 halt;
	u32 unused0[3];
	_Atomic u32 errors; /* exceptions: the guest has stopped */
	u32 unused1[10];
	_Atomic u32 received[TINY_NR_VECTORS];
	_Atomic u32 nmis;
	u32 unused2[31];
	_Atomic u32 mode;
	_Atomic u32 job, go, done;
	_Atomic u32 count, to, vector;
	_Atomic u32 release, stop;
	_Atomic u32 expect[3]; /* ID, VERSION, LDR */
	_Atomic u32 reads, wrong, raw, found;
	_Atomic u32 me, nr;
	_Atomic u32 writes;
	_Atomic u32 probe, value;
	_Atomic u32 fault[2];
	_Atomic u32 icr, dest;
	_Atomic u32 started;
	u32 unused3[6];
	_Atomic u32 sent[16];
	_Atomic u32 seen[16];
	u32 unused4[128];
	_Atomic u32 samples[256];
};

_Static_assert(offsetof(struct apic_box, halt) == TINY_BOX_HALT, "as in tiny_box.h");
_Static_assert(offsetof(struct apic_box, errors) == TINY_BOX_ERRORS, "as in tiny_box.h");
_Static_assert(offsetof(struct apic_box, received) == TINY_BOX_RECEIVED, "as in tiny_box.h");
_Static_assert(offsetof(struct apic_box, mode) == APIC_BOX_MODE, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, done) == APIC_BOX_DONE, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, vector) == APIC_BOX_VECTOR, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, stop) == APIC_BOX_STOP, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, expect) == APIC_BOX_EXPECT, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, found) == APIC_BOX_FOUND, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, writes) == APIC_BOX_WRITES, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, started) == APIC_BOX_STARTED, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, sent) == APIC_BOX_SENT, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, seen) == APIC_BOX_SEEN, "as in apic_box.h");
_Static_assert(offsetof(struct apic_box, samples) == APIC_BOX_SAMPLES, "as in apic_box.h");

/* Which vCPUs are in x2APIC mode, a bit each; the others are in xAPIC mode. */
#define ALL_XAPIC  0u
#define ALL_X2APIC ~0u
#define HALF_HALF  0xaau

struct apic_config {
	u32 vcpus;
	u32 rung;      /* enum vmx_apic_rung */
	u32 x2apic;    /* see above */
	u32 asleep;    /* vCPUs that wait for STARTUP, a bit each */
	u32 first_cpu; /* vCPU i runs on CPU (first_cpu + i) % nr_cpus; 0 is the VMM's, too */
	bool traced;
	enum apic_reload reload;
	enum apic_stall stall;
	enum apic_flush flush;
};

struct apic_vm;
struct metric_param;
struct param_values;

/* A vCPU and its thread. */
struct apic_vcpu {
	struct apic_vm *a;
	struct vcpu *vcpu;
	struct thread *thread;
	struct apic_box *box;
	_Atomic u64 left;      /* times vcpu_run() returned -EINTR */
	_Atomic hpa_t address; /* APIC_ACCESS_ADDR when it did so last; 0: not in use */
	_Atomic u64 ends;      /* RUN_EXIT_EOI */
	_Atomic u32 end_vector;
	_Atomic int error; /* why it has ended, if not because it was told to */
	const char *what;  /* words for it */
};

struct apic_vm {
	struct apic_config config;
	struct tiny tiny;
	struct vm *vm; /* tiny's */
	u8 *ram;       /* tiny's RAM: one block that nobody moves */
	struct apic_vcpu v[APIC_MAX_VCPUS];
	struct wait_queue told; /* whoever waits for a job's end */
};

/**
 * apic_vm_create - make it, not yet running
 *
 * The APIC-access page is filled with the sentinel. Returns 0, or an error of what it calls; then
 * there is nothing to destroy. Prints no result.
 */
int apic_vm_create(struct apic_vm *a, const struct apic_config *c);

/*
 * Who runs the VM has these: lab/apic_vm.c.
 *
 * apic_vm_setup - make the new VM what a->config says, and set a->ram. An errno.
 * apic_version - what is in vCPU @i's register VERSION
 * apic_left - vcpu_run() has returned -EINTR, in the vCPU's thread
 */
int apic_vm_setup(struct apic_vm *a);
u32 apic_version(struct apic_vm *a, u32 i);
void apic_left(struct apic_vcpu *v);

/** apic_vm_start - a thread for every vCPU. 0, -ENOMEM. */
int apic_vm_start(struct apic_vm *a);

/** apic_vm_destroy - stop what runs, and free it all. */
void apic_vm_destroy(struct apic_vm *a);

/**
 * apic_vm_run - create and start, and wait until every guest has switched its APIC to its mode
 *
 * One failed result, and nothing to destroy, when that does not work.
 */
bool apic_vm_run(struct apic_vm *a, const struct apic_config *c);

/** apic_intact - whether no vCPU has ended, taken an exception, or read a register that held
 * something else than it should. Says what is wrong. */
bool apic_intact(struct apic_vm *a);

/** apic_expect - what the guest will find in its registers when vCPU @i is in @mode. */
void apic_expect(struct apic_vm *a, u32 i, u32 mode);

/** apic_begin, apic_wait - give vCPU @i a job; sleep until it is done. False: it does not end. */
void apic_begin(struct apic_vm *a, u32 i, u32 job);
bool apic_wait(struct apic_vm *a, u32 i);

/** apic_do - both. */
static inline bool apic_do(struct apic_vm *a, u32 i, u32 job)
{
	apic_begin(a, i, job);
	return apic_wait(a, i);
}

/** apic_watch - all of them read registers, until apic_rest(). False: one does not. */
bool apic_watch(struct apic_vm *a);

/** apic_rest - let vCPU @i end such a job. False: it does not. */
bool apic_rest(struct apic_vm *a, u32 i);

/** apic_look - have vCPU @i look at its requests. False: it does not take this one. */
bool apic_look(struct apic_vm *a, u32 i);

/** apic_switch - have vCPU @i's guest switch its APIC to APIC_MODE_... False: it does not. */
bool apic_switch(struct apic_vm *a, u32 i, u32 mode);

/** apic_fill - fill the APIC-access page, as it is now, with the sentinel. */
void apic_fill(struct apic_vm *a);

/** apic_written - whether something else stands in it: a guest's write went there. */
bool apic_written(struct apic_vm *a);

/** apic_runs - whether vCPU @i executes guest code, before long; apic_frozen(): not for @ticks. */
bool apic_runs(struct apic_vm *a, u32 i);
bool apic_frozen(struct apic_vm *a, u32 i, u64 ticks);

/** apic_address - APIC_ACCESS_ADDR of vCPU @i, asked for in its own thread. */
hpa_t apic_address(struct apic_vm *a, u32 i);

/* Longer than anything takes that works, chaos included. */
#define APIC_SOON patient(max_u64(2000000, tsc_hz / 5))

/* Wait for a condition, busily. Whether it was met; it may not be any more. */
#define APIC_WAIT(cond)                                                                            \
	({                                                                                         \
		u64 end_ = ticks_now() + APIC_SOON;                                                \
		bool met_;                                                                         \
		while (!(met_ = (cond)) && ticks_now() < end_)                                     \
			cpu_relax();                                                               \
		met_;                                                                              \
	})

/* What a run asks for. */
struct apic_options {
	u64 ipis, migrations;
	u32 vcpus;
	u32 modes; /* bit per row of apic_modes */
	u32 rungs; /* bit per enum vmx_apic_rung: those this CPU has, or the one asked for */
	bool one_rung;
	enum apic_reload reload;
	enum apic_stall stall;
	enum apic_flush flush;
};

/* A storm: what was asked for, and what came of it. */
struct apic_storm {
	u64 ipis, migrations;  /* at least as many; afterwards: how many there were */
	u64 least;	       /* IPIs that the slowest vCPU has sent */
	u64 lost, duplicated;  /* IPIs */
	u64 reads, wrong, raw; /* registers read; those with a value they should not have had */
	u64 ticks;	       /* of all migrations together */
	u64 flushes, reloads, retries, stale, unflushed; /* by the counters */
	bool written; /* a guest's write went to the page instead of to a register */
	bool stuck;   /* the guests did not get on */
	int error;    /* of a migration */
};

/** apic_read_options - those that there are everywhere; the others are 0. */
void apic_read_options(const struct param_values *v, struct apic_options *o);

/** apic_storm_run - on a VM whose vCPUs are idle; the calling thread migrates. */
void apic_storm_run(struct apic_vm *a, struct apic_storm *s);

/** apic_take_counters - before and after: the second call leaves the difference. */
void apic_take_counters(struct apic_vm *a, struct apic_storm *s);

/** apic_storm_report - what guests and migrations have counted, apic.migration the last. */
void apic_storm_report(const struct apic_storm *s, const struct metric_param *p, unsigned int n);

/**
 * apic_storm_judge - the results that every storm has
 * @what: their names begin with it
 *
 * With RELOAD_NORETRY one, that it is seen to fail.
 */
void apic_storm_judge(const struct apic_config *c, const char *what, const struct apic_storm *s);

#define NR_APIC_MODES 3
extern const struct apic_mode_name {
	const char *name;
	u32 x2apic;
} apic_modes[NR_APIC_MODES];

extern const char *const apic_flush_name[], *const apic_stall_name[];

/** apic_has_page - whether this machine has the rung with the APIC-access page; else a SKIP of
 * @name that says which control is missing. */
bool apic_has_page(const char *name);

/* One line of the ladder's table: an operation of the guest. */
struct apic_row {
	u32 job;
	const char *op; /* of apic.op; NULL: apic.ipi */
	const char *words;
	u32 vector;
	bool halted; /* the target */
};

#define APIC_ROWS	 9
#define APIC_ROW_SAMPLES 8 /* of APIC_BATCH operations each, or of one */
#define APIC_ROW_PARAMS	 5

extern const struct apic_row apic_rows[APIC_ROWS];

/** apic_row_ops - how many operations apic_row_run() makes. */
u64 apic_row_ops(const struct apic_row *r);

/** apic_row_run - measure it on a VM with two idle vCPUs. False: it does not end. */
bool apic_row_run(struct apic_vm *a, const struct apic_row *r, u64 *samples);

/** apic_row_report - apic.op or apic.ipi; sorts the samples. Returns how many parameters it had,
 * which are left in @p. */
unsigned int apic_row_report(const struct apic_row *r, u32 rung, bool x2apic, u64 *samples,
			     struct metric_param *p);

void apic_ladder(const struct apic_options *o); /* lab/apic_ladder.c: what each rung costs */
void apic_storms(const struct apic_options *o); /* lab/apic_storm.c: IPIs against migrations */
void apic_test_retry(void); /* lab/apic_retry.c: the race, and reloads that wait */
void apic_test_moves(void); /* lab/apic_moves.c: whom a page that moves concerns */
void apic_test_modes(void); /* lab/apic_modes.c: vCPUs that do not use the page */
void apic_test_events(const struct apic_options *o); /* lab/apic_events.c: starting CPUs, EOI */
void apic_test_flush(void);			     /* lab/apic_flush.c: who has to flush */
void apic_trace(const struct apic_options *o); /* lab/apic_trace.c: one retry, for a timeline */

#endif
