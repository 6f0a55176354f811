# SPDX-License-Identifier: GPL-2.0-only
"""What ./stillpoint compare runs, and which figure stands beside which.

A metric of the same name and parameters is the same promise on both sides, and pairs by itself. Where
the sides have different ways to the same end, PAIRS says which stands beside which. NOTES says of every
metric how far the comparison goes; what one side cannot have, ABSENT says why.
"""

from dataclasses import dataclass

SIDES = ("stillpoint", "stock", "patched")
SIDE_NAMES = {"stillpoint": "Stillpoint", "stock": "stock KVM", "patched": "patched KVM"}

# Parameters that say where a figure comes from, not what it is of.
WHERE = ("on", "cpus", "kernel")


@dataclass(frozen=True)
class Step:
    """One run of each side: a folder's name, the words of its command line, the machine."""
    name: str
    words: tuple
    cpus: int
    mem: int = 512
    own: tuple = ()  # further words for Stillpoint, which has a choice where KVM has none

    @property
    def experiment(self):
        return self.words[0]


# Each with as many CPUs as its question needs.
STEPS = (
    Step("exits", ("exits",), 1),
    Step("kick", ("kick",), 2),
    Step("pause", ("pause",), 2, own=("pause", "zap=all", "do=measure")),
    Step("pause-many", ("pause", "do=measure"), 8, own=("pause", "zap=all", "do=measure")),
    Step("wait", ("wait",), 2),
    Step("apic-page", ("apic", "do=check"), 3),
    Step("apic-ladder", ("apic", "do=ladder"), 3),
    Step("apic-storm", ("apic", "do=storm"), 3),
    Step("missing-check", ("missing", "do=check"), 3),
    Step("missing-fault", ("missing", "do=fault"), 2),
    Step("missing-rate", ("missing", "do=rate"), 8),
)

# What the table on the terminal is made of; the page has all.
MAIN = ("exits.cpuid", "exits.vmcall", "exits.pio_vmm", "exits.mem_refault", "kick.roundtrip", "pause.cycle",
        "pause.replace", "pause.refault", "pause.total", "pause.missing", "wait.wake", "wait.spin", "wait.lost",
        "apic.ipi", "apic.move", "apic.reload", "apic.move_flushes", "apic.raw_bytes", "apic.lost", "missing.fault",
        "missing.rate")

# How far a comparison goes: a ratio is shown for the first two only.
SAME, LIKE, BUGS, APART = "same", "with care", "none or some", "not comparable"
KINDS = {
    SAME: "the same guest code, timed by the guest's own TSC: both sides do the same for it",
    LIKE: "the same promise, kept by different parties: see the note",
    BUGS: "something that must not happen: what counts is whether it did, and no ratio is formed",
    APART: "the same name for different amounts of work: shown, and no ratio formed",
}


@dataclass(frozen=True)
class Note:
    kind: str
    words: str


PROCESS = "KVM's VMM is a process with a system call and a ring to cross, Stillpoint's a thread of the hypervisor"

# By metric, or by the beginning of its name up to a dot.
NOTES = {
    "exits.floor_guest_loop": Note(SAME, "no exit at all: the loop around the others, and a check of the clocks"),
    "exits.rdtsc": Note(SAME, "no exit on either side"),
    "exits.cpuid": Note(SAME, "one exit, answered in the hypervisor; KVM looks up a table that its user gave it"),
    "exits.cpuid_loop": Note(SAME, "the same loop with nothing else in it"),
    "exits.vmcall": Note(SAME, "one exit; neither side knows the hypercall, and both say so"),
    "exits.pio_vmm": Note(LIKE, PROCESS),
    "exits.pio_board": Note(LIKE, "the board is the same C code; " + PROCESS),
    "exits.pio_board_out": Note(LIKE, "the board is the same C code; " + PROCESS),
    "exits.mem_fault": Note(APART, "Stillpoint zeroes 2 MiB when a block is first touched, Linux 4 KiB, or 2 MiB "
                            "where it has a huge page"),
    "exits.mem_refault": Note(LIKE, "a mapping is dropped and faulted in again: by the owner of the memory on "
                              "Stillpoint, by madvise() and an MMU notifier on KVM"),
    "exits": Note(SAME, "one instruction that exits, answered in the hypervisor"),
    "kick.floor": Note(LIKE, "nobody is in a guest: an NMI to a CPU here, membarrier()'s interrupt there"),
    "kick.storm": Note(LIKE, "ticks per request: most find the vCPU on its way out already"),
    "kick.events": Note(LIKE, "how many events the guest took, of those sent under fire: all, on both sides"),
    "kick.window": Note(APART, "where a request was seen: the windows are the run loop's own"),
    "kick": Note(LIKE, "until the vCPU's thread has taken the request: a function call here, pthread_kill() and "
                 "the return from KVM_RUN there"),
    "pause.cycle": Note(LIKE, "stop all vCPUs and let them go. By signals the VMM does it vCPU by vCPU, in its "
                        "process; kick-all is two ioctls"),
    "pause.replace": Note(LIKE, "a slot deleted and created. KVM zaps all second-level tables of the VM and waits "
                          "for two SRCU grace periods, Stillpoint zaps the slot's range"),
    "pause.refault": Note(LIKE, "every vCPU touches all of the slot once. KVM also has the process's page tables "
                          "to look into, and builds what else was zapped"),
    "pause.total": Note(LIKE, "change and refaults together: what the guest sees of it"),
    "pause.missing": Note(BUGS, "accesses of a guest to RAM that came out as MMIO: each is a bug of the way"),
    "pause.changes": Note(APART, "how many changes were made while it was measured"),
    "pause": Note(LIKE, "a part of the above; the parts are cut where each side's code has its seams"),
    "wait.wake": Note(LIKE, "from the call that posts the event until who waits for it runs. On KVM poll() and "
                      "KVM_RUN are system calls, and the sleeper is a task that Linux schedules"),
    "wait.spin": Note(LIKE, "one round of a VMM that does not let its vCPU take the event"),
    "wait.lost": Note(BUGS, "events that nobody took although somebody slept for them: each is a bug of the way"),
    "wait": Note(LIKE, "counts of the same loop; how many wakes an event takes is the scheduler's choice as well"),
    "apic.op": Note(SAME, "one access of the guest to its local APIC"),
    "apic.ipi": Note(SAME, "from before the sender writes its ICR until it sees that the handler has run"),
    "apic.exits": Note(SAME, "exits of the operation because of the APIC, in all samples"),
    "apic.move": Note(LIKE, "backing_move() here; there Linux unmaps or migrates the page of the process, with "
                      "all that its memory management does besides"),
    "apic.reload": Note(LIKE, "what a reload adds to a vCPU's pause for a kick, by the guest's own clock: with the "
                        "wait for the end of the move, which is longer where a move is"),
    "apic.reload_pause": Note(LIKE, "the longest pause of the guest, by its own clock, while the page moves"),
    "apic.kick_pause": Note(SAME, "the longest pause of the guest, by its own clock, for a kick about nothing"),
    "apic.raw_bytes": Note(BUGS, "registers that were read as the page's raw bytes: each is a bug of the way"),
    "apic.lost": Note(BUGS, "IPIs that did not arrive: each is a bug of the way"),
    "apic.duplicated": Note(BUGS, "IPIs that arrived twice: each is a bug of the way"),
    "apic": Note(LIKE, "counts of a storm: how many fit in depends on what a move costs there"),
    "missing.copy": Note(APART, "copying 4 KiB: a loop here; there one REP MOVSB of the C library's, which Bochs "
                         "counts as one instruction"),
    "missing.fault": Note(LIKE, "beyond the copy. " + PROCESS),
    "missing.fault_part": Note(LIKE, "thereof; a second pass, with looks at the clock in it"),
    "missing.present": Note(SAME, "memory that is there: what the flag costs where nothing is missing"),
    "missing.refault": Note(SAME, "one page that is there, mapped by its first touch"),
    "missing.rate": Note(LIKE, "pages per million ticks. Compare how it grows, not how high it is: "
                         "see missing.fault"),
    "missing.per_vcpu": Note(SAME, "percent of what one vCPU gets alone"),
    "missing": Note(LIKE, "where the queue's time goes"),
    "boot.first_guest": Note(APART, "from power-on to the first guest instruction: Linux boots a whole system"),
    "boot.wall_ms": Note(APART, "wall time of the emulator, on whatever computer this is"),
    "boot.init": Note(APART, "from power-on to Linux's first program"),
    "image.bytes": Note(APART, "the whole hypervisor here, a trimmed Linux kernel there"),
    "mem": Note(APART, "there is no process below Stillpoint and no kernel to share"),
}


@dataclass(frozen=True)
class Pair:
    """Figures that stand beside each other although their parameters differ.

    A side is a dict of the parameters that choose its figure, or the reason why it has none. What
    other parameters there are makes a row each.
    """
    metrics: tuple
    label: str
    stillpoint: object
    stock: object
    patched: object

    def of(self, side):
        return getattr(self, side)


NO_HOLD = "a kernel without KVM_CAP_KICK_ALL_VCPUS"
NO_MISSING = "a kernel without KVM_CAP_EXIT_ON_MISSING"
NO_POLL = "a kernel without KVM_CAP_VCPU_POLL"
NO_STATE = "a kernel without KVM_CAP_MP_STATE_HALTED_USERSPACE"
BY_SIGNAL = {"way": "signal"}
CHANGES = ("pause.replace", "pause.replace_evict", "pause.replace_resume", "pause.refault", "pause.refault_page",
           "pause.total", "pause.missing", "pause.changes")
HEARS = ("missing.fault", "missing.fault_part", "missing.rate", "missing.per_vcpu")
WAITS = ("wait.wake", "wait.spin", "wait.lost", "wait.spurious", "wait.events", "wait.wakes")

BY_FLUSH = ("apic.move", "apic.move_flushes", "apic.reload", "apic.reload_pause", "apic.kick_pause")

PAIRS = (
    Pair(("kick.roundtrip", "kick.leave", "kick.requests", "kick.left", "kick.storm"), "an NMI; a signal",
         {"transport": "nmi"}, {"transport": "signal"}, {"transport": "signal"}),
    Pair(("kick.oneway",), "an NMI; a request of KVM's own",
         {"transport": "nmi"}, {"transport": "request"}, {"transport": "request"}),
    Pair(("pause.cycle",), "all vCPUs at once", {}, NO_HOLD, {"way": "kick_all"}),
    Pair(CHANGES, "paused: all vCPUs at once", {"way": "paused"}, NO_HOLD, {"way": "kick_all"}),
    Pair(CHANGES, "each vCPU asked to leave", {"way": "one-by-one"}, BY_SIGNAL, BY_SIGNAL),
    Pair(CHANGES, "live: nobody stops", {"way": "live"}, {"way": "live"}, {"way": "live"}),
    Pair(CHANGES, "atomic: both sets of slots in one step", {"way": "atomic"},
         "KVM changes one slot at a time", "KVM changes one slot at a time"),
    Pair(WAITS, "a poll that cannot lose (sequence)", {"variant": "sequence"}, NO_POLL, {"variant": "sequence"}),
    Pair(WAITS, "halted in userspace (MP state)", {"variant": "mpstate"}, NO_STATE, {"variant": "mpstate"}),
    Pair(WAITS, "the flag as it was posted", {"variant": "posted"}, NO_POLL, {"variant": "posted"}),
    Pair(HEARS, "queue: a handler serves all", {"way": "queue"}, {"way": "uffd"}, {"way": "uffd"}),
    Pair(HEARS, "exit: the vCPU's own thread brings it", {"way": "exit"}, NO_MISSING, {"way": "exit"}),
    Pair(HEARS, "bitmap: the same, and a bit per page", {"way": "bitmap"},
         "KVM Userfault is not in the series", "KVM Userfault is not in the series"),
    Pair(BY_FLUSH, "one flush, by who takes the page away", {"flush": "zap"},
         "stock KVM 6.1 flushes in the reload as well", {"flush": "zap"}),
    Pair(BY_FLUSH, "and once more in every reload", {"flush": "both"}, {"flush": "both"}, {"flush": "both"}),
    Pair(BY_FLUSH, "left to the reload (wrong)", {"flush": "reload"}, "no kernel does this", "no kernel does this"),
)

NO_XSAVE = "the guest has no XSAVE: on this CPU model of Bochs Linux has to run with noxsave"

# Metrics of one side: why the other one has none. By metric or beginning, as NOTES.
ABSENT = {
    "stillpoint": {
        "kvm": "counted by KVM itself",
        "kick.exits": "counted by KVM itself",
        "pause.delete": "a list of changes is one call",
        "pause.create": "a list of changes is one call",
        "boot.init": "there is no first program: the image is the hypervisor and its experiments",
        "": "a way that only a process has",
    },
    "kvm": {
        "exits.floor": "the smallest handler in C is a part of Stillpoint; KVM's exit path has no such shortcut",
        "exits.cpuid_vmcs_accesses": "counted by single-stepping the path, which only Stillpoint can do to itself",
        "exits.cpuid_instructions": "counted by single-stepping the path, which only Stillpoint can do to itself",
        "exits.cr4": NO_XSAVE,
        "exits.xsetbv": NO_XSAVE,
        "pause.zap": "KVM does not report the parts of a change: see pause.delete and pause.create",
        "pause.flush": "KVM does not report the parts of a change: see pause.delete and pause.create",
        "pause.free": "KVM does not report the parts of a change: see pause.delete and pause.create",
        "pause.replace_drain": "KVM does not report the parts of a change: see pause.delete and pause.create",
        "pause.kick": "KVM does not report the parts of a pause: see pause.evict",
        "pause.drain": "KVM does not report the parts of a pause: see pause.evict",
        "kick.window": "the windows of Stillpoint's own run loop",
        "apic.stall": "a choice of Stillpoint's (stall=); KVM has one way",
        "apic.retry": "needs an invalidation that is held open: no interface of Linux does that",
        "apic.entries_tried": "needs an invalidation that is held open: no interface of Linux does that",
        "missing.queue": "userfaultfd's queue is inside the kernel",
        "mem": "there is no process below Stillpoint and no kernel to share",
        "image": "the image of Stillpoint",
        "boot.wall_ms": "measured up to the first guest instruction, which the console of Linux does not tell",
    },
}


# Where a SKIP of a side says why: metric or beginning, parameters, what the skipped test's name has in it.
SKIPPED = (
    ("kick", {"state": "guest"}, "interrupts disabled"),
)


# Values of a parameter that only one side knows.
WAYS_OF_ONE = {
    ("transport", "immediate_exit"): "a way of a process: run->immediate_exit, and a signal",
    ("transport", "ipi"): "Stillpoint's own choice of interrupt; KVM always sends its reschedule IPI",
    ("transport", "timer"): "Stillpoint only: no kick at all, the vCPU looks now and then",
    ("way", "immediate_exit"): "a way of a process: run->immediate_exit, and a signal",
    ("zap", "range"): "KVM 6.1 drops all translations of the VM: compare zap=all",
    ("stall", "bail"): "a choice of Stillpoint's; KVM requests again",
    **{("rung", rung): "KVM uses one rung: all of them with APICv, the TPR shadow alone without"
       for rung in ("emulate", "tpr", "access", "register", "delivery", "x2apic")},
    ("variant", "run"): "Stillpoint's keeper waits outside of vcpu_run(), or in its MP state",
}


@dataclass(frozen=True)
class Knob:
    """A fix that can be switched off: its parameter, what happens then."""
    name: str  # module.parameter; the tests that see it name the parameter
    without: str

    @property
    def parameter(self):
        return self.name.split(".")[1]


KNOBS = (
    Knob("kvm.break_missing_annotation", "the exit for a missing page says nothing of the page"),
    Knob("kvm.break_missing_lookup", "only pages that can be written are found: a page of zeroes stays missing"),
    Knob("kvm.break_hold", "vCPUs are interrupted, and neither waited for nor held off"),
    Knob("kvm.break_hold_pagein", "who waits for a page is not woken: the pause waits for the page"),
    Knob("kvm_intel.break_apic_retry", "a reload writes what it has found, whatever is in progress"),
    Knob("kvm_intel.break_apic_flush", "every reload flushes once more: nothing fails, and it is measured"),
    Knob("kvm.break_poll", "the flag of the RFC: set in kvm_vcpu_kick(), cleared just before the entry"),
)

# What no figure of the page can tell.
NOT_COMPARABLE = (
    ("A tick is an instruction, not a nanosecond",
     "Bochs executes one instruction per tick and CPU. There are no caches, no TLB misses, no pipeline, and a VM "
     "exit costs what one instruction costs; on hardware it costs as much as hundreds. What costs few "
     "instructions and many cycles (exits, IPIs, TLB flushes, atomic operations on a shared line) is shown too "
     "cheap on both sides, and KVM's long paths too dear beside its exits."),
    ("A process and a thread",
     "KVM's VMM is a process: each turn is a system call, a return to user mode and, where it sleeps, Linux's "
     "scheduler. Stillpoint's is a thread of the hypervisor, with no ring to cross. Where a turn through the VMM is "
     "part of a figure, the ratio says what a general-purpose kernel costs, not how good the idea is: that is in "
     "the difference between two ways on one side."),
    ("What is thrown away",
     "Deleting a slot, KVM 6.1 drops all second-level tables of the VM; Stillpoint drops those of the slot (zap=all "
     "makes it do as KVM). What has to be built again afterwards is therefore more on KVM, whatever the pausing "
     "costs."),
    ("Work that only one side does",
     "Linux accounts, checks for signals, rescheduling and RCU on its way, updates steal time and saves FPU state; "
     "mitigations are configured off. Stillpoint does none of that and could not be used for what KVM is used for."),
    ("The local APIC",
     "KVM uses APICv, and with it the APIC-access page, only where there are posted interrupts, and Bochs has none. A "
     "parameter that is not meant for anybody else lets the patched kernel use APICv there all the same; stock KVM "
     "decodes every access to its local APIC in xAPIC mode. Posted interrupts exist on neither side."),
    ("Interleavings",
     "With several CPUs Bochs lets each execute five instructions in turn. The same image gives the same order "
     "every time; that nothing was lost in a run says that nothing was lost in that order. The models, the stress "
     "programs and the switched-off variants say more."),
)


def note_of(metric):
    """The Note of a metric: its own, or that of the beginning of its name; None when nobody wrote one."""
    return NOTES.get(metric) or NOTES.get(metric.split(".")[0])


def absent_words(side, metric):
    """Why this side has no such metric, as far as the table knows; None otherwise."""
    table = ABSENT["stillpoint" if side == "stillpoint" else "kvm"]
    found = [key for key in table if key and metric.startswith(key)]
    return table[max(found, key=len)] if found else None
