/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of experiment `missing`, and what they share: a tiny guest's VM with a region whose
 * pages are missing, in one of the three ways to hear of it, and the bringing of pages.
 */
#ifndef LAB_MISSING_H
#define LAB_MISSING_H

#include "hv/host/ktap.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "hv/vm/userfault.h"
#include "hv/vm/vcpu.h"
#include "lab/experiment.h"
#include "lab/missing_box.h"
#include "lab/needs.h"
#include "lab/params.h"
#include "lab/tiny.h"

struct metric_param;

#define MISSING_BASE	  0x40000000u /* the region */
#define MISSING_SLOT	  1	      /* its id; low memory has 0 */
#define MISSING_MAX_PAGES 512
#define MISSING_MAX_VCPUS 7
#define MISSING_VALUE	  0x01020304u /* what every word of page n holds, plus n */

enum missing_way {
	WAY_QUEUE,  /* no flag: the thread sleeps, a handler brings the page */
	WAY_EXIT,   /* SLOT_EXIT_ON_MISSING */
	WAY_BITMAP, /* SLOT_USERFAULT */
	NR_MISSING_WAYS,
};

extern const char *const missing_way_name[NR_MISSING_WAYS];

/* A vCPU's box, as its VMM sees it that reads and writes it while the guest runs. */
struct missing_box {
	_Atomic u32 beats; /* advances all the time, but for long jobs */
	_Atomic u32 round;
	_Atomic u32 base, stride, count;
	_Atomic u32 errors;
	_Atomic u32 go, done; /* a job is done when the two are equal */
	_Atomic u32 job;
	_Atomic u32 value, written;
	_Atomic u32 samples;
	_Atomic u32 free; /* again and again */
	_Atomic u32 floors, call, mine;
};

_Static_assert(offsetof(struct missing_box, errors) == TINY_BOX_ERRORS, "as in tiny_box.h");
_Static_assert(offsetof(struct missing_box, go) == MISSING_BOX_GO, "as in missing_box.h");
_Static_assert(offsetof(struct missing_box, value) == MISSING_BOX_VALUE, "as in missing_box.h");
_Static_assert(offsetof(struct missing_box, samples) == MISSING_BOX_SAMPLES, "as in missing_box.h");
_Static_assert(offsetof(struct missing_box, mine) == MISSING_BOX_MINE, "as in missing_box.h");

struct missing_vcpu;

struct missing_config {
	enum missing_way way;
	struct tiny_code code; /* default: the guest with jobs */
	u32 vcpus;
	u32 pages;     /* of the region, up to MISSING_MAX_PAGES */
	bool present;  /* an ordinary backing, all there and nothing hidden */
	u32 first_cpu; /* vCPU i runs on CPU (first_cpu + i) % nr_cpus */
	bool traced;
	/* In the vCPU's thread, when its run ended with a memory fault; and in the handler's.
	   Default: bring the page. */
	void (*fault)(struct missing_vcpu *v, u64 offset);
};

/* A vCPU and its thread. */
struct missing_vcpu {
	struct missing_vm *m;
	struct vcpu *vcpu;
	struct thread *thread;
	struct missing_box *box;
	_Atomic u64 exits; /* memory faults, after they were handled */
	_Atomic u64 holes; /* accesses that found no slot */
	_Atomic int error; /* why it has ended, if not because it was told to */
	const char *what;  /* words for it */
};

struct missing_vm {
	struct missing_config config;
	struct tiny tiny;
	struct vm *vm; /* tiny's */
	u8 *ram;       /* tiny's RAM: one block that nobody moves */
	struct backing *mem;
	u64 size;
	struct userfault *hidden; /* WAY_BITMAP */
	u8 *source;		  /* the contents of the region, from far away */
	/* Who brings a page that is hidden: writing it twice would undo what the guest wrote. */
	_Atomic u64 claimed[MISSING_MAX_PAGES / 64 + 1];
	struct missing_vcpu v[MISSING_MAX_VCPUS];
	struct thread *handler;
	_Atomic bool stop; /* to the handler */
	_Atomic u64 served;
	u16 order[64]; /* the pages that it brought last */
};

/**
 * missing_create - make it, not yet running: every page missing, their contents at m->source
 *
 * The local APICs are in xAPIC mode, and nothing of them is virtualized: accesses are decoded.
 * Returns 0, or an error of what it calls; then there is nothing to destroy. Prints no result.
 */
int missing_create(struct missing_vm *m, const struct missing_config *c);

/** missing_start - a thread for every vCPU. 0, -ENOMEM. */
int missing_start(struct missing_vm *m);

/** missing_failed - whether @err is one: a failed result, then. */
bool missing_failed(enum missing_way way, int err);

/** missing_run - create and start; one failed result when that does not work. */
bool missing_run(struct missing_vm *m, const struct missing_config *c);

/** missing_destroy - stop what runs, and free it all. */
void missing_destroy(struct missing_vm *m);

/** missing_write_source - fill m->source: every word of a page is MISSING_VALUE and its number. */
void missing_write_source(struct missing_vm *m);

/** missing_serve - a thread on @cpu that brings what vCPUs wait for (WAY_QUEUE). 0, -ENOMEM. */
int missing_serve(struct missing_vm *m, u32 cpu);

/**
 * missing_bring - make a page present, or show it, with its contents
 *
 * Returns 0, -EEXIST (it was, or somebody else has), or another error of backing_fill().
 */
int missing_bring(struct missing_vm *m, u64 offset);

/** missing_take - make pages missing, or hide them, again. An error of backing_punch(). */
int missing_take(struct missing_vm *m, u64 offset, u64 len);

/*
 * lab/missing_memory.c, for lab/missing_vm.c: the mapping of low memory at m->ram; the region, with
 * m->source full of what its pages are to hold; the end of both, and of the VM. Errors of what they
 * call; missing_destroy_memory() takes back the half of it too.
 */
int missing_map_ram(struct missing_vm *m);
int missing_create_memory(struct missing_vm *m);
void missing_destroy_memory(struct missing_vm *m);
void missing_stop(struct missing_vm *m); /* vm_stop(), and nobody waits for a page any more */
int missing_start_vcpu(struct missing_vcpu *v);

/* VM exits of all vCPUs so far, by the count of the kernel below; 0: nobody has one. */
u64 missing_left(struct missing_vm *m);

/*
 * Whether this is the lab on KVM. There accesses that the hypervisor makes for the guest, those of
 * instructions that it decodes, wait for missing pages also with WAY_EXIT, where otherwise they are
 * exits like any other. And an exit is for one kind of access: INC across pages is a read first, to
 * some CPUs.
 */
extern const bool missing_on_kvm;

/* lab/missing_queue.c, for the rate: .fault of WAY_QUEUE, and what it has seen. */
void missing_queue_fault(struct missing_vcpu *v, u64 offset);
void missing_queue_report(struct missing_vm *m, u32 pages); /* per vCPU */

/* lab/missing_vmm.c, for lab/missing_vm.c */
void missing_run_vcpu(void *arg); /* a struct missing_vcpu: its thread */
void missing_bring_reported(struct missing_vcpu *v, u64 offset); /* what .fault is by default */
/* As a handler, until @over() says so. */
void missing_serve_until(struct missing_vm *m, bool (*over)(struct missing_vm *m));

/** missing_slot - the change that creates the region's slot, or gives it these flags. */
struct slot_change missing_slot(struct missing_vm *m, enum slot_op op, u32 flags);
u32 missing_flags(struct missing_vm *m); /* those of its way */

/** missing_begin - give every vCPU a job: vCPU i's pages begin at page i * @apart. */
void missing_begin(struct missing_vm *m, u32 job, u32 count, u32 apart);

/** missing_done - whether all have done it, or one has failed. */
bool missing_done(struct missing_vm *m);

/**
 * missing_finish - until then, busily. False: it takes too long, or one has failed.
 *
 * With WAY_QUEUE and no other handler the calling thread is the handler meanwhile.
 */
bool missing_finish(struct missing_vm *m);

/** missing_free_run - job after job, or an end of it. False: they do not come to an end. */
bool missing_free_run(struct missing_vm *m, bool on);

/** missing_intact - whether no vCPU has ended or seen a wrong word. Says what is wrong. */
bool missing_intact(struct missing_vm *m);

/** missing_exits - memory faults of all vCPUs. */
u64 missing_exits(struct missing_vm *m);

/** missing_sample - when vCPU @i made its n-th access of a timed job: before, or after it. */
u32 missing_sample(struct missing_vm *m, u32 i, u32 n, bool after);

/* Parameters of a metric: those that are not 0. */
struct missing_params {
	const char *way;
	u64 vcpus;
	const char *part;
};

/** missing_metric - metric_samples() with them. Returns the median. */
u64 missing_metric(const char *name, const char *unit, u64 *samples, u32 n,
		   const struct missing_params *what);

/** missing_report_left - kvm.exits behind a figure with these parameters; nothing for @left 0. */
void missing_report_left(const char *of, u64 left, u64 ops, const struct metric_param *p,
			 unsigned int n);

/* Longer than anything takes that works, chaos included. */
#define MISSING_SOON patient(20000000)

/**
 * missing_until - wait for a condition, busily; other threads of this CPU run meanwhile
 *
 * Returns whether it was met before long.
 */
bool missing_until(struct missing_vm *m, bool (*met)(struct missing_vm *m));

/*
 * lab/missing_together.c: vCPUs that write to one page, all of them. missing_meet() begins, until
 * @met. Those that have reported the page stay outside with missing_hold_back() until
 * missing_go_on(), which missing_part() begins with: they all find in the page what they should.
 */
extern struct missing_vm missing_crowd;
bool missing_meet(enum missing_way way, void (*fault)(struct missing_vcpu *v, u64 offset),
		  bool (*met)(struct missing_vm *m));
bool missing_all_arrived(struct missing_vm *m);
void missing_hold_back(struct missing_vcpu *v, u64 offset);
void missing_go_on(void);
bool missing_part(bool ok);

/* What a run asks for. */
struct missing_options {
	u32 ways;    /* bit per enum missing_way */
	u32 vcpus;   /* 0: from one to one for every CPU but the first */
	u32 pages;   /* per vCPU */
	u32 regions; /* bit 0: private, bit 1: overlapping */
	u32 access;  /* bit 0: write, bit 1: read */
	u32 takes;   /* pages taken away in a storm */
};

/* The parameters that missing_read_options() reads, but for `way`, which says which there are. */
#define MISSING_PARAMS                                                                             \
	PARAM_U64("vcpus", 0, MISSING_MAX_VCPUS, 0,                                                \
		  "of the rate; 0: 1, 2 and so on, one for every CPU but the first"),              \
		PARAM_U64("pages", 1, MISSING_MAX_PAGES / MISSING_MAX_VCPUS, 64,                   \
			  "for each of them"),                                                     \
		PARAM_ENUM("region", 0,                                                            \
			   "the pages of the rate: each vCPU's own, or the same for all",          \
			   "private", "overlapping", "all"),                                       \
		PARAM_ENUM("access", 0, "the first access to each", "write", "read", "all")

/** missing_read_options - those that there are everywhere. @ways: what way=all is. */
void missing_read_options(const struct param_values *v, u32 ways, struct missing_options *o);

void missing_test_rules(const struct missing_options *o); /* lab/missing_rules.c: single accesses */
void missing_test_flags(void);				  /* lab/missing_flags.c: asking for it */
void missing_test_own(const struct missing_options *o);	  /* and the VMM's own accesses */
void missing_test_several(
	const struct missing_options *o); /* lab/missing_races.c: vCPUs together */
void missing_test_together(const struct missing_options *o); /* each of which exits */
void missing_test_storms(const struct missing_options *o);
void missing_fault(const struct missing_options *o); /* lab/missing_fault.c: what a fault costs */
void missing_rate(const struct missing_options *o);  /* lab/missing_rate.c: demand paging */
void missing_trace(const struct missing_options *o); /* lab/missing_trace.c: for a timeline */

#endif
