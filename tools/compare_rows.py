# SPDX-License-Identifier: GPL-2.0-only
"""The rows of a comparison: what each side has measured, beside each other, and why something is not there."""

import json
import os
import re
from dataclasses import dataclass, field

import compare_table as table
import results

KERNEL_FAILED = {124: "it hung", 125: "the machine was reset", 126: "the tool or emulator failed"}
SKIP_WORD = re.compile(r"KVM_[A-Z_]+")


@dataclass
class Run:
    """What one side has left of one step."""
    step: str
    side: str
    status: int = 0
    last: str = ""  # the last line of the summary
    machine: str = ""
    metrics: list = field(default_factory=list)
    tests: list = field(default_factory=list)  # (experiment, ok, name, the reason of a SKIP or None)
    counters: list = field(default_factory=list)  # (name, value, meaning)
    command: str = ""

    def skips(self):
        return [(name, why) for _, _, name, why in self.tests if why is not None]


class Reader:
    """Fed by results.Results: keeps every test."""

    def __init__(self):
        self.tests, self.suite = [], ""

    def suite_begin(self, name):
        self.suite = name

    def result(self, ok, name, skip):
        self.tests.append((self.suite, ok, name, skip))

    def suite_end(self, suite):
        if suite.skip_reason is not None and not suite.results:
            self.tests.append((suite.name, True, "", suite.skip_reason))


def read_run(step, side, folder, status, command):
    """What a run has left in its folder; an empty Run with its status when that is nothing."""
    run = Run(step, side, status, command=command)
    reader = Reader()
    parsed = results.Results(reader)
    try:
        with open(os.path.join(folder, "ktap.txt"), encoding="utf-8") as file:
            for line in file:
                parsed.feed(line.rstrip("\n"))
        parsed.finish()
        with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
            run.metrics = [json.loads(line) for line in file]
        with open(os.path.join(folder, "summary.txt"), encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file]
    except OSError as error:
        run.last = f"no results: {error.strerror}"
        return run
    run.tests, run.counters = reader.tests, parsed.counters
    run.machine = lines[0] if lines else ""
    run.last = next((line for line in lines if re.match(r"(passed|status \d+)\b", line)), "")
    return run


@dataclass
class Cell:
    """A figure, or the reason why there is none."""
    metric: dict = None
    why: str = ""

    @property
    def number(self):
        return figure(self.metric) if self.metric else None


@dataclass(eq=False)
class Row:
    step: str
    name: str
    unit: str
    label: str  # of its Pair
    params: dict  # that the figures have in common
    cells: dict  # side: Cell
    differ: dict  # side: parameters that only this side's figure has
    note: table.Note = None

    def ratio(self, above, below):
        """Between two sides' figures; None where the comparison does not go that far."""
        if self.note is None or self.note.kind in (table.BUGS, table.APART):
            return None
        a, b = self.cells[above].number, self.cells[below].number
        return a / b if a is not None and b else None

    def sides(self):
        return [side for side in table.SIDES if self.cells[side].metric]


def figure(metric):
    """The one number of a metric: its value, or the median."""
    return metric["value"] if "value" in metric else metric["p50"]


def bare(params):
    return {key: value for key, value in params.items() if key not in table.WHERE}


def frozen(params):
    return tuple(sorted(params.items()))


def chosen(metric, wanted):
    return all(metric["params"].get(key) == value for key, value in wanted.items())


class Matrix:
    """All metrics of one step, with what has found its row marked."""

    def __init__(self, runs):
        self.runs = runs  # side: Run
        self.left = {side: [m for m in run.metrics if m["name"] != "kvm.exits"] for side, run in runs.items()}
        self.rows = []

    def take(self, side, name, wanted):
        """Removes and returns this side's metrics of the name with these parameters."""
        found = [m for m in self.left[side] if m["name"] == name and chosen(m, wanted)]
        self.left[side] = [m for m in self.left[side] if not any(m is f for f in found)]
        return found

    def build(self):
        for pair in table.PAIRS:
            for name in pair.metrics:
                self.rows += merged(self.pair_rows(pair, name))
        names = []
        for side in table.SIDES:
            names += [m["name"] for m in self.left[side] if m["name"] not in names]
        for name in dict.fromkeys(names):
            pair = table.Pair((name,), "", {}, {}, {})
            self.rows += merged(self.pair_rows(pair, name))
        order = {id(m): i for side in reversed(table.SIDES) for i, m in enumerate(self.runs[side].metrics)}
        self.rows.sort(key=lambda row: min(order[id(c.metric)] for c in row.cells.values() if c.metric))
        return self.rows

    def pair_rows(self, pair, name):
        """A row for each set of parameters that any side has besides those that chose."""
        rows = {}
        for side in table.SIDES:
            wanted = pair.of(side)
            if not isinstance(wanted, dict):
                continue
            for metric in self.take(side, name, wanted):
                rest = {k: v for k, v in bare(metric["params"]).items() if k not in wanted}
                row = rows.setdefault(frozen(rest), Row(
                    self.runs[side].step, name, metric["unit"], pair.label, rest,
                    {s: Cell() for s in table.SIDES}, {s: {} for s in table.SIDES}, table.note_of(name)))
                if row.cells[side].metric:
                    # The same twice: a row of its own rather than none.
                    row = rows[frozen(rest) + (("#", len(rows)),)] = Row(
                        row.step, name, metric["unit"], pair.label, rest,
                        {s: Cell() for s in table.SIDES}, {s: {} for s in table.SIDES}, row.note)
                row.cells[side] = Cell(metric)
        for row in rows.values():
            for side in table.SIDES:
                if not row.cells[side].metric:
                    chose = pair.stillpoint if isinstance(pair.stillpoint, dict) else {}
                    row.cells[side].why = self.why(side, pair.of(side), name, {**chose, **row.params})
        return list(rows.values())

    def why(self, side, wanted, name, params):
        """Why this side has no such figure: in its own words where it has said something."""
        run = self.runs[side]
        if run.status and not any(m["name"].startswith(name.split(".")[0] + ".") for m in run.metrics):
            return f"the run did not end well: {KERNEL_FAILED.get(run.status, run.last or f'status {run.status}')}"
        if isinstance(wanted, str):
            for word in SKIP_WORD.findall(wanted):
                said = next((f"SKIP {why}" for _, why in run.skips() if word in why), None)
                if said:
                    return said
            return wanted
        for start, where, words in table.SKIPPED:
            if name.startswith(start) and all(params.get(k) == v for k, v in where.items()):
                said = next((f"SKIP {why}" for test, why in run.skips() if words in test), None)
                if said:
                    return said
        for whole, why in run.skips():
            if not whole:
                return f"SKIP {why}"
        for pair in params.items():
            if pair in table.WAYS_OF_ONE:
                return table.WAYS_OF_ONE[pair]
        return table.absent_words(side, name) or "not measured by this side"


def merged(rows):
    """Joins rows of different sides whose parameters agree as far as both have them, where only one does."""
    rows = list(rows)
    for row in list(rows):
        if row not in rows or len(row.sides()) == len(table.SIDES):
            continue
        fits = [other for other in rows if other is not row and not set(other.sides()) & set(row.sides())
                and agree(row.params, other.params)]
        if len(fits) != 1:
            continue
        other = fits[0]
        back = [r for r in rows if r is not other and not set(r.sides()) & set(other.sides())
                and agree(r.params, other.params)]
        if len(back) != 1:
            continue
        common = {k: v for k, v in row.params.items() if k in other.params}
        for one in (row, other):
            for side in one.sides():
                row.differ[side] = {**one.differ[side], **{k: v for k, v in one.params.items() if k not in common}}
        for side in other.sides():
            row.cells[side] = other.cells[side]
        row.params = common
        rows.remove(other)
    return rows


def agree(a, b):
    """Whether two sets of parameters say nothing different, and one says all that the other one says."""
    shared = set(a) & set(b)
    return all(a[k] == b[k] for k in shared) and len(shared) == min(len(a), len(b))


def exits_of(run, metric):
    """(exits, operations) that KVM has counted behind a figure, or None."""
    for m in run.metrics:
        if m["name"] == "kvm.exits" and m["params"].get("of") == metric["name"] and all(
                metric["params"].get(k, v) == v for k, v in bare(m["params"]).items() if k not in ("of", "ops")):
            return m["value"], m["params"].get("ops", 1)
    return None


def number(value):
    if value is None:
        return ""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.1f}"
    return f"{int(value):,}"


def times(value):
    """A ratio as words."""
    if value is None:
        return ""
    return f"{value:,.0f}×" if value >= 100 else f"{value:.1f}×" if value >= 10 else f"{value:.2f}×"


def params_words(row):
    words = " ".join(f"{key}={value}" for key, value in row.params.items())
    return "; ".join(part for part in (row.label, words) if part)
