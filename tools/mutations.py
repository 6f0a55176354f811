# SPDX-License-Identifier: GPL-2.0-only
"""The mutations that tools/mutate.py makes. Edits are (file, text that is there once, new text).

Where the order of two steps is what is wrong, a cpu_relax() between them makes the window wide, so
that being caught does not hang on luck (tools/mutate.py --strength NAME).
"""

TITLES = {
    "kick": "Entry and kick",
    "wait": "Waiting for events",
    "pause": "Pause and readers",
    "memory": "Slots, backings, second-level tables",
    "missing": "Missing pages",
    "page": "The APIC-access page",
    "lapic": "The local APIC",
}

MUTATIONS = [
    {
        "name": "entry-fence",
        "group": "kick",
        "what": "the full fence between mode = IN_GUEST and the look at requests is gone: both "
                "sides read what was there before",
        "edits": [(
            "hv/vm/run.c",
            "old = atomic_exchange_explicit(&vcpu->mode, IN_GUEST_MODE, memory_order_seq_cst);",
            "old = atomic_load_explicit(&vcpu->mode, memory_order_relaxed);\n"
            "\t\tatomic_store_explicit(&vcpu->mode, IN_GUEST_MODE, memory_order_release);",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "kicker-fence",
        "group": "kick",
        "what": "the kicker publishes the request with a plain store and reads mode with a plain "
                "load before it exchanges it",
        "edits": [(
            "hv/vm/kick.c",
            "\tatomic_fetch_or_explicit(&vcpu->requests, req, memory_order_seq_cst);",
            "\tatomic_store_explicit(&vcpu->requests,\n"
            "\t\t\t      atomic_load_explicit(&vcpu->requests, memory_order_relaxed) | req,\n"
            "\t\t\t      memory_order_release);",
        ), (
            "hv/vm/kick.c",
            "\t*mode = IN_GUEST_MODE;\n",
            "\t*mode = atomic_load_explicit(&vcpu->mode, memory_order_acquire);\n"
            "\tif (*mode != IN_GUEST_MODE)\n"
            "\t\treturn 0;\n",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "look-before-mode",
        "group": "kick",
        "what": "requests are looked at before mode says IN_GUEST: a kicker in between sends "
                "nothing",
        "edits": [(
            "hv/vm/run.c",
            "\t\tatomic_store_explicit(&cpu->entry_barred, 0, memory_order_relaxed);\n",
            "\t\tbool early = must_not_enter(vcpu, cpu);\n"
            "\t\tatomic_store_explicit(&cpu->entry_barred, 0, memory_order_relaxed);\n",
        ), (
            "hv/vm/run.c",
            "if (likely(!must_not_enter(vcpu, cpu))) {",
            "if (likely(!early)) {",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "clear-late",
        "group": "kick",
        "what": "entry_barred is cleared after the look at requests: an NMI in between is forgotten",
        "edits": [(
            "hv/vm/run.c",
            "\t\tatomic_store_explicit(&cpu->entry_barred, 0, memory_order_relaxed);\n",
            "",
        ), (
            "hv/vm/run.c",
            "\t\t\treason = vmx_enter(&vcpu->vmx);\n",
            "\t\t\tatomic_store_explicit(&cpu->entry_barred, 0, memory_order_relaxed);\n"
            "\t\t\treason = vmx_enter(&vcpu->vmx);\n",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "sleep-unchecked",
        "group": "kick",
        "what": "a halted vCPU's thread sleeps without looking again after it has queued itself",
        "edits": [(
            "hv/vm/block.c",
            "\tif (vcpu_may_sleep(vcpu))\n\t\twait_sleep(&w);",
            "\tif (true)\n\t\twait_sleep(&w);",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "kick-no-wake",
        "group": "kick",
        "what": "a kick does not wake a vCPU's thread that sleeps in HLT",
        "edits": [(
            "hv/vm/kick.c",
            "\tif (!wait_queue_active(&vcpu->wq) || !wake_all(&vcpu->wq))",
            "\tif (true)",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "mode-stays",
        "group": "kick",
        "what": "mode is not set back after an exit: nobody can tell a vCPU that has left from one "
                "that is inside",
        "edits": [(
            "hv/vm/run.c",
            "\t\tatomic_store_explicit(&vcpu->mode, OUTSIDE_GUEST_MODE, memory_order_release);\n",
            "",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "no-iret",
        "group": "kick",
        "what": "no IRET after the exit for an NMI: the next kick's NMI stays blocked",
        "edits": [("vmx/enter.c", "\tnmi_iret();\n", "")],
        "catcher": "run nmi --cpus 2",
    },
    {
        "name": "no-nmi-fixup",
        "group": "kick",
        "what": "an NMI between the last look and VMRESUME is handled, and the entry goes on",
        "edits": [(
            "vmx/entry.S",
            "\t.quad\t.Lwindow\\@, .Lwindow_end\\@, \\barred",
            "\t.quad\t0, 0, \\barred",
        )],
        "catcher": "run nmi --cpus 2",
    },
    {
        "name": "no-last-look",
        "group": "kick",
        "what": "the last look at entry_barred before VMRESUME is left out",
        "edits": [(
            "vmx/entry.S",
            "\tcmpl\t$0, %gs:CPU_ENTRY_BARRED\n\tjne\t\\barred\n",
            "",
        )],
        "catcher": "run nmi --cpus 2",
    },

    # --- waiting ---------------------------------------------------------------------------------
    {
        "name": "waiter-unchecked",
        "group": "wait",
        "what": "a waiter sleeps without looking again after it has queued itself",
        "edits": [(
            "hv/vm/wait.c",
            "\trace_point();\n\tready = look(set, n);\n\trace_point();\n",
            "\tready = 0;\n",
        )],
        "catcher": "stress wait",
    },
    {
        "name": "event-early",
        "group": "wait",
        "what": "the event sequence is advanced before the event is visible",
        "edits": [(
            "hv/vm/lapic.c",
            "\tatomic_fetch_or_explicit(&l->posted[vector / 64], bit, memory_order_seq_cst);\n",
            "\tatomic_fetch_add(&vcpu->event_seq, 1);\n\tcpu_relax();\n"
            "\tatomic_fetch_or_explicit(&l->posted[vector / 64], bit, memory_order_seq_cst);\n",
        ), (
            "hv/vm/kick.c",
            "\tatomic_fetch_add_explicit(&vcpu->event_seq, 1, memory_order_seq_cst);\n",
            "",
        )],
        "catcher": "stress wait",
    },
    {
        "name": "seen-after-look",
        "group": "wait",
        "what": "what an entry has seen is read after the look at pending events, not before",
        "edits": [(
            "hv/vm/inject.c",
            "\tif (deliver(vcpu))\n"
            "\t\tatomic_store_explicit(&vcpu->seen_seq, seq, memory_order_release);\n",
            "\tif (deliver(vcpu)) {\n"
            "\t\tcpu_relax();\n"
            "\t\tseq = atomic_load_explicit(&vcpu->event_seq, memory_order_seq_cst);\n"
            "\t\tatomic_store_explicit(&vcpu->seen_seq, seq, memory_order_release);\n"
            "\t}\n",
        ), (
            "hv/vm/kick.c",
            "\tatomic_fetch_add_explicit(&vcpu->event_seq, 1, memory_order_seq_cst);\n",
            "\tatomic_fetch_add_explicit(&vcpu->event_seq, 1, memory_order_seq_cst);\n"
            "\tfor (int i = 0; i < 8; i++)\n\t\tcpu_relax();\n",
        )],
        "catcher": "stress wait",
    },
    {
        "name": "leave-seen",
        "group": "wait",
        "what": "an event that was injected, but whose entry was barred by a request to leave, "
                "counts as seen",
        "edits": [(
            "hv/vm/run.c",
            "\tvcpu_leave_events(vcpu);\n\treturn -EINTR;",
            "\treturn -EINTR;",
        )],
        "catcher": "stress wait",
    },
    {
        "name": "leave-masked",
        "group": "wait",
        "what": "the same for an event that a handler's EOI has made deliverable since the look",
        "edits": [(
            "hv/vm/inject.c",
            "\tif (!vcpu_has_event(vcpu, &takes))\n\t\treturn;",
            "\tif (!vmx_event_waits(&vcpu->vmx))\n\t\treturn;",
        )],
        "catcher": "stress wait",
    },
    {
        "name": "queue-fence",
        "group": "wait",
        "what": "a waiter is counted with a plain store: the waker, which looks at the count "
                "without the lock, may see none while the waiter sees no event",
        "edits": [(
            "hv/host/wait.c",
            "\tatomic_fetch_add_explicit(&q->nr, 1, memory_order_seq_cst);",
            "\tatomic_store_explicit(&q->nr, atomic_load_explicit(&q->nr, memory_order_relaxed) + 1,"
            "\n\t\t\t      memory_order_relaxed);",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "event-no-wake",
        "group": "wait",
        "what": "an event kicks the vCPU, and does not wake who waits for its events",
        "edits": [(
            "hv/vm/kick.c",
            "\tif (likely(vcpu->vm->wait == WAIT_SEQUENCE))\n\t\twait_wake(vcpu);\n",
            "",
        )],
        "catcher": "stress wait",
    },
    {
        "name": "handed-over-seen",
        "group": "wait",
        "what": "with virtual-interrupt delivery: what was handed over to the CPU, and the guest has "
                "not taken, counts as seen",
        "edits": [(
            "hv/vm/wait.c",
            "\treturn is_handed_over(vcpu) ? gone | WAIT_EVENT : gone;",
            "\t(void)is_handed_over;\n\treturn gone;",
        )],
        "catcher": "unit wait",
    },
    {
        "name": "leave-handed-over",
        "group": "wait",
        "what": "the same for a vCPU that is asked to leave: its interrupt flag decides",
        "edits": [(
            "hv/vm/inject.c",
            "\tvcpu_would_take(vcpu, vmx_apic_delivers(&vcpu->vmx), &takes);",
            "\tvcpu_would_take(vcpu, false, &takes);",
        )],
        "catcher": "unit wait",
    },

    # --- pause -----------------------------------------------------------------------------------
    {
        "name": "evict-unwaited",
        "group": "pause",
        "what": "a pause sends its kicks and does not wait until the vCPUs are outside",
        "edits": [(
            "hv/vm/pause.c",
            "\terr = wait_evicted(vm, deadline, r->why, sizeof(r->why));",
            "\terr = 0;",
        )],
        "catcher": "stress pause",
    },
    {
        "name": "pause-no-kick",
        "group": "pause",
        "what": "a pause raises the hold and kicks nobody: a guest that does not exit stays inside",
        "edits": [("hv/vm/pause.c", "\trace_point();\n\tvm_kick_all(vm, true);\n", "")],
        "catcher": "stress pause",
    },
    {
        "name": "pause-no-wake",
        "group": "pause",
        "what": "a pause leaves threads asleep that wait in HLT or for a page",
        "edits": [(
            "hv/vm/pause.c",
            "\trace_point();\n\tvm_kick_all(vm, true);\n",
            "\trace_point();\n\tvm_kick_all(vm, false);\n",
        )],
        "catcher": "stress pause",
    },
    {
        "name": "gate-open",
        "group": "pause",
        "what": "a reader begins its section without a look at the hold",
        "edits": [(
            "hv/vm/internal.h",
            "\tif (likely(!atomic_load_explicit(&vm->hold, memory_order_seq_cst)) || "
            "!gate_closed(vm))\n\t\treturn true;",
            "\tif (true)\n\t\treturn true;",
        )],
        "catcher": "stress pause",
    },
    {
        "name": "readers-undrained",
        "group": "pause",
        "what": "a pause does not wait for the sections that are open",
        "edits": [(
            "hv/vm/pause.c",
            "\terr = wait_drained(vm, deadline, r->why, sizeof(r->why));",
            "\t(void)wait_drained;\n\terr = 0;",
        )],
        "catcher": "stress pause",
    },
    {
        "name": "reader-fence",
        "group": "pause",
        "what": "a reader counts itself in with a plain store: it and the pause each miss the other",
        "edits": [(
            "hv/vm/internal.h",
            "\tatomic_fetch_add_explicit(&r->cpu[cpu].open[p], 1, memory_order_seq_cst);",
            "\tatomic_store_explicit(&r->cpu[cpu].open[p],\n"
            "\t\t\t      atomic_load_explicit(&r->cpu[cpu].open[p], memory_order_relaxed) + 1,\n"
            "\t\t\t      memory_order_relaxed);",
        )],
        "catcher": "stress pause",
    },
    {
        "name": "resume-all",
        "group": "pause",
        "what": "the first resume lets the VM go on, though others hold it",
        "edits": [(
            "hv/vm/pause.c",
            "\tatomic_fetch_sub_explicit(&vm->hold, 1, memory_order_seq_cst);",
            "\tatomic_store_explicit(&vm->hold, 0, memory_order_seq_cst);",
        )],
        "catcher": "stress pause",
    },
    {
        "name": "new-vcpu-unheld",
        "group": "pause",
        "what": "the first entry of a vCPU does not look at the hold",
        "edits": [(
            "hv/vm/run.c",
            "\t       atomic_load_explicit(&vcpu->vm->hold, memory_order_seq_cst) |",
            "\t       (vcpu->vmx.flushed_gen ?\n"
            "\t\t\tatomic_load_explicit(&vcpu->vm->hold, memory_order_seq_cst) : 0) |",
        )],
        "catcher": "stress pause",
    },
    {
        "name": "resume-no-wake",
        "group": "pause",
        "what": "the last resume does not wake who sleeps until then",
        "edits": [(
            "hv/vm/pause.c",
            "\tif (last && wait_queue_active(&vm->resumed))\n\t\twake_all(&vm->resumed);\n",
            "\t(void)last;\n",
        )],
        "catcher": "stress pause",
    },

    # --- memory ----------------------------------------------------------------------------------
    {
        "name": "no-flush",
        "group": "memory",
        "what": "translations are taken out of the tables, and TLBs keep them",
        "edits": [(
            "hv/vm/kick.c",
            "\tgen = vmx_vm_stale(&vm->vmx);",
            "\tgen = atomic_load(&vm->vmx.flush_gen);",
        )],
        "catcher": "stress invalidate",
    },
    {
        "name": "flush-no-kick",
        "group": "memory",
        "what": "the flush generation is advanced, and vCPUs that are in the guest are not kicked",
        "edits": [("hv/vm/kick.c", "\trace_point();\n\tvm_kick_all(vm, false);\n", "")],
        "catcher": "stress invalidate",
    },
    {
        "name": "flush-unwaited",
        "group": "memory",
        "what": "the flush sends its kicks and does not wait",
        "edits": [(
            "hv/vm/kick.c",
            "\tnr = atomic_load_explicit(&vm->nr_vcpus, memory_order_acquire);\n\tfor",
            "\tnr = 0;\n\tfor",
        )],
        "catcher": "stress invalidate",
    },
    {
        "name": "seq-late",
        "group": "memory",
        "what": "a fault reads the invalidate sequence after it has found its page, not before",
        "edits": [(
            "hv/vm/fault.c",
            "\tspin_lock(&vm->vmx.lock);\n\tif (unlikely(seq_retry(vm, gpa, seq)))",
            "\tseq = seq_read(vm);\n"
            "\tspin_lock(&vm->vmx.lock);\n\tif (unlikely(seq_retry(vm, gpa, seq)))",
        )],
        "catcher": "stress invalidate",
    },
    {
        "name": "retry-ignored",
        "group": "memory",
        "what": "a fault maps what it has found, whatever has been invalidated meanwhile",
        "edits": [(
            "hv/vm/fault.c",
            "\tif (unlikely(seq_retry(vm, gpa, seq)))",
            "\tif (unlikely(seq > ~1ull))",
        )],
        "catcher": "stress invalidate",
    },
    {
        "name": "in-progress-ignored",
        "group": "memory",
        "what": "only the sequence is compared: an invalidation that has begun and not ended is "
                "not noticed",
        "edits": [(
            "hv/vm/internal.h",
            "\tif (unlikely(atomic_load_explicit(&i->in_progress, memory_order_relaxed)) &&\n"
            "\t    gpa >= i->start && gpa < i->end)\n\t\treturn true;\n",
            "",
        )],
        "catcher": "stress invalidate",
    },
    {
        "name": "exchange-early",
        "group": "memory",
        "what": "a page is copied and exchanged before the flush: writes through old translations "
                "are not in the copy",
        "edits": [(
            "hv/vm/backing_move.c",
            "\terr = zap(m);\n\trace_point();\n",
            "\terr = zap(m);\n\trace_point();\n\tif (!err)\n\t\tmove_exchange(m);\n",
        ), (
            "hv/vm/backing_move.c",
            "\trace_point();\n\tif (!err && !m->hide)\n\t\tmove_exchange(m);\n\trace_point();\n"
            "\tend(m);",
            "\trace_point();\n\tend(m);",
        )],
        "catcher": "stress invalidate",
    },
    {
        "name": "exit-relaxed",
        "group": "memory",
        "what": "mode = OUTSIDE after an exit releases nothing: what the guest did is not ordered "
                "before what a flush that has seen it does next",
        "edits": [(
            "hv/vm/run.c",
            "atomic_store_explicit(&vcpu->mode, OUTSIDE_GUEST_MODE, memory_order_release);",
            "atomic_store_explicit(&vcpu->mode, OUTSIDE_GUEST_MODE, memory_order_relaxed);",
        )],
        "catcher": "stress invalidate",
    },
    {
        "name": "section-relaxed",
        "group": "memory",
        "what": "the end of a read section releases nothing: its reads are not ordered before the "
                "slot is freed",
        "edits": [(
            "hv/vm/internal.h",
            "\tatomic_fetch_sub_explicit(&vm->readers.cpu[this_cpu()->id].open[phase], 1,\n"
            "\t\t\t\t  memory_order_release);",
            "\tatomic_fetch_sub_explicit(&vm->readers.cpu[this_cpu()->id].open[phase], 1,\n"
            "\t\t\t\t  memory_order_relaxed);",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "free-early",
        "group": "memory",
        "what": "table pages that were unlinked are free for others before the flush",
        "edits": [(
            "hv/vm/slots_step.c",
            "#include \"hv/host/chaos.h\"\n",
            "#include \"hv/host/chaos.h\"\n#include \"hv/host/relax.h\"\n",
        ), (
            "hv/vm/slots_step.c",
            "\tint err = vm_flush(vm, start + tsc_hz);\n",
            "\tint err;\n\n"
            "\tif (tables) {\n"
            "\t\tspin_lock(&vm->vmx.lock);\n"
            "\t\tept_free_detached(&vm->vmx.ept, tables);\n"
            "\t\tspin_unlock(&vm->vmx.lock);\n"
            "\t\ttables = NULL;\n"
            "\t\tfor (int i = 0; i < 8; i++)\n\t\t\tcpu_relax();\n"
            "\t}\n"
            "\terr = vm_flush(vm, start + tsc_hz);\n",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "zap-short",
        "group": "memory",
        "what": "the last page of a slot that goes keeps its translation",
        "edits": [(
            "hv/vm/slots_step.c",
            "\t\treturn ept_unmap(ept, e->gpa, e->len);",
            "\t\treturn ept_unmap(ept, e->gpa, e->len - PAGE_SIZE);",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "publish-early",
        "group": "memory",
        "what": "the new slots are published before the old translations are gone, and outside of "
                "the invalidation",
        "edits": [(
            "hv/vm/slots_step.c",
            "\tbegin(w->vm, s);\n",
            "\tactivate(w->vm, new);\n\tbegin(w->vm, s);\n",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "publish-half",
        "group": "memory",
        "what": "SLOTS_ATOMIC makes its items visible one after the other",
        "edits": [(
            "hv/vm/slots_change.c",
            "\tif (made && way == SLOTS_ATOMIC)\n\t\terr = apply_at_once(w);",
            "\tif (made && way == SLOTS_ATOMIC)\n"
            "\t\terr = w->n > 1 ? apply_one_by_one(w, false) : apply_at_once(w);",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "grace-skipped",
        "group": "memory",
        "what": "old slots are edited and freed without waiting for the readers that have found "
                "them",
        "edits": [(
            "hv/vm/slots_step.c",
            "\tactivate(w->vm, new);\n\terr = drain(w);",
            "\tactivate(w->vm, new);\n\terr = 0;",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "slot-freed-early",
        "group": "memory",
        "what": "a slot that goes lets go of its backing before the readers are gone",
        "edits": [(
            "hv/vm/slots_step.c",
            "\tif (!err)\n\t\terr = publish(w, s, new, old);",
            "\tfor (unsigned int i = 0; i < s->n && !err && !s->back; i++)\n"
            "\t\tif (s->edit[i].op == SLOT_DELETE && s->edit[i].out[0]) {\n"
            "\t\t\tbacking_get(s->edit[i].out[0]->backing);\n"
            "\t\t\tslot_set_remove(old, s->edit[i].out[0]);\n"
            "\t\t\tslot_free(w->vm, s->edit[i].out[0]);\n"
            "\t\t\ts->edit[i].out[0] = NULL;\n"
            "\t\t}\n"
            "\tif (!err)\n\t\terr = publish(w, s, new, old);",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "phase-once",
        "group": "memory",
        "what": "a grace period does not wait for what is left of the other phase: a reader that "
                "counted itself in late is missed by the next one",
        "edits": [(
            "hv/vm/readers.c",
            "\tint err = wait_phase(r, !old, deadline, cpu);",
            "\tint err = 0;",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "rearm-early",
        "group": "memory",
        "what": "the pages of a dirty log are armed before their bits are taken: a page that is "
                "written in between is in this log, and its later writes in none",
        "edits": [(
            "hv/vm/dirty.c",
            "\tfor (u64 i = 0; i < log->words; i++) {\n\t\tu64 bits = 0;\n\t\tint r;\n",
            "\tfor (u64 i = 0; i < log->words; i++) {\n"
            "\t\tu64 bits = atomic_load(&log->bit[i]);\n\t\tint r;\n\n"
            "\t\tspin_lock(&vm->vmx.lock);\n"
            "\t\tept_rearm(&vm->vmx.ept, slot->base + i * 64 * PAGE_SIZE, bits,\n"
            "\t\t\t  (enum ept_log)vm->dirty_how);\n"
            "\t\tspin_unlock(&vm->vmx.lock);\n"
            "\t\tfor (int k = 0; k < 8; k++)\n\t\t\tcpu_relax();\n",
        ), (
            "hv/vm/dirty.c",
            "\t\tspin_lock(&vm->vmx.lock);\n"
            "\t\tr = ept_rearm(&vm->vmx.ept, slot->base + i * 64 * PAGE_SIZE, bits,\n"
            "\t\t\t      (enum ept_log)vm->dirty_how);\n"
            "\t\tspin_unlock(&vm->vmx.lock);\n",
            "\t\tr = 0;\n",
        )],
        "catcher": "stress dirty",
    },
    {
        "name": "log-unflushed",
        "group": "memory",
        "what": "pages are armed and the flush is left out: writes go on through the TLB, "
                "unnoticed",
        "edits": [(
            "hv/vm/dirty.c",
            "\tif (!last && (*n || done < words))\n\t\terr = vm_flush(vm, deadline);",
            "\tif (!last && done < words)\n\t\terr = vm_flush(vm, deadline);",
        )],
        "catcher": "stress dirty",
    },
    {
        "name": "buffer-left",
        "group": "memory",
        "what": "a slot change forgets what PML has logged and nobody has collected",
        "edits": [(
            "hv/vm/slots_step.c",
            "\tif (likely(!w->logged) || w->vm->dirty_how != DIRTY_PML)\n\t\treturn 0;",
            "\tif (true)\n\t\treturn 0;",
        )],
        "catcher": "stress dirty",
    },
    {
        "name": "log-not-carried",
        "group": "memory",
        "what": "the dirty log of a slot that is split or merged is not carried over",
        "edits": [("hv/vm/slots_step.c", "\t\t\tcarry(s);\n", "\t\t\t(void)carry;\n")],
        "catcher": "stress dirty",
    },
    {
        "name": "mark-late",
        "group": "memory",
        "what": "a page becomes writable before its bit in the dirty log is set, outside the lock",
        "edits": [(
            "hv/vm/fault.c",
            "\tcount(&mem_unprotected);\n\tif (slot->flags & SLOT_LOG_DIRTY)\n"
            "\t\tdirty_mark(slot, gpa);\n",
            "\tcount(&mem_unprotected);\n",
        )],
        "catcher": "stress dirty",
    },

    # --- missing pages ---------------------------------------------------------------------------
    {
        "name": "claim-ignored",
        "group": "missing",
        "what": "who fills a page does not wait for another one that has claimed it: the second copy "
                "overwrites what the guest has written",
        "edits": [(
            "hv/vm/backing_fill.c",
            "\t\tif (word & WORD_MISSING && !(word & WORD_BUSY) &&\n",
            "\t\tif (word & WORD_MISSING &&\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "published-early",
        "group": "missing",
        "what": "a page is published before its contents are copied",
        "edits": [(
            "hv/vm/backing_fill.c",
            "\tpage = phys_to_virt(word & WORD_ADDRESS);\n\trace_point();\n",
            "\tpage = phys_to_virt(word & WORD_ADDRESS);\n"
            "\tif (word_replace(&p->word, word | WORD_BUSY, (word & WORD_ADDRESS) | WORD_READY)) {\n"
            "\t\tfor (int i = 0; i < 4; i++)\n\t\t\tcpu_relax();\n"
            "\t\tmemcpy(page, data, PAGE_SIZE);\n\t\treturn 0;\n\t}\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "published-relaxed",
        "group": "missing",
        "what": "publishing a page releases nothing: who sees it need not see its contents",
        "edits": [(
            "hv/vm/backing_fill.c",
            "\tif (likely(word_replace(&p->word, word | WORD_BUSY, "
            "(word & WORD_ADDRESS) | WORD_READY)))\n\t\treturn 0;\n",
            "\tu64 busy = word | WORD_BUSY;\n\n"
            "\tif (likely(atomic_compare_exchange_strong_explicit(&p->word, &busy,\n"
            "\t\t\t(word & WORD_ADDRESS) | WORD_READY, memory_order_relaxed,\n"
            "\t\t\tmemory_order_relaxed)))\n\t\treturn 0;\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "fill-no-wake",
        "group": "missing",
        "what": "a fill wakes nobody who sleeps for the page",
        "edits": [(
            "hv/vm/backing_fill.c",
            "\tif (!stage)\n\t\twake_arrivals(b, offset);\n",
            "",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "woken-early",
        "group": "missing",
        "what": "who sleeps for a page is woken before it is published, looks, and sleeps on",
        "edits": [(
            "hv/vm/backing_fill.c",
            "\tif (!stage)\n\t\twake_arrivals(b, offset);\n",
            "",
        ), (
            "hv/vm/backing_fill.c",
            "\t\t\t   bool stage)\n{\n\tspin_lock(&b->lock);\n",
            "\t\t\t   bool stage)\n{\n\tif (!stage)\n\t\twake_arrivals(b, offset);\n"
            "\tfor (int i = 0; i < 8; i++)\n\t\tcpu_relax();\n\tspin_lock(&b->lock);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "wanted-unseen",
        "group": "missing",
        "what": "a fill without the lock does not notice that the page has become wanted meanwhile, "
                "and wakes nobody",
        "edits": [(
            "hv/vm/backing_fill.c",
            "\tif (likely(word_replace(&p->word, word | WORD_BUSY, "
            "(word & WORD_ADDRESS) | WORD_READY)))\n\t\treturn 0;\n",
            "\tu64 wanted = word_load(&p->word);\n\n"
            "\tspin_lock(&b->lock);\n\tif (wanted & WORD_WANTED)\n\t\tpage_unqueue(b, p);\n"
            "\tword_store(&p->word, (word & WORD_ADDRESS) | WORD_READY);\n"
            "\tspin_unlock(&b->lock);\n\tif (b)\n\t\treturn 0;\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "publish-claimed",
        "group": "missing",
        "what": "what was staged is published although somebody is copying into the page",
        "edits": [(
            "hv/vm/backing_fill.c",
            "\t\tword = word_load(&p->word) & (WORD_STAGED | WORD_BUSY);\n",
            "\t\tword = word_load(&p->word) & WORD_STAGED;\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "looked-unprepared",
        "group": "missing",
        "what": "who waits for a page looks whether it is there before it is on the queue, and not "
                "after",
        "edits": [(
            "hv/vm/backing_fetch.c",
            "\tdo {\n\t\twait_prepare(arrived, &w);\n",
            "\tdo {\n\t\tmissing = want(b, offset, q);\n\t\tcpu_relax();\n"
            "\t\twait_prepare(arrived, &w);\n",
        ), (
            "hv/vm/backing_fetch.c",
            "\t\tmissing = !stopped && want(b, offset, q);\n",
            "\t\tmissing = !stopped && missing;\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "wait-alone",
        "group": "missing",
        "what": "a vCPU's thread that waits for a page is not on the vCPU's own queue: a pause, or "
                "a change of slots, does not wake it",
        "edits": [(
            "hv/vm/missing.c",
            "q, vcpu ? &vcpu->wq : &q->others, must_stop, &s);",
            "q, vcpu ? NULL : &q->others, must_stop, &s);",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "change-no-wake",
        "group": "missing",
        "what": "a change of slots does not wake who sleeps for a page",
        "edits": [(
            "hv/vm/slots_step.c",
            "\t\tmissing_wake(w->vm);\n",
            "\t\treturn err;\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "change-unseen",
        "group": "missing",
        "what": "who sleeps for a page, and is woken, does not look whether slots have changed",
        "edits": [(
            "hv/vm/missing.c",
            "\treturn (s->vcpu && s->wanted(s->vcpu)) ||\n"
            "\t       atomic_load_explicit(&s->vm->slots.generation, memory_order_seq_cst) !=\n"
            "\t\t       s->generation;\n",
            "\treturn s->vcpu && s->wanted(s->vcpu);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "generation-late",
        "group": "missing",
        "what": "the slots' generation that a sleeper compares is read after its slot was found",
        "edits": [(
            "hv/vm/fault_internal.h",
            "\tbacking_get(m->backing);\n\treturn true;\n",
            "\tbacking_get(m->backing);\n\tfor (int i = 0; i < 4; i++)\n\t\tcpu_relax();\n"
            "\tm->generation = slots_generation(vm);\n\treturn true;\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "sleepers-late",
        "group": "missing",
        "what": "who sleeps for a page counts itself only when it is awake again: a change of slots "
                "takes it that nobody sleeps",
        "edits": [(
            "hv/vm/missing.c",
            "\tatomic_fetch_add_explicit(&q->sleepers, 1, memory_order_seq_cst);\n",
            "",
        ), (
            "hv/vm/missing.c",
            "\tatomic_fetch_sub_explicit(&q->sleepers, 1, memory_order_release);\n",
            "\tatomic_fetch_add_explicit(&q->sleepers, 1, memory_order_seq_cst);\n"
            "\tatomic_fetch_sub_explicit(&q->sleepers, 1, memory_order_release);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "report-unchecked",
        "group": "missing",
        "what": "that a page is missing is told without asking whether anything has been invalidated "
                "since it was looked up",
        "edits": [(
            "hv/vm/fault_internal.h",
            "\tif (unlikely(!seq_unmoved(vm, seq)))\n\t\treturn false;\n",
            "\t(void)seq;\n",
        )],
        "catcher": "unit missing",
    },
    {
        "name": "report-outside",
        "group": "missing",
        "what": "a fault ends its read section before it looks at what its slot says",
        "edits": [(
            "hv/vm/fault.c",
            "\terr = resolve(vm, slot, gpa, vcpu->missing.access, seq, &vcpu->fault.table, m);\n"
            "\tsection_end(vm, phase);\n",
            "\tsection_end(vm, phase);\n\tfor (int i = 0; i < 4; i++)\n\t\tcpu_relax();\n"
            "\terr = resolve(vm, slot, gpa, vcpu->missing.access, seq, &vcpu->fault.table, m);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "slot-remembered",
        "group": "missing",
        "what": "a vCPU uses the slot of its last fault although slots have changed since",
        "edits": [(
            "hv/vm/fault.c",
            "\tif (unlikely(!slot || vcpu->fault.generation != m->generation ||\n",
            "\tif (unlikely(!slot ||\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "table-remembered",
        "group": "missing",
        "what": "a vCPU uses the table of its last fault although tables have been taken out since",
        "edits": [(
            "vmx/ept.c",
            "!ept_hinted(hint, gpa) || hint->nr_unlinks != ept->nr_unlinks ||\n",
            "!ept_hinted(hint, gpa) ||\n",
        )],
        "catcher": "stress slots",
    },
    {
        "name": "rerun-believes",
        "group": "missing",
        "what": "the run after a memory-fault exit repeats it without looking at the page",
        "edits": [(
            "hv/vm/fault.c",
            "\terr = fault(vcpu, &m);\n\tif (likely(err != -EAGAIN))\n",
            "\terr = -EAGAIN;\n\tm.exit = true;\n\tif (likely(err != -EAGAIN))\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "annotation-stale",
        "group": "missing",
        "what": "the memory fault that was told stays in the run structure: a later return that has "
                "nothing to do with it shows it again",
        "edits": [(
            "hv/vm/fault.c",
            "\tvcpu->pending = PENDING_NONE;\n\tvcpu->run.reason = RUN_EXIT_NONE;\n",
            "\tvcpu->pending = PENDING_NONE;\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "rerun-selfish",
        "group": "missing",
        "what": "the rerun comes to the same exit although the vCPU has been asked for something else",
        "edits": [(
            "hv/vm/fault.c",
            "\tif (unlikely(atomic_load_explicit(&vcpu->requests, memory_order_relaxed)))\n"
            "\t\treturn RESUME_GUEST;\n\terr = fault(vcpu, &m);\n",
            "\terr = fault(vcpu, &m);\n",
        )],
        "catcher": "unit missing",
    },
    {
        "name": "bit-relaxed",
        "group": "missing",
        "what": "the test of a page's bit acquires nothing: who gets past it need not see what was "
                "written before it was cleared",
        "edits": [(
            "hv/vm/fault_internal.h",
            "\t       atomic_load_explicit(&hidden[offset / PAGE_SIZE / 64], memory_order_acquire) >>",
            "\t       atomic_load_explicit(&hidden[offset / PAGE_SIZE / 64], memory_order_relaxed) >>",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "clear-relaxed",
        "group": "missing",
        "what": "clearing a bit releases nothing",
        "edits": [(
            "hv/vm/userfault.c",
            "\tatomic_fetch_and_explicit(word_of(u, offset), ~pages, memory_order_release);\n",
            "\tatomic_fetch_and_explicit(word_of(u, offset), ~pages, memory_order_relaxed);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "bit-after-map",
        "group": "missing",
        "what": "a fault maps the page, and then looks at its bit",
        "edits": [(
            "hv/vm/fault.c",
            "\terr = slot_page(slot, gpa, &page);\n",
            "\terr = backing_get_page(slot->backing, slot_offset(slot, gpa), &page);\n",
        ), (
            "hv/vm/fault.c",
            "\t\terr = map_page(vm, slot, gpa, access, &page, hint);\n"
            "\tspin_unlock(&vm->vmx.lock);\n",
            "\t\terr = map_page(vm, slot, gpa, access, &page, hint);\n"
            "\tspin_unlock(&vm->vmx.lock);\n"
            "\tif (!err && slot_hides(slot, slot_offset(slot, gpa)))\n"
            "\t\treturn tell_missing(vm, slot, gpa, seq, m);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "hide-no-zap",
        "group": "missing",
        "what": "a page is hidden, and stays mapped",
        "edits": [(
            "hv/vm/backing_move.c",
            "\terr = zap(m);\n\trace_point();\n",
            "\terr = m->hide ? 0 : zap(m);\n\trace_point();\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "hide-no-flush",
        "group": "missing",
        "what": "a page is hidden and taken out of the tables, and TLBs keep it",
        "edits": [(
            "hv/vm/backing_move.c",
            "\tif (flush(m) && !err)\n",
            "\tif (!m->hide && flush(m) && !err)\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "hide-late",
        "group": "missing",
        "what": "the bit is set after the invalidation: a fault in between maps the page again",
        "edits": [(
            "hv/vm/backing_move.c",
            "\tif (m->hide)\n\t\tuserfault_set_bits(m->hide, m->from, m->to - m->from);\n",
            "",
        ), (
            "hv/vm/backing_move.c",
            "\tend(m);\n\tmark(m,",
            "\tend(m);\n\tfor (int i = 0; i < 8; i++)\n\t\tcpu_relax();\n\tif (m->hide)\n"
            "\t\tuserfault_set_bits(m->hide, m->from, m->to - m->from);\n\tmark(m,",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "leaf-over-hidden",
        "group": "missing",
        "what": "a fault on a page that is shown maps 2 MiB with hidden pages in them",
        "edits": [(
            "hv/vm/fault.c",
            "!fits(slot, gpa, page, size) || hides_any(slot, gpa, size))",
            "!fits(slot, gpa, page, size) || hides_any(NULL, gpa, size))",
        ), (
            "hv/vm/fault.c",
            "\treturn slot->flags & SLOT_USERFAULT &&\n\t       userfault_hides_any(",
            "\treturn slot && slot->flags & SLOT_USERFAULT &&\n\t       userfault_hides_any(",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "bit-unasked",
        "group": "missing",
        "what": "the hypervisor's own accesses, on a guest's behalf and the VMM's, go past the bitmap",
        "edits": [(
            "hv/vm/access.c",
            "\terr = slot_page(slot, a->gpa, &page);\n",
            "\terr = backing_get_page(slot->backing, slot_offset(slot, a->gpa), &page);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "flag-unasked",
        "group": "missing",
        "what": "for an access on the guest's behalf a page that its slot wants to be told of is no "
                "memory",
        "edits": [(
            "hv/vm/access.c",
            "\tif (err)\n\t\treturn err == -EAGAIN &&",
            "\tif (err == -EAGAIN && slot->flags & SLOT_EXIT_ON_MISSING)\n\t\treturn -EFAULT;\n"
            "\tif (err)\n\t\treturn err == -EAGAIN &&",
        )],
        "catcher": "unit missing_own",
    },
    {
        "name": "store-lost",
        "group": "missing",
        "what": "INS into a missing page reads its port again when the page has been brought",
        "edits": [(
            "hv/vm/io.c",
            "\t\terr = vcpu_report_missing(vcpu);\n\tvcpu->pending = PENDING_STORE;\n",
            "\t\terr = vcpu_report_missing(vcpu);\n\telse\n\t\tvcpu->pending = PENDING_STORE;\n",
        )],
        "catcher": "unit missing_own",
    },
    {
        "name": "store-half",
        "group": "missing",
        "what": "INS across a page boundary stores what goes into the first page, and then finds the "
                "second one missing",
        "edits": [(
            "hv/vm/io.c",
            "\t\terr = check_last_byte(vcpu, &m);\n",
            "\t\t(void)check_last_byte;\n",
        )],
        "catcher": "unit missing_own",
    },
    {
        "name": "populate-hidden",
        "group": "missing",
        "what": "populating a VM maps pages that a bitmap hides",
        "edits": [(
            "hv/vm/memory.c",
            "\t\tif (!slot_hides(slot, slot_offset(slot, *gpa)) &&\n",
            "\t\tif (slot_offset(slot, *gpa) != ~0ull &&\n",
        )],
        "catcher": "unit userfault",
    },
    {
        "name": "capability-less",
        "group": "missing",
        "what": "a flag is accepted that the capability query does not name",
        "edits": [(
            "hv/vm/slots_check.c",
            "\tu32 unknown = c->flags & ~vm_slot_flags(vm);\n",
            "\tu32 unknown = c->flags & ~(vm_slot_flags(vm) | SLOT_PRIVATE);\n",
        )],
        "catcher": "unit slots",
    },
    {
        "name": "flags-together",
        "group": "missing",
        "what": "a slot may exit on missing pages and have a bitmap",
        "edits": [(
            "hv/vm/slots_check.c",
            "\t{ SLOT_EXIT_ON_MISSING | SLOT_USERFAULT, \"a slot exits on missing pages or by a "
            "bitmap\" },\n",
            "",
        )],
        "catcher": "unit userfault",
    },
    {
        "name": "handed-out-twice",
        "group": "missing",
        "what": "a page that was handed out is wanted anew by the next who looks, and handed out again",
        "edits": [(
            "hv/vm/backing_fetch.c",
            "\t\tword_store(&p->word, (word_load(&p->word) & ~WORD_WANTED) | WORD_ARRIVING);\n",
            "\t\tword_store(&p->word, word_load(&p->word) & ~WORD_WANTED);\n",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "queue-kept",
        "group": "missing",
        "what": "a backing stays in the queue of a VM that shows it no more",
        "edits": [(
            "hv/vm/backing_view.c",
            "\tbacking_leave_queue(b, &v->vm->fetches);\n",
            "",
        )],
        "catcher": "unit fetch",
    },
    {
        "name": "sleeper-leaks",
        "group": "missing",
        "what": "who has slept for a page keeps its reference to the backing",
        "edits": [(
            "hv/vm/missing.c",
            "\tbacking_put(m->backing);\n\treturn vcpu && wanted(vcpu)",
            "\treturn vcpu && wanted(vcpu)",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "bitmap-leaks",
        "group": "missing",
        "what": "a slot keeps its reference to its bitmap",
        "edits": [(
            "hv/vm/slots.c",
            "\tif (slot->userfault)\n\t\tuserfault_put(slot->userfault);\n",
            "",
        )],
        "catcher": "stress missing",
    },
    {
        "name": "frame-given-up",
        "group": "missing",
        "what": "a page that is made missing loses its memory although that was to stay reserved",
        "edits": [(
            "hv/vm/backing_plan.c",
            "\t\tif (m->b->keeps_frames) {\n",
            "\t\tif (m->b->keeps_frames && off > p->to) {\n",
        )],
        "catcher": "unit fill",
    },
    {
        "name": "owner-unawaited",
        "group": "missing",
        "what": "a move does not wait for the owner who is writing the page: what it writes is lost "
                "with the old frame",
        "edits": [(
            "hv/vm/backing_move.c",
            "\t\tif (!atomic_load_explicit(&b->accesses, memory_order_seq_cst))\n",
            "\t\tif (true)\n",
        ), (
            "hv/vm/backing_access.c",
            "\t\tif (write)\n",
            "\t\tfor (int i = 0; i < 100; i++)\n\t\t\tcpu_relax();\n\t\tif (write)\n",
        )],
        "catcher": "stress missing",
    },

    # --- the APIC-access page --------------------------------------------------------------------
    {
        "name": "reload-seq-last",
        "group": "page",
        "what": "a reload reads the invalidate sequence after it has found the frame",
        "edits": [(
            "hv/vm/apic_page.c",
            "bool reversed = vm->apic_page.reload == RELOAD_REVERSED, retry;",
            "bool reversed = true, retry;",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "reload-no-retry",
        "group": "page",
        "what": "a reload writes what it has found, whatever is in progress: as KVM did before",
        "edits": [(
            "hv/vm/apic_page.c",
            "\tif (vm->apic_page.reload == RELOAD_NORETRY ||\n",
            "\tif (seq < ~1ull ||\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "reload-not-again",
        "group": "page",
        "what": "a reload that has to be done again is not requested again",
        "edits": [(
            "hv/vm/block.c",
            "\tif (requests & REQ_APIC_PAGE && !apic_page_reload(vcpu))\n"
            "\t\tatomic_fetch_or_explicit(&vcpu->requests, REQ_APIC_PAGE, memory_order_seq_cst);\n",
            "\tif (requests & REQ_APIC_PAGE)\n\t\t(void)apic_page_reload(vcpu);\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "request-at-end",
        "group": "page",
        "what": "reloads are requested when an invalidation ends, not when it begins",
        "edits": [(
            "hv/vm/invalidate.c",
            "\tspin_unlock(&vm->vmx.lock);\n\tapic_page_invalidated(vm, gpa, len);\n",
            "\tspin_unlock(&vm->vmx.lock);\n",
        ), (
            "hv/vm/invalidate.c",
            "\tBUG_ON(!atomic_load_explicit(&i->in_progress, memory_order_relaxed));\n",
            "\tapic_page_invalidated(vm, i->start, i->end - i->start);\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "request-not-barring",
        "group": "page",
        "what": "a vCPU enters the guest with a reload pending",
        "edits": [(
            "hv/vm/run.c",
            "\treturn atomic_load_explicit(&vcpu->requests, memory_order_seq_cst) |\n",
            "\treturn (atomic_load_explicit(&vcpu->requests, memory_order_seq_cst) &\n"
            "\t\t~(u32)REQ_APIC_PAGE) |\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "taken-unwaited",
        "group": "page",
        "what": "the flush waits for vCPUs that have not flushed, and not for those that are in the "
                "guest without having taken the request to reload",
        "edits": [(
            "hv/vm/kick.c",
            " >= gen &&\n\t       !(atomic_load_explicit(&vcpu->requests, memory_order_seq_cst) & "
            "REQ_APIC_PAGE);",
            " >= gen;",
        )],
        "catcher": "unit apic_reload",
    },
    {
        "name": "range-replaced",
        "group": "page",
        "what": "an invalidation that begins while another is in progress replaces its range",
        "edits": [(
            "hv/vm/invalidate.c",
            "\t\ti->start = min_u64(i->start, gpa);\n\t\ti->end = max_u64(i->end, gpa + len);\n",
            "\t\ti->start = gpa;\n\t\ti->end = gpa + len;\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "slot-believed-gone",
        "group": "page",
        "what": "a reload that finds the slot marked invalid is done: the page may still be mapped, "
                "to a frame that the vCPU does not know",
        "edits": [(
            "hv/vm/apic_page.c",
            "\tspin_lock(&vm->vmx.lock);\n\tretry = has_changed(vm, seq);\n",
            "\tif (!hpa)\n\t\treturn true;\n"
            "\tspin_lock(&vm->vmx.lock);\n\tretry = has_changed(vm, seq);\n",
        )],
        "catcher": "unit apic_page",
    },
    {
        "name": "reload-unused",
        "group": "page",
        "what": "a vCPU that does not use the page reloads",
        "edits": [(
            "hv/vm/apic_page.c",
            "\tif (!vmx_apic_uses_page(&vcpu->vmx))\n\t\treturn true;\n\tif (!slots_read_try",
            "\tif (!slots_read_try",
        )],
        "catcher": "unit apic_page",
    },
    {
        "name": "inhibit-mapped",
        "group": "page",
        "what": "the page stays mapped when a vCPU's APIC leaves it",
        "edits": [(
            "hv/vm/apic_page.c",
            "\tchange_inhibited(vm, 1);\n\trace_point();\n\terr = unmap(vm, LAPIC_DEFAULT_BASE);\n",
            "\tchange_inhibited(vm, 1);\n\trace_point();\n\terr = 0;\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "inhibit-unflushed",
        "group": "page",
        "what": "it is taken out of the tables then, and TLBs keep it",
        "edits": [(
            "hv/vm/apic_page.c",
            "\treturn r < 0 ? r : vm_flush_and_free(vm, tables, ticks_now() + tsc_hz);",
            "\treturn r < 0 ? r : (vm_free_tables(vm, tables, true), 0);",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "inhibited-fault",
        "group": "page",
        "what": "a fault maps it again although a vCPU's APIC is in another mode",
        "edits": [(
            "hv/vm/fault.c",
            "\t\treturn vm->apic_page.inhibited;\n",
            "\t\treturn vm->apic_page.inhibited > VM_MAX_VCPUS;\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "allow-unreloaded",
        "group": "page",
        "what": "a vCPU whose APIC comes back to the page does not reload: it has the address of "
                "when it left",
        "edits": [(
            "hv/vm/apic_page.c",
            "\tinvalidate_begin(vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);\n"
            "\terr = vm_flush(vm, ticks_now() + tsc_hz);\n",
            "\tinvalidate_begin(vm, 0, PAGE_SIZE);\n"
            "\terr = vm_flush(vm, ticks_now() + tsc_hz);\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "allow-unflushed",
        "group": "page",
        "what": "nor does it flush",
        "edits": [(
            "hv/vm/apic_page.c",
            "\terr = vm_flush(vm, ticks_now() + tsc_hz);\n",
            "\terr = 0;\n",
        ), (
            "hv/vm/lapic_base.c",
            "\t\tvmx_apic_flush(&vcpu->vmx);\n",
            "",
        )],
        "catcher": "unit apic_page",
    },
    {
        "name": "page-executable",
        "group": "page",
        "what": "the guest can execute the page's raw bytes",
        "edits": [(
            "hv/vm/fault.c",
            "\t\treturn EPT_READ | EPT_WRITE | EPT_DIRTY;\n",
            "\t\treturn EPT_RWX | EPT_DIRTY;\n",
        )],
        "catcher": "unit apic_page",
    },
    {
        "name": "page-visible",
        "group": "page",
        "what": "the VMM reads the page's raw bytes as if it were memory",
        "edits": [(
            "hv/vm/access.c",
            "\tif (!slot || slot->flags & SLOT_PRIVATE ||",
            "\tif (!slot ||",
        )],
        "catcher": "unit apic_page",
    },
    {
        "name": "stall-selfish",
        "group": "page",
        "what": "a vCPU that waits for the end of a move does not let other threads of its CPU run, "
                "the one that moves among them",
        "edits": [(
            "hv/vm/run.c",
            "\t\tcpu_relax();\n\t\tif (atomic_load(&cpu->nr_runnable))\n\t\t\tret = yield(vcpu, cpu);\n",
            "\t\tcpu_relax();\n",
        )],
        "catcher": "unit apic_reload",
    },
    {
        "name": "covered-mapped",
        "group": "page",
        "what": "RAM under an APIC that was relocated is mapped by the next fault",
        "edits": [(
            "hv/vm/fault.c",
            "\treturn unlikely(vm->apic_page.covering) && apic_page_covered(vm, gpa);",
            "\treturn unlikely(vm->apic_page.covering > VM_MAX_VCPUS) && apic_page_covered(vm, gpa);",
        )],
        "catcher": "unit apic_page",
    },

    # --- the local APIC --------------------------------------------------------------------------
    {
        "name": "posted-lost",
        "group": "lapic",
        "what": "what was posted is read and then cleared: an interrupt that comes in between is "
                "lost",
        "edits": [(
            "hv/vm/lapic.c",
            "\tu64 posted = atomic_exchange_explicit(&l->posted[i], 0, memory_order_seq_cst);\n",
            "\tu64 posted = atomic_load(&l->posted[i]);\n",
        ), (
            "hv/vm/lapic.c",
            "\tbool changed = false;\n\n\t/* Posted by one",
            "\tbool changed = false;\n\n\tatomic_store(&l->posted[i], 0);\n\t/* Posted by one",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "posted-twice",
        "group": "lapic",
        "what": "what was moved to IRR stays posted: each interrupt comes again and again",
        "edits": [(
            "hv/vm/lapic.c",
            "\tu64 posted = atomic_exchange_explicit(&l->posted[i], 0, memory_order_seq_cst);\n",
            "\tu64 posted = atomic_load(&l->posted[i]);\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "post-unheard",
        "group": "lapic",
        "what": "an interrupt is posted, and its receiver is told nothing",
        "edits": [(
            "hv/vm/lapic.c",
            "\tatomic_fetch_or_explicit(&l->posted[vector / 64], bit, memory_order_seq_cst);\n"
            "\tvcpu_event(vcpu);\n",
            "\tatomic_fetch_or_explicit(&l->posted[vector / 64], bit, memory_order_seq_cst);\n",
        )],
        "catcher": "stress kick",
    },
    {
        "name": "post-disabled",
        "group": "lapic",
        "what": "an APIC that is disabled by SVR accepts interrupts",
        "edits": [(
            "hv/vm/lapic.c",
            "\tu64 bit = BIT(vector % 64);\n\n\tif (!lapic_is_enabled(l))\n\t\treturn;\n",
            "\tu64 bit = BIT(vector % 64);\n\n",
        )],
        "catcher": "unit lapic",
    },
    {
        "name": "rvi-untold",
        "group": "lapic",
        "what": "with virtual-interrupt delivery: the CPU is not told what is requested",
        "edits": [(
            "hv/vm/inject.c",
            "\tvmx_apic_set_requested(&vcpu->vmx, requested < 0 ? 0 : (u8)requested);\n",
            "",
        )],
        "catcher": "unit run",
    },
    {
        "name": "svi-untold",
        "group": "lapic",
        "what": "nor what is in service after an EOI that software has carried out",
        "edits": [(
            "hv/vm/lapic.c",
            "\t\tvmx_apic_set_in_service(&vcpu->vmx, vector < 0 ? 0 : (u8)vector);\n",
            "\t\treturn;\n",
        )],
        "catcher": "stress apic",
    },
    {
        "name": "eoi-exits-stale",
        "group": "lapic",
        "what": "nor that a level-triggered interrupt's EOI is to be an exit",
        "edits": [(
            "hv/vm/lapic.c",
            "\tif (unlikely(level_changed) && vmx_apic_delivers(&vcpu->vmx))\n\t\ttell_level(vcpu);\n",
            "\t(void)level_changed;\n",
        )],
        "catcher": "unit lapic",
    },
    {
        "name": "eoi-no-look",
        "group": "lapic",
        "what": "without it: after an EOI nobody looks at what the interrupt has held back",
        "edits": [(
            "hv/vm/lapic.c",
            "\tnote_in_service(vcpu);\n\tif (!vmx_apic_delivers(&vcpu->vmx))\n"
            "\t\tlook_again(vcpu);\n\treturn",
            "\tnote_in_service(vcpu);\n\treturn",
        )],
        "catcher": "unit run",
    },
    {
        "name": "look-if-deliverable",
        "group": "lapic",
        "what": "after an EOI only what can be delivered is looked at: what the task priority still "
                "masks gets no TPR threshold, and no exit when the guest lowers that",
        "edits": [(
            "hv/vm/lapic.c",
            "\tif (vector_highest(&vcpu->lapic, LAPIC_IRR) >= 0)\n\t\tatomic",
            "\tif (lapic_highest(vcpu) >= 0)\n\t\tatomic",
        )],
        "catcher": "unit lapic",
    },
    {
        "name": "no-threshold",
        "group": "lapic",
        "what": "an interrupt that the task priority masks sets no TPR threshold at all",
        "edits": [(
            "hv/vm/inject.c",
            "\t\tlimit = threshold(vcpu, (u8)requested);\n",
            "\t\tlimit = 0 * threshold(vcpu, (u8)requested);\n",
        )],
        "catcher": "unit run",
    },
    {
        "name": "no-nesting",
        "group": "lapic",
        "what": "what is in service does not hold back interrupts of its own class",
        "edits": [(
            "hv/vm/lapic.c",
            "\treturn isr >= 0 && isr >> 4 > tpr >> 4 ? (u8)(isr & 0xf0) : tpr;",
            "\treturn isr >= 256 ? (u8)(isr & 0xf0) : tpr;",
        )],
        "catcher": "unit lapic",
    },
    {
        "name": "timer-early",
        "group": "lapic",
        "what": "a TSC deadline expires a tick before the guest's TSC is there",
        "edits": [(
            "hv/vm/lapic_timer.c",
            "\t\tl->timer.deadline = left > ~now ? ~0ull : now + left;\n",
            "\t\tl->timer.deadline = left > ~now ? ~0ull : now + left - 1;\n",
        )],
        "catcher": "unit lapic_timer",
    },
    {
        "name": "timer-drifts",
        "group": "lapic",
        "what": "a periodic timer counts from when it was served",
        "edits": [(
            "hv/vm/lapic_timer.c",
            "\t\tl->timer.deadline = deadline + ((now - deadline) / by + 1) * by;\n",
            "\t\tl->timer.deadline = now + by;\n",
        )],
        "catcher": "unit lapic_timer",
    },
    {
        "name": "timer-left-behind",
        "group": "lapic",
        "what": "a vCPU that is unloaded leaves its host timer armed on the CPU it was on",
        "edits": [(
            "hv/vm/lapic_timer.c",
            "\ttimer_cancel(&l->timer.host);\n\tatomic_store_explicit",
            "\tatomic_store_explicit",
        )],
        "catcher": "unit lapic_timer",
    },
    {
        "name": "tsc-jump-ignored",
        "group": "lapic",
        "what": "a TSC deadline stays at its moment when the guest's TSC jumps",
        "edits": [(
            "hv/vm/lapic_timer.c",
            "\tif (vcpu->lapic.timer.tsc_deadline)\n\t\tstart_deadline(vcpu, now);\n",
            "",
        )],
        "catcher": "unit lapic_timer",
    },
    {
        "name": "lowest-any",
        "group": "lapic",
        "what": "lowest priority does not look at the task priorities",
        "edits": [(
            "hv/vm/lapic_ipi.c",
            "\tif (class != to_class)\n\t\treturn class < to_class;\n",
            "\tif (class > 15 + to_class)\n\t\treturn false;\n",
        )],
        "catcher": "unit lapic_ipi",
    },
    {
        "name": "sender-decides",
        "group": "lapic",
        "what": "what is a broadcast is decided by the sender's mode, not by the receiver's",
        "edits": [(
            "hv/vm/lapic_ipi.c",
            "\tif (dest == (x2 ? BROADCAST_X2APIC : BROADCAST_XAPIC))\n",
            "\tif (dest == BROADCAST_X2APIC || dest == BROADCAST_XAPIC)\n",
        )],
        "catcher": "unit lapic_ipi",
    },
    {
        "name": "x2apic-back",
        "group": "lapic",
        "what": "x2APIC mode can be left to xAPIC mode at once",
        "edits": [(
            "hv/vm/lapic_base.c",
            "\treturn mode_of(v) == LAPIC_DISABLED || mode_of(old) != LAPIC_X2APIC;",
            "\treturn true;",
        )],
        "catcher": "unit lapic_base",
    },
]
