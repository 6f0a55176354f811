#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The tables at the end of a run: experiments with their counts, metrics in columns.

usage: report.py out/NAME    prints them again from what a run has left there
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import results  # noqa: E402  (found through the line above)


def table(rows, right):
    """Lines of aligned columns. @right: the indices of right-aligned ones."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return lines


def experiment_table(parsed):
    """One row per experiment and a total; nothing when there were none."""
    if not parsed.suites:
        return []
    rows = [("experiment", "passed", "failed", "skipped")]
    for suite in parsed.suites:
        rows.append((suite.name, str(suite.passed), str(suite.failed), str(suite.skipped)))
    if len(parsed.suites) > 1:
        rows.append(("total",) + tuple(str(n) for n in parsed.totals()))
    return table(rows, {1, 2, 3})


def number(value):
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.1f}"
    return f"{int(value):,}"


def metric_table(metrics):
    """One row per metric; a single value stands in the median's column."""
    if not metrics:
        return []
    rows = [("metric", "parameters", "n", "min", "p50", "p99", "max", "unit")]
    for metric in metrics:
        params = " ".join(f"{key}={value}" for key, value in metric["params"].items())
        if "value" in metric:
            values = ("", "", number(metric["value"]), "", "")
        else:
            values = tuple(number(metric[key]) for key in ("n", "min", "p50", "p99", "max"))
        rows.append((metric["name"], params) + values + (metric["unit"],))
    return table(rows, {2, 3, 4, 5, 6})


def counter_table(counters):
    """One row per counter of the hypervisor that is not zero, with its meaning."""
    if not counters:
        return []
    rows = [("counter", "value", "meaning")]
    rows += [(name, number(value), meaning) for name, value, meaning in counters]
    return table(rows, {1})


def report(parsed, metrics):
    """The whole report as lines."""
    lines = []
    for part in (experiment_table(parsed), metric_table(metrics), counter_table(parsed.counters)):
        if lines and part:
            lines.append("")
        lines += part
    return lines


def read(folder):
    """Parse what a run has left: (results, metrics)."""
    parsed = results.Results()
    with open(os.path.join(folder, "ktap.txt"), encoding="utf-8") as file:
        for line in file:
            parsed.feed(line.rstrip("\n"))
    parsed.finish()
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        metrics = [json.loads(line) for line in file]
    return parsed, metrics


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        parsed, metrics = read(sys.argv[1])
    except (OSError, ValueError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(report(parsed, metrics)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
