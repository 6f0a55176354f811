# SPDX-License-Identifier: GPL-2.0-only
"""The four questions of ./stillpoint compare: a chart, a table and a sentence each, all from a run's figures."""

from dataclasses import dataclass, field

import chart
import compare_table as table
from compare_rows import bare, chosen, figure, number

LEGEND_SIDES = [(side, table.SIDE_NAMES[side]) for side in table.SIDES]


@dataclass
class Answer:
    name: str
    heading: str
    asked: str  # by whom, and where it is discussed
    sentence: str
    picture: tuple = None  # of chart.bars() or chart.lines()
    rows: list = field(default_factory=list)  # the figures of the picture; the first row is the heading
    reading: str = ""  # how to read it, and how far it goes


class Data:
    """All rows' figures, by side."""

    def __init__(self, runs):
        self.runs = runs  # (step, side): Run

    def all(self, side, name, **params):
        return [m for (_, s), run in self.runs.items() if s == side
                for m in run.metrics if m["name"] == name and chosen(m, params)]

    def one(self, side, name, **params):
        """The figure, or None when there is none; of several the first, of a kernel without a knob if there is one."""
        found = sorted(self.all(side, name, **params), key=lambda m: "knob" in m["params"])
        return figure(found[0]) if found else None

    def why(self, side, name, words):
        """In this side's own words why it has none."""
        steps = [run for (_, s), run in self.runs.items() if s == side]
        for run in steps:
            for _, why in run.skips():
                if any(word in why for word in words):
                    return f"SKIP {why}"
        if all(run.status for run in steps) and steps:
            return f"its run ended with status {steps[0].status}"
        return f"{name} was not measured"


def percent(part, whole):
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %" if share >= 1 else f"{share:.2f} %"


def listed(parts):
    parts = list(parts)
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


# --- pausing against rebuilding ------------------------------------------------------------------

# Side, which of its figures, and in words how the vCPUs are stopped.
PAUSED = [("stillpoint", {"way": "paused", "zap": "range"}, "Stillpoint, only the slot zapped"),
          ("stillpoint", {"way": "paused", "zap": "all"}, "Stillpoint, all zapped"),
          ("stock", {"way": "signal"}, "stock KVM, signals"),
          ("patched", {"way": "signal"}, "patched KVM, signals"),
          ("patched", {"way": "kick_all"}, "patched KVM, kick-all")]


def paused_figures(data, side, wanted):
    """For every configuration: (params, ticks of stopping, of the rest of the change, of rebuilding)."""
    found = []
    for whole in data.all(side, "pause.replace", **wanted):
        same = bare(whole["params"])
        stop = sum(data.one(side, part, **same) or 0 for part in ("pause.replace_evict", "pause.replace_resume"))
        rebuild = data.one(side, "pause.refault", **same)
        if stop and rebuild is not None and "knob" not in same:
            found.append((same, stop, max(figure(whole) - stop, 0), rebuild))
    return found


def configuration(params):
    words = [f"{params['mib']} MiB" if "mib" in params else "", f"{params['places']:,} translations" if "places" in
             params else "", f"{params['vcpus']} vCPU{'s' if params['vcpus'] > 1 else ''}" if "vcpus" in params
             else "", f"{params['slots']} other slots" if params.get("slots", 1) > 1 else ""]
    return ", ".join(word for word in words if word)


def question_pause(data):
    answer = Answer(
        "pause", "Does pausing the vCPUs dwarf rebuilding the page tables, or the other way round?",
        "“I have a hard time believing the overhead of pausing vCPUs is going to be the long pole when it comes to "
        "memslot changes” (Sean Christopherson, October 2022). See docs/pausing.md.", "",
        reading="A slot is deleted and created again under busy vCPUs that are stopped for it; afterwards each "
        "touches all of it once. Each configuration has a scale of its own. KVM zaps all tables of the VM, "
        "Stillpoint those of the slot. Rebuilding is done by all vCPUs at once where there are several.")
    rows, groups = [("configuration", "side", "stopping and resuming", "the rest of the change",
                     "faulting in again", "share of stopping")], {}
    for side, wanted, words in PAUSED:
        for params, *parts in paused_figures(data, side, wanted):
            key = configuration(params)
            groups.setdefault(key, {})[words] = parts
            rows.append((key, words, *map(number, parts), percent(parts[0], sum(parts))))
    if not groups:
        answer.sentence = "This run does not say: no slot was replaced under a pause in it."
        return answer
    # What only one side has says nothing beside the others: it stays in the table.
    least = min(3, max(len(found) for found in groups.values()))
    shown = {key: found for key, found in groups.items() if len(found) >= least}
    kinds = ("stop", "change", "rebuild")
    answer.picture = chart.bars(
        [(key, [(words, list(zip(kinds, found[words])), f"{number(sum(found[words]))}, stop "
                 f"{percent(found[words][0], sum(found[words]))}") if words in found else
                (words, [], data.why(side, "pause.replace", ("KICK_ALL", "pause"))) for side, _, words in PAUSED])
         for key, found in shown.items()],
        [("stop", "stopping and resuming the vCPUs"), ("change", "the change itself"),
         ("rebuild", "faulting in again")])
    answer.rows = rows
    sayings, won = [], True
    for side, _, words in PAUSED:
        mine = sorted((parts for found in shown.values() for name, parts in found.items() if name == words),
                      key=lambda parts: parts[0] / sum(parts))
        if not mine:
            continue
        ends = dict.fromkeys(percent(parts[0], sum(parts)) for parts in (mine[0], mine[-1]))
        sayings.append(f"{' to '.join(ends)} ({words})")
        if side != "stillpoint":
            won = won and all(parts[0] * 2 < sum(parts) for parts in mine)
    verdict = "" if not any(side != "stillpoint" and words in found for found in shown.values() for side, _, words in
                            PAUSED) else ": the bet is won, pausing is not the long pole" if won else \
        ": the bet is lost where that is more than half"
    answer.sentence = (f"Of a slot's replacement with its refaults, stopping and resuming the vCPUs is "
                       f"{listed(sayings)}{verdict}.")
    # Which part is long on KVM, by the last way that was measured there.
    kvm = [words for side, _, words in PAUSED if side != "stillpoint" and any(words in f for f in shown.values())]
    if kvm:
        poles = {}
        for found in shown.values():
            if kvm[-1] in found:
                parts = found[kvm[-1]]
                share, part = max(zip(parts, ("stopping", "the change", "faulting in")))
                poles.setdefault(part, []).append((share / sum(parts), percent(share, sum(parts))))
        said = [f"{part} ({' to '.join(dict.fromkeys((min(shares)[1], max(shares)[1])))}, "
                f"{len(shares)} of {sum(map(len, poles.values()))} configurations)" for part, shares in poles.items()]
        answer.sentence += f" What is long there is {listed(said)} ({kvm[-1]})."
    return answer


# --- exits against userfaultfd -------------------------------------------------------------------

CURVES = [("stillpoint", "queue", "queue", True, "Stillpoint, queue"),
          ("stillpoint", "exit", "exit", True, "Stillpoint, exit"),
          ("stock", "uffd", "stock", False, "stock KVM, userfaultfd"),
          ("patched", "uffd", "queue", False, "patched KVM, userfaultfd"),
          ("patched", "exit", "exit", False, "patched KVM, exit")]


def rate_curve(data, side, way):
    return sorted((m["params"]["vcpus"], m["value"]) for m in data.all(
        side, "missing.rate", way=way, region="private", access="write"))


def question_missing(data):
    answer = Answer(
        "missing", "Do exits scale where userfaultfd does not?",
        "“Improve KVM + userfaultfd live migration via annotated memory faults” (Anish Moorthy, 2023) says so, up "
        "to 256 CPUs. See docs/missing.md.", "",
        reading="Each vCPU writes to missing pages of its own, as fast as it can, on a CPU of its own; one "
        "more CPU runs the handler of the queue. Left: pages per million ticks. Right: as multiples of what one vCPU "
        "gets, which is what the question is about. Dashed: Stillpoint.")
    curves = [(side, way, kind, dashed, words, rate_curve(data, side, way))
              for side, way, kind, dashed, words in CURVES]
    curves = [c for c in curves if len(c[5]) > 1 and c[5][0][1]]
    if not curves:
        answer.sentence = "This run does not say: no missing.rate of more than one count of vCPUs in it."
        return answer
    answer.picture = chart.lines([
        ("Pages per million ticks", [(kind, words, dashed, points) for _, _, kind, dashed, words, points in curves]),
        ("As multiples of one vCPU's", [(kind, words, dashed, [(x, y / points[0][1]) for x, y in points])
                                        for _, _, kind, dashed, words, points in curves])])
    counts = sorted({x for curve in curves for x, _ in curve[5]})
    answer.rows = [("vCPUs",) + tuple(c[4] for c in curves)] + [
        (str(x),) + tuple(next((f"{number(y)} ({y / c[5][0][1]:.1f}×)" for px, y in c[5] if px == x), "–")
                          for c in curves) for x in counts]
    growth = {(c[0], c[1]): (c[5][-1][0] / c[5][0][0], c[5][-1][1] / c[5][0][1]) for c in curves}
    sayings = [f"{growth[c[0], c[1]][1]:.1f} times with {c[4]}" for c in curves]
    kvm = any(side == "patched" and way == "exit" for side, way in growth)
    asked = {key: g / n for key, (n, g) in growth.items() if not kvm or key[0] != "stillpoint"}
    exits = [each for (_, way), each in asked.items() if way == "exit"]
    queues = [each for (_, way), each in asked.items() if way != "exit"]
    verdict = "the run has only one of the two"
    if exits and queues:
        if min(exits) > 1.5 * max(queues):
            verdict = "exits scale where the queue does not"
        elif min(exits) > max(queues):
            verdict = "exits scale better"
        else:
            verdict = "here the one scales as the other"
    vcpus = max(n for n, _ in growth.values())
    answer.sentence = (f"From 1 to {vcpus:.0f} vCPUs the rate of missing pages grows {listed(sayings)}: "
                       f"{'' if kvm else 'on Stillpoint '}{verdict}.")
    if not kvm:
        answer.sentence += f" (Patched KVM: {data.why('patched', 'missing.rate', ('EXIT_ON_MISSING',))}.)"
    return answer


# --- the second flush ----------------------------------------------------------------------------

FLUSHES = [("stillpoint", "zap", "Stillpoint, one flush"), ("stillpoint", "both", "Stillpoint, and one per reload"),
           ("stock", "both", "stock KVM, and one per reload"), ("patched", "zap", "patched KVM, one flush"),
           ("patched", "both", "patched KVM, and one per reload")]


def flush_costs(name, zap, both):
    """What the second flush costs a side, in words, as far as it was measured."""
    (_, move, reload, flushes), (_, move2, reload2, flushes2) = zap, both
    said = []
    if None not in (reload, reload2):
        said.append(f"{number(reload2 - reload)} ticks to a reload of {number(reload)}" if reload2 > reload else
                    f"nothing to a reload that could be told from its {number(reload)} ticks")
    elif None not in (move, move2):
        said.append(f"to a move of {number(move)} ticks what makes it {number(move2)}")
    if None not in (flushes, flushes2):
        said.append(f"{number(flushes2 - flushes)} flushes to {number(flushes)}")
    return [f"on {name} the second flush adds {' and '.join(said)}"] if said else []


def question_flush(data):
    answer = Answer(
        "flush", "Is the second flush needed when the APIC-access page has moved?",
        "“But, is this necessary?” (Yu Zhang, June 2023, of the flush in the reload, which follows that of the MMU "
        "notifier). See docs/apic-page.md.", "",
        reading="The page moves 50 times under vCPUs that read registers of their APICs. Ticks are what a move costs "
        "who makes it; a reload is what it adds to the pause of a vCPU that is kicked. Bochs has no cost of a TLB "
        "miss: on hardware the page walks after a flush come on top.")
    rows = [("side", "ticks of a move", "ticks of a reload", "flushes", "registers read raw")]
    lines = {}
    raw = {}
    for side, flush, words in FLUSHES:
        move = data.one(side, "apic.move", flush=flush)
        reload = data.one(side, "apic.reload", flush=flush)
        flushes = data.one(side, "apic.move_flushes", flush=flush)
        raws = [figure(m) for m in data.all(side, "apic.raw_bytes") if m["params"].get("flush", flush) == flush
                and m["params"].get("variant", "retry") == "retry" and "knob" not in m["params"]]
        if move is None and reload is None:
            continue
        raw[side, flush] = sum(raws) if raws else None
        rows.append((words, number(move) or "–", number(reload) or "–", number(flushes) or "–",
                     number(sum(raws)) if raws else "–"))
        lines.setdefault(side, []).append((words, move, reload, flushes))
    if not lines:
        answer.sentence = "This run does not say: no apic.move in it."
        return answer
    kinds = {"zap": "plain", "both": "more"}
    drawn = []
    for side, found in lines.items():
        for name, at in (("a move", 1), ("a reload", 2), ("flushes", 3)):
            bars = [(f[0].split(", ", 1)[1], [(kinds["both" if "reload" in f[0] else "zap"], f[at])], number(f[at]))
                    for f in found if f[at] is not None]
            if bars:
                unit = "" if name == "flushes" else ", ticks"
                drawn.append((f"{table.SIDE_NAMES[side]}: {name}{unit}", bars))
    answer.picture = chart.bars(drawn, [("plain", "one flush, by who takes the page away"),
                                        ("more", "and once more in every reload")])
    answer.rows = rows
    sayings, right = [], []
    for side in ("stillpoint", "patched"):
        zap = next((f for f in lines.get(side, []) if "reload" not in f[0]), None)
        both = next((f for f in lines.get(side, []) if "reload" in f[0]), None)
        if zap is None:
            continue
        if raw.get((side, "zap")) is not None:
            right.append((side, raw[side, "zap"]))
        if both:
            sayings += flush_costs(table.SIDE_NAMES[side], zap, both)
    seen = listed(f"{number(n)} on {table.SIDE_NAMES[side]}" for side, n in right) if right else ""
    if not right:
        answer.sentence = "Nothing has counted here what would go wrong without it"
    elif any(n for _, n in right):
        answer.sentence = f"Something is missing: registers that guests have read raw are {seen}"
    else:
        only = "" if any(side == "patched" for side, _ in right) else "On Stillpoint no"
        answer.sentence = f"{only or 'No'}: registers that guests have read raw without it are {seen}"
    answer.sentence += (f"; {'; '.join(sayings)}." if sayings else ".")
    if "patched" not in lines:
        answer.sentence += f" (Patched KVM: {data.why('patched', 'apic.move', ('apic', 'APIC'))}.)"
    return answer


# --- poll against HALTED_USERSPACE ---------------------------------------------------------------

WAITS = [("sequence", "poll", "exit"), ("mpstate", "HALTED_USERSPACE", "queue"),
         ("run", "KVM_RUN that blocks", "plain")]


def question_wait(data):
    answer = Answer(
        "wait", "What does poll cost against HALTED_USERSPACE?",
        "Nicolas Saenz Julienne proposed the one (November 2023), Maxim Levitsky the other. See docs/waiting.md.", "",
        reading="An event is posted for a vCPU that is out of the guest and waits on another CPU; ticks until who "
        "waits for it runs. Each side has a scale of its own: what a process costs is in both of KVM's bars.")
    rows, drawn, sayings = [("side", "way", "ticks of a wake", "ticks of a round (wait.spin)", "lost")], [], []
    for side in table.SIDES:
        found = {}
        lines = []
        for variant, words, kind in WAITS:
            wake = data.one(side, "wait.wake", variant=variant)
            if wake is None:
                if variant != "run" and side != "stillpoint":
                    words_why = ("KVM_CAP_VCPU_POLL",) if variant == "sequence" else ("HALTED_USERSPACE",)
                    lines.append((words, [], data.why(side, "wait.wake", words_why)))
                continue
            found[variant] = wake
            spin = data.one(side, "wait.spin", variant=variant)
            lost = [figure(m) for m in data.all(side, "wait.lost", variant=variant) if "knob" not in m["params"]]
            rows.append((table.SIDE_NAMES[side], words, number(wake), number(spin) or "–",
                         number(sum(lost)) if lost else "–"))
            lines.append((words, [(kind, wake)], number(wake)))
        if lines:
            drawn.append((f"{table.SIDE_NAMES[side]}: ticks from an event to who waits for it", lines))
        if "sequence" in found and "mpstate" in found:
            less = found["sequence"] - found["mpstate"]
            word = f"{number(abs(less))} ticks {'more' if less > 0 else 'less'}" if less else "as much"
            sayings.append(f"on {table.SIDE_NAMES[side]} a wake by poll costs {word} than by the state "
                           f"({number(found['sequence'])} against {number(found['mpstate'])}, "
                           f"{found['sequence'] / found['mpstate']:.2f} times)" if less else
                           f"on {table.SIDE_NAMES[side]} both cost {number(found['sequence'])} ticks")
    if not sayings:
        answer.sentence = "This run does not say: it has not measured both on any side."
    else:
        answer.sentence = listed(sayings)
        answer.sentence = answer.sentence[0].upper() + answer.sentence[1:] + "."
    if len(rows) > 1:
        answer.picture, answer.rows = chart.bars(drawn, []), rows
    return answer


def answers(runs):
    """The four, whatever the run has measured; an answer that it does not have says so."""
    data = Data(runs)
    return [question_pause(data), question_missing(data), question_flush(data), question_wait(data)]
