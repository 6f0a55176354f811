# SPDX-License-Identifier: GPL-2.0-only
"""Reads what the image prints: KTAP with one nested list per experiment, and metrics."""

import json
import re

RESULT = re.compile(r"^( *)(not ok|ok) (\d+)(?: -)?(?: (.*))?$")
PLAN = re.compile(r"^( *)1\.\.(\d+)(?: *# *SKIP *(.*))?$")
VERSION = re.compile(r"^( *)KTAP version 1$")
NOTE = re.compile(r"^( *)# ?(.*)$")
END = re.compile(r"^stillpoint: end (\d+) ?(.*)$")
FIRST_GUEST = re.compile(r"^stillpoint: first guest instruction at tick (\d+)")
GUEST_METRIC = re.compile(r"^[\w.-]+: +# metric (.*)$")  # what the guest itself has measured
COUNTER = re.compile(r"^counter (\S+) (\d+) \((.*)\)$")
UNITS = ("ticks", "count", "bytes", "ms")


class Suite:
    """One experiment's list of results."""

    def __init__(self):
        self.name = None
        self.results = 0
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.plan = None
        self.skip_reason = None


class Results:
    """Fed line by line; calls the handler's methods as things become known.

    The handler may define: suite_begin(name), result(ok, name, skip_reason), note(text, nested),
    suite_end(suite), metric(dict), guest_metric(line), text(line).
    """

    def __init__(self, handler=None):
        self.handler = handler
        self.suites = []
        self.current = None
        self.plan = None
        self.metrics = []
        self.metric_lines = []
        self.counters = []  # (name, value, meaning)
        self.ktap_lines = []
        self.problems = []
        self.end = None
        self.started = False

    def tell(self, what, *args):
        method = getattr(self.handler, what, None)
        if method:
            method(*args)

    def feed(self, line):
        """One line of the console, without its newline."""
        end = END.match(line)
        if end:
            self.end = (int(end.group(1)), end.group(2).strip())
            return
        for pattern, action in (
            (VERSION, self._version),
            (PLAN, self._plan),
            (RESULT, self._result),
            (NOTE, self._note),
        ):
            match = pattern.match(line)
            if match:
                # Before the first version line only diagnostics are expected.
                if pattern not in (VERSION, NOTE) and not self.started:
                    break
                if self.started or pattern is VERSION:
                    self.ktap_lines.append(line)
                action(match)
                return
        if measured := GUEST_METRIC.match(line):
            self._metric(measured.group(1))
            self.tell("guest_metric", line)
            return
        self.tell("text", line)

    def _suite(self):
        if self.current is None:
            self.current = Suite()
        return self.current

    def _version(self, match):
        self.started = True
        if match.group(1):
            self._suite()

    def _plan(self, match):
        count = int(match.group(2))
        if not match.group(1):
            self.plan = count
            return
        suite = self._suite()
        if suite.plan is not None:
            self.problems.append("two plans in one list")
        suite.plan = count

    def _result(self, match):
        indent, verdict, number, rest = match.groups()
        ok = verdict == "ok"
        name, skip = split_directive(rest or "")
        if indent:
            suite = self._suite()
            suite.results += 1
            if int(number) != suite.results:
                self.problems.append(f"result {number} where {suite.results} was due: {name}")
            if skip is not None:
                suite.skipped += 1
            elif ok:
                suite.passed += 1
            else:
                suite.failed += 1
            self.tell("result", ok, name, skip)
            return
        suite = self._suite()
        self.current = None
        suite.name = name
        suite.skip_reason = skip
        if suite.plan is not None and suite.plan != suite.results:
            self.problems.append(f"{name}: {suite.plan} results planned, {suite.results} seen")
        if skip is not None and not suite.results:
            suite.skipped += 1
        if not ok and not suite.failed:
            # The experiment as a whole says so: count it, or it would be lost in the totals.
            suite.failed += 1
        self.suites.append(suite)
        if int(number) != len(self.suites):
            self.problems.append(f"experiment {number} where {len(self.suites)} was due: {name}")
        self.tell("suite_end", suite)

    def _note(self, match):
        text = match.group(2)
        if text.startswith("Subtest: "):
            self._suite().name = text[len("Subtest: "):]
            self.tell("suite_begin", self.current.name)
        elif text.startswith("metric "):
            self._metric(text[len("metric "):])
        elif counter := COUNTER.match(text):
            name, value, meaning = counter.groups()
            self.counters.append((name, int(value), meaning))
        else:
            self.tell("note", text, self.current is not None)

    def _metric(self, text):
        try:
            metric = json.loads(text)
            check_metric(metric)
        except ValueError as error:
            self.problems.append(f"unreadable metric ({error}): {text}")
            return
        self.metrics.append(metric)
        self.metric_lines.append(text)
        self.tell("metric", metric)

    def finish(self):
        """No more lines: what is missing? Returns the list of problems."""
        if self.current is not None:
            name = self.current.name or "an experiment"
            self.problems.append(f"{name} began and did not end")
            self.suites.append(self.current)
            self.current.name = name
            self.current = None
        if self.plan is not None and self.plan != len(self.suites):
            self.problems.append(
                f"{self.plan} experiments planned, {len(self.suites)} seen")
        return self.problems

    def totals(self):
        return tuple(
            sum(getattr(suite, what) for suite in self.suites)
            for what in ("passed", "failed", "skipped"))


def split_directive(text):
    """"name # SKIP why" -> ("name", "why"); without a directive -> (name, None)."""
    match = re.match(r"^(.*?) *# *SKIP\b *(.*)$", text)
    if match:
        return match.group(1), match.group(2)
    return text, None


def check_metric(metric):
    """ValueError unless @metric is what docs and readers of metrics.jsonl rely on."""
    if not isinstance(metric, dict):
        raise ValueError("not an object")
    for key, kind in (("name", str), ("unit", str), ("params", dict)):
        if not isinstance(metric.get(key), kind):
            raise ValueError(f"no {key}")
    if metric["unit"] not in UNITS:
        raise ValueError(f"unit {metric['unit']!r}")
    numbers = ("value",) if "value" in metric else ("n", "min", "p50", "p99", "max")
    for key in numbers:
        if not isinstance(metric.get(key), (int, float)) or isinstance(metric.get(key), bool):
            raise ValueError(f"no number {key}")
    if "value" not in metric and not (
            metric["min"] <= metric["p50"] <= metric["p99"] <= metric["max"] and metric["n"] > 0):
        raise ValueError("min, p50, p99 and max are out of order")
