# SPDX-License-Identifier: GPL-2.0-only
"""Compares the metrics of a run with limits.

usage: limits.py METRICS.JSONL at-most LIMIT NAME [KEY=VALUE ...]
       limits.py METRICS.JSONL at-least LIMIT NAME [KEY=VALUE ...]
       limits.py METRICS.JSONL ratio LIMIT NAME [KEY=VALUE ...]

A metric is chosen by its name and those of its parameters that are given; its value is the median.
at-most, at-least: all that are chosen are at most (at least) LIMIT. ratio: an argument "KEY=A,B"
makes two choices, and neither is more than LIMIT times the other.
"""

import json
import sys


def chosen(metrics, name, wanted):
    """The medians, or values, of the metrics that fit."""
    return [
        m.get("value", m.get("p50"))
        for m in metrics
        if m["name"] == name
        and all(str(m.get("params", {}).get(key)) == value for key, value in wanted.items())
    ]


def main(path, what, limit, name, *conditions):
    with open(path, encoding="utf-8") as file:
        metrics = [json.loads(line) for line in file]
    pairs = [c.partition("=")[::2] for c in conditions]
    words = " ".join((name, *conditions))
    if what in ("at-most", "at-least"):
        values = chosen(metrics, name, dict(pairs))
        print(f"{words}: {values}, {what.replace('-', ' ')} {limit}")
        if not values:
            return True
        return max(values) > float(limit) if what == "at-most" else min(values) < float(limit)
    sides = []
    for side in (0, 1):
        wanted = {key: value.split(",")[side if "," in value else 0] for key, value in pairs}
        values = chosen(metrics, name, wanted)
        if len(values) != 1:
            print(f"{words}: {len(values)} metrics fit {wanted}, not one")
            return True
        sides += values
    print(f"{words}: {sides[0]} and {sides[1]}, within {limit} times")
    return max(sides) > float(limit) * min(sides)


sys.exit(main(*sys.argv[1:]))
