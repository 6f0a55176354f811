#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draws the traces of a run as an SVG timeline: a lane per vCPU, and per CPU that does something to it.

usage: timeline.py CONSOLE.TXT -o OUT.SVG [--title TEXT] [--only N[,N...]]
       timeline.py --self-test

A trace is the lines "# trace TSC CPU A B NAME" (hv/host/trace.h), ended by "# trace end". A console
may hold several: each becomes a panel, headed by the line before it, all to the same scale. --only
chooses (the first is 0). Time 0 is the first event that is not about entries, exits and waiting.
"""

import argparse
import re
import sys

import svg
from svg import text

# What a lane can be doing: colour, and the words of the legend.
STATES = {
    "guest": ("#4a90d9", "in the guest"),
    "exiting": ("#e8a33d", "kicked, on its way out"),
    "outside": ("#b9c4cf", "in the hypervisor"),
    "vmm": ("#e3d39a", "in its VMM"),
    "held": ("#8d6fb3", "held until the resume"),
    "stalled": ("#c98bb9", "stalled: a reload that comes too early, again and again"),
    "waiting": ("#8fbf8f", "asleep, waiting"),
    "busy": ("#9fb7a5", "at work"),
    "pausing": ("#e08a80", "pausing: waits until all are out"),
    "holding": ("#b04a44", "holds the VM"),
}
LEFT, RIGHT, TOP, LANE, GAP, LABEL = 150, 24, 40, 18, 6, 11
WIDTH = 960
BEFORE = 250  # ticks shown before time 0
HEADING = re.compile(r"^\s*(?:#|(?:not )?ok \d+(?: -)?)\s*")


class Event:
    def __init__(self, line):
        fields = line.split(None, 6)
        self.tsc, self.cpu, self.a, self.b = (int(x) for x in fields[2:6])
        self.name = fields[6].strip()


class Trace:
    def __init__(self, heading):
        self.heading = heading
        self.events = []


def read_traces(lines):
    """The traces of a console."""
    traces, current, before = [], None, ""
    for line in lines:
        line = line.strip()
        if line == "# trace end":
            current = None
        elif line.startswith("# trace "):
            if not current:
                current = Trace(HEADING.sub("", before))
                traces.append(current)
            current.events.append(Event(line))
        else:
            before = line
    return traces


class Lane:
    """A row of the picture: spans (start, end, state) and marks (time, words)."""

    def __init__(self, name, order):
        self.name = name
        self.order = order
        self.spans = []
        self.marks = []
        self.cuts = []  # times within a span
        self.retries = 0
        self.state = None
        self.since = 0

    def become(self, time, state):
        if self.state == state:
            return
        if self.state and time > self.since:
            self.spans.append((self.since, time, self.state))
        self.state, self.since = state, time


def earlier(event):
    """What a vCPU was doing before its first event, as far as that says so."""
    if event.name == "vcpu: exit":
        return "guest" if event.b else "outside"  # 0: VM_EXIT_BARRED, it has not entered
    return {"vcpu: wake": "waiting", "wait: ready": "waiting", "vcpu: in": "outside",
            "vcpu: block": "outside", "wait: sleep": "vmm"}.get(event.name)


class Picture:
    def __init__(self, events):
        self.lanes = {}
        self.held = False
        # A CPU that runs one vCPU, always the same: what else happens there belongs into its lane.
        runs = {}
        for event in events:
            if event.name.startswith("vcpu: "):
                runs.setdefault(event.cpu, set()).add(event.a)
        self.home = {cpu: vcpus.pop() for cpu, vcpus in runs.items() if len(vcpus) == 1}
        self.zero = next((e.tsc for e in events if not e.name.startswith(("vcpu: ", "wait: "))), events[0].tsc)
        self.start, self.end = self.zero - BEFORE, events[-1].tsc
        for event in events:
            lane = self.lane_of(event)
            if not lane.state:
                lane.become(min(self.start, events[0].tsc), earlier(event))
        for event in events:
            self.take(event, self.lane_of(event))
        for lane in self.lanes.values():
            lane.become(self.end, None)
            lane.spans = [(max(span[0], self.start),) + span[1:] for span in lane.spans
                          if span[1] > self.start]

    def lane_of(self, event):
        if event.name.startswith("vcpu: "):
            vcpu = event.a
        else:
            vcpu = self.home.get(event.cpu)
        key = (0, event.cpu) if vcpu is None else (1, vcpu)
        if key not in self.lanes:
            name = f"CPU {event.cpu}" if vcpu is None else f"vCPU {vcpu} (CPU {event.cpu})"
            self.lanes[key] = Lane(name, key)
        return self.lanes[key]

    def take(self, event, lane):
        kind, _, what = event.name.partition(": ")
        own = lane.order[0] == 1
        if kind == "vcpu":
            self.take_vcpu(event, what, lane)
        elif kind == "pause":
            self.take_pause(event, what, lane)
        elif kind == "wait":
            after = "vmm" if own else None
            lane.become(event.tsc, "waiting" if what == "sleep" else after)
        elif kind == "apic" and own:
            self.take_reload(event, what, lane)
        else:
            if not own and what in ("begin", "end"):
                lane.become(event.tsc, "busy" if what == "begin" else None)
            lane.marks.append((event.tsc, what if kind in ("slots", "move") else event.name))

    def take_vcpu(self, event, what, lane):
        if what == "in":
            lane.become(event.tsc, "guest")
        elif what in ("block", "fetch"):
            lane.become(event.tsc, "waiting")
        elif what == "out":
            lane.become(event.tsc, "held" if self.held and event.b else "vmm")
        else:
            lane.become(event.tsc, "outside")

    def take_reload(self, event, what, lane):
        if what == "retry":
            lane.become(event.tsc, "stalled")
            lane.cuts.append(event.tsc)
            lane.retries += 1
            return
        if lane.retries:
            what += f" after {lane.retries} retries"
        lane.retries = 0
        lane.become(event.tsc, "outside")
        lane.marks.append((event.tsc, what))

    def become_all(self, event, old, new):
        for lane in self.lanes.values():
            if lane.state == old:
                lane.become(event.tsc, new)

    def take_pause(self, event, what, lane):
        if what == "begin":
            self.held = True
            lane.resumes_to = lane.state
            lane.become(event.tsc, "pausing")
        elif what == "kicked":
            self.become_all(event, "guest", "exiting")
            lane.marks.append((event.tsc, "kicked"))
        elif what == "held":
            lane.become(event.tsc, "holding")
        elif what == "resume":
            self.held = False
            self.become_all(event, "held", "vmm")
            lane.become(event.tsc, getattr(lane, "resumes_to", None))
            lane.marks.append((event.tsc, "resume"))
        else:
            lane.marks.append((event.tsc, what))


def step(span):
    """A round distance between the ticks of the axis: about ten of them."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if span / (size * factor) <= 12:
                return size * factor
        size *= 10


class Scale:
    """Ticks to pixels: the same for every panel, time 0 at the same place."""

    def __init__(self, pictures):
        self.first = min(p.start - p.zero for p in pictures)
        self.span = max(1, max(p.end - p.zero for p in pictures) - self.first)
        self.factor = (WIDTH - LEFT - RIGHT) / self.span

    def at(self, picture, time):
        return LEFT + (time - picture.zero - self.first) * self.factor


def draw_axis(out, scale, y, bottom):
    distance = step(scale.span)
    for tick in range(0, scale.first + scale.span + 1, distance):
        x = LEFT + (tick - scale.first) * scale.factor
        out.append(f'<path d="M{x:.1f} {y} V{bottom}" stroke="#ccd2d8"/>')
        out.append(text(x, y - 5, f"{tick:,}", 'text-anchor="middle" fill="#555"'))
    out.append(text(LEFT - 8, y - 5, "ticks", 'text-anchor="end" fill="#555"'))


def place_labels(lane, at):
    """Where the labels below a lane go: on several lines where they would overlap.

    From right to left, and what is further left goes further down: so no line from a mark to its
    label crosses another label.
    """
    free, placed = [], []  # free: per line, up to where
    for time, words in reversed(lane.marks):
        mark = x = at(time)
        width = 6.2 * len(words) + 8
        if x + width > WIDTH - 4:
            x -= width
        row = next((i for i, end in enumerate(free) if x + width <= end), len(free))
        free[row:row + 1] = [x]
        free[:row] = [min(end, x) for end in free[:row]]
        placed.append((mark, x, row, words))
    return placed, len(free)


def draw_lane(out, used, lane, y, at):
    out.append(text(LEFT - 8, y + LANE - 5, lane.name, 'text-anchor="end" fill="#111"'))
    out.append(f'<rect x="{LEFT}" y="{y}" width="{WIDTH - LEFT - RIGHT}" height="{LANE}" fill="#f1f3f5"/>')
    for start, end, state in lane.spans:
        used.add(state)
        out.append(f'<rect x="{at(start):.1f}" y="{y}" width="{max(1.0, at(end) - at(start)):.1f}" '
                   f'height="{LANE}" fill="{STATES[state][0]}"><title>{STATES[state][1]}: '
                   f'{end - start:,} ticks</title></rect>')
    for cut in lane.cuts:
        out.append(f'<path d="M{at(cut):.1f} {y} v{LANE}" stroke="#fff"/>')
    placed, rows = place_labels(lane, at)
    for mark, x, row, words in placed:
        out.append(f'<path d="M{mark:.1f} {y - 2} V{y + LANE + 3 + LABEL * row}" stroke="#555"/>')
        out.append(text(x + 2, y + LANE + LABEL * (row + 1), words, 'font-size="10" fill="#222"'))
    return y + LANE + GAP + LABEL * rows


def draw_panel(out, used, trace, picture, scale, y):
    if trace.heading:
        out.append(text(16, y + 4, trace.heading, 'font-size="13" font-weight="bold" fill="#111"'))
        y += 14
    bars, top = [], y + 24
    y = top
    for key in sorted(picture.lanes):
        y = draw_lane(bars, used, picture.lanes[key], y, lambda time: scale.at(picture, time))
    draw_axis(out, scale, top - 6, y - GAP)
    out += bars
    return y + 16


def draw_legend(out, used, y):
    x = LEFT
    for state, (colour, words) in STATES.items():
        if state not in used:
            continue
        if x + 22 + 6.6 * len(words) > WIDTH:
            x, y = LEFT, y + 18
        out.append(f'<rect x="{x:.0f}" y="{y - 10}" width="14" height="12" fill="{colour}"/>')
        out.append(text(x + 19, y, words, 'fill="#222"'))
        x += 38 + 6.6 * len(words)
    return y


def draw(traces, title):
    pictures = [Picture(trace.events) for trace in traces]
    scale = Scale(pictures)
    out, used, y = [], set(), TOP if title else 16
    for trace, picture in zip(traces, pictures):
        y = draw_panel(out, used, trace, picture, scale, y)
    height = draw_legend(out, used, y + 4) + 16
    if title:
        out.insert(0, text(16, 24, title, 'font-size="15" font-weight="bold" fill="#111"'))
    return svg.document(WIDTH, height, "tools/timeline.py from the trace of a run", out)


SAMPLE = """
  # a pause
# trace 1000 1 0 0 vcpu: in
# trace 1050 0 0 0 change: begin
# trace 1100 0 0 0 pause: begin
# trace 1150 0 0 0 pause: kicked
# trace 1220 1 0 2 vcpu: exit
# trace 1240 1 0 18446744073709551612 vcpu: out
# trace 1250 0 0 1 pause: held
# trace 1300 0 0 0 slots: publish
# trace 1400 0 0 0 pause: resume
# trace 1450 0 0 0 change: end
# trace 1500 1 0 0 vcpu: in
# trace 1600 1 0 2 vcpu: exit
# trace end
  ok 1 - a wait
# trace 5 0 3 1 wait: sleep
# trace 9 0 3 1 wait: ready
# trace end
  ok 2 a wait of the thread that runs the vCPU
# trace 100 0 0 0 event: posted
# trace 200 1 0 1 wait: ready
# trace 250 1 0 0 vcpu: in
# trace 300 1 0 6 vcpu: exit
# trace 310 1 0 0 vcpu: out
# trace 350 1 0 1 wait: sleep
# trace 360 1 0 0 gone
# trace end
  # a page that moves
# trace 100 0 0 0 migration: begin
# trace 120 1 0 2 vcpu: exit
# trace 130 1 0 0 apic: retry
# trace 140 0 0 0 move: exchanged
# trace 150 1 0 0 apic: retry
# trace 160 1 0 0 apic: reload
# trace 170 1 0 0 vcpu: in
# trace 180 0 0 0 migration: end
"""


def self_test():
    traces = read_traces(SAMPLE.splitlines())
    assert [len(trace.events) for trace in traces] == [12, 2, 7, 8]
    assert [trace.heading for trace in traces] == ["a pause", "a wait",
                                                   "a wait of the thread that runs the vCPU",
                                                   "a page that moves"]
    picture = Picture(traces[0].events)
    vcpu, changer = picture.lanes[(1, 0)], picture.lanes[(0, 0)]
    assert vcpu.spans == [(800, 1000, "outside"), (1000, 1150, "guest"), (1150, 1220, "exiting"),
                          (1220, 1240, "outside"), (1240, 1400, "held"), (1400, 1500, "vmm"),
                          (1500, 1600, "guest")], vcpu.spans
    assert changer.spans == [(1050, 1100, "busy"), (1100, 1250, "pausing"), (1250, 1400, "holding"),
                             (1400, 1450, "busy")], changer.spans
    assert [mark[1] for mark in changer.marks] == ["change: begin", "kicked", "publish", "resume",
                                                   "change: end"]
    assert Picture(traces[1].events).lanes[(0, 0)].spans == [(-245, 5, "vmm"), (5, 9, "waiting")]
    keeper = Picture(traces[2].events)
    assert sorted(keeper.lanes) == [(0, 0), (1, 0)]
    assert keeper.lanes[(1, 0)].spans == [(-150, 200, "waiting"), (200, 250, "vmm"), (250, 300, "guest"),
                                          (300, 310, "outside"), (310, 350, "vmm"), (350, 360, "waiting")]
    move = Picture(traces[3].events)
    vcpu, mover = move.lanes[(1, 0)], move.lanes[(0, 0)]
    assert vcpu.spans == [(-150, 120, "guest"), (120, 130, "outside"), (130, 160, "stalled"),
                          (160, 170, "outside"), (170, 180, "guest")], vcpu.spans
    assert vcpu.cuts == [130, 150] and vcpu.marks == [(160, "reload after 2 retries")]
    assert [mark[1] for mark in mover.marks] == ["migration: begin", "exchanged", "migration: end"]
    assert step(600) == 50 and step(7) == 1 and step(1_000_000) == 100_000
    picture = draw(traces, "a < b")
    assert "a &lt; b" in picture and picture.count("<svg") == picture.count("</svg>") == 1


def main():
    parser = argparse.ArgumentParser(description="draw the traces of a run as a timeline")
    parser.add_argument("console", nargs="?")
    parser.add_argument("-o", "--output")
    parser.add_argument("--title", default="")
    parser.add_argument("--only", help="which traces, from 0 on, separated by commas")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        self_test()
        return 0
    if not args.console or not args.output:
        parser.error("a console and -o OUT.SVG are needed")
    with open(args.console, encoding="utf-8", errors="replace") as f:
        traces = read_traces(f)
    try:
        chosen = [traces[int(n)] for n in args.only.split(",")] if args.only else traces
    except (ValueError, IndexError):
        parser.error(f"--only {args.only}: there are {len(traces)} traces")
    if not chosen:
        print(f"{args.console}: no trace in it", file=sys.stderr)
        return 1
    svg.write(args.output, draw(chosen, args.title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
