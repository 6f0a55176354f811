#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Turn a trail of SPIN into an interleaving for people.

usage: interleaving.py MODEL.pml TITLE <TRAIL

TRAIL is what "spin -t -p" prints. The result is a Markdown section: a numbered table, a column per
process, a row per step. What a step is called stands in the model, at the end of its line:
/*: text */. Lines without such a comment are bookkeeping and left out. At the end of an assertion,
/*! text */ says what is wrong when it fails. The columns' headings are in the model too:
/*@ column PROCTYPE "heading" */.
"""

import re
import sys

FAILED = re.compile(r"spin: \S*?:(\d+), Error: assertion violated")
WRONG = re.compile(r"/\*! (.*?) \*/")
LABEL = re.compile(r"/\*: (.*?) \*/")
COLUMN = re.compile(r'/\*@ column (\w+) "([^"]*)" \*/')
STEP = re.compile(r"\s*\d+:\s+proc\s+(\d+) \((\S+?):\d+\) \S*?:(\d+) \(state (\d+)\)")
PROCESS = re.compile(r"Starting (\w+) with pid (\d+)")
CODE = re.compile(r"\.?\b\w*_\w+(?:\(\w*\))?|\b\w+\(\)|\b[A-Z]{2,}_[A-Z_]+\b|\b\w+\+\+")


class Trail:
    """The labelled steps of a trail: (process id, text)."""

    def __init__(self, model, lines):
        with open(model, encoding="utf-8") as file:
            text = file.read()
        self.heading = dict(COLUMN.findall(text))
        self.labels = {}
        self.wrong = {}
        for number, line in enumerate(text.splitlines(), 1):
            found = LABEL.search(line)
            if found:
                self.labels[number] = found.group(1)
            found = WRONG.search(line)
            if found:
                self.wrong[number] = found.group(1)
        self.names = {}
        self.steps = []
        self.read(lines)

    def read(self, lines):
        last = None
        for line in lines:
            if line.startswith("spin: trail ends"):
                break
            started = PROCESS.search(line)
            if started:
                self.names[int(started.group(2))] = started.group(1)
                continue
            failed = FAILED.match(line)
            if failed and int(failed.group(1)) in self.wrong:
                self.steps.append((self.steps[-1][0], self.wrong[int(failed.group(1))]))
            step = STEP.match(line)
            if not step:
                continue
            pid, name, number, state = step.groups()
            pid, number, state = int(pid), int(number), int(state)
            self.names.setdefault(pid, name)
            # The statements of one line are one step, unless the line is executed again.
            again = last and last[:2] == (pid, number) and state > last[2]
            if number in self.labels:
                last = (pid, number, state)
                if not again:
                    self.steps.append((pid, self.labels[number]))
            elif last and last[0] != pid:
                last = None

    def columns(self):
        """The processes that do anything, in the order of the model's headings: {pid: heading}."""
        active = {pid for pid, _ in self.steps}
        order = list(self.heading)
        result = {}
        for pid in sorted(active, key=lambda p: (order.index(self.names[p]), p)):
            name = self.names[pid]
            alike = sorted(p for p in active if self.names[p] == name)
            number = f" {alike.index(pid) + 1}" if len(alike) > 1 else ""
            result[pid] = self.heading[name] + number
        return result


def as_code(text):
    return CODE.sub(lambda m: f"`{m.group(0)}`", text).replace("|", "\\|")


def table(trail):
    columns = trail.columns()
    pids = list(columns)
    rows = ["| | " + " | ".join(columns.values()) + " |", "|-:" + "|---" * len(pids) + "|"]
    for number, (pid, text) in enumerate(trail.steps, 1):
        cells = [""] * len(pids)
        cells[pids.index(pid)] = as_code(text)
        rows.append(f"| {number} | " + " | ".join(cells) + " |")
    return "\n".join(re.sub(r" +\|", " |", row) for row in rows)


def main():
    model, title = sys.argv[1:]
    trail = Trail(model, sys.stdin)
    if not trail.steps:
        sys.exit(f"{model}: the trail has no step with a label")
    print(f"## {title}\n\n{table(trail)}")


if __name__ == "__main__":
    main()
