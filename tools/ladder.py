#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draws the ladder of experiment `apic` as an SVG: per mode and rung the ticks of an IPI, and below
each rung what a single operation costs, in exits and in ticks.

usage: ladder.py METRICS.JSONL -o OUT.SVG
       ladder.py --self-test
"""

import sys

import svg
from svg import text

RUNGS = ["emulate", "tpr", "access", "register", "delivery", "x2apic"]
MODES = [("xapic", "xAPIC mode: registers in memory"), ("x2apic", "x2APIC mode: registers as MSRs")]
BARS = [("plain", "#4a90d9", "IPI, there and back; the handler ends the interrupt"),
        ("levels", "#8d6fb3", "the handler also raises CR8, reads ID, lowers CR8")]
# The rows of the table: words, and which samples they are.
ROWS = [
    ("CR8, write + read", {"op": "cr8"}),
    ("TPR, write + read", {"op": "tpr"}),
    ("EOI, write", {"op": "eoi"}),
    ("ID, read", {"op": "id"}),
    ("ISR, read", {"op": "isr"}),
    ("self-IPI", {"op": "self"}),
    ("IPI", {"target": "spin", "handler": "plain"}),
    ("IPI to HLT", {"target": "hlt", "handler": "plain"}),
    ("IPI, levels", {"target": "spin", "handler": "levels"}),
]
LEFT, COLUMN, BETWEEN, TOP = 136, 64, 22, 64
CHART, ROW = 190, 34
WIDTH = LEFT + 2 * 6 * COLUMN + BETWEEN + 16
HEIGHT = TOP + CHART + 44 + ROW * len(ROWS) + 42


def find(metrics, name, **params):
    """The metric with these parameters, or None."""
    for metric in metrics:
        found = metric.get("params", {})
        if metric["name"] == name and all(found.get(key) == value for key, value in params.items()):
            return metric
    return None


def ticks_of(metrics, rung, mode, params):
    metric = find(metrics, "apic.op" if "op" in params else "apic.ipi", rung=rung, mode=mode, **params)
    return metric["p50"] if metric else None


def exits_of(metrics, rung, mode, params):
    """Exits because of the APIC per operation; None where it was not counted."""
    metric = find(metrics, "apic.exits", rung=rung, mode=mode, **params)
    return metric["value"] / metric["params"]["of"] if metric else None


def number(value):
    """A count of exits per operation as words."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value < 10 else f"{value:.0f}"


def column(mode, rung):
    return LEFT + mode * (6 * COLUMN + BETWEEN) + rung * COLUMN


def draw_bars(out, metrics, mode, top):
    """Two bars for every rung, to one scale for both modes."""
    foot = TOP + CHART
    for r, rung in enumerate(RUNGS):
        last = None
        for n, (handler, colour, _) in enumerate(BARS):
            ticks = ticks_of(metrics, rung, MODES[mode][0], {"target": "spin", "handler": handler})
            if ticks is None:
                continue
            height = ticks / top * (CHART - 40)
            x = column(mode, r) + 5 + n * 28
            out.append(f'<rect x="{x}" y="{foot - height:.1f}" width="26" height="{height:.1f}" '
                       f'fill="{colour}"><title>{rung}: {ticks:,} ticks</title></rect>')
            # A number is wider than its bar: not beside the other bar's.
            lift = 4 if last is None or abs(height - last) > 14 else 16 + max(0, last - height)
            last = height
            out.append(text(x + 13, foot - height - lift, f"{ticks:,}",
                            'text-anchor="middle" font-size="10" fill="#222"'))
        out.append(text(column(mode, r) + COLUMN / 2, foot + 16, rung, 'text-anchor="middle" fill="#111"'))
    out.append(f'<path d="M{column(mode, 0)} {foot} h{6 * COLUMN}" stroke="#555"/>')


def draw_cell(out, metrics, mode, r, n):
    exits = exits_of(metrics, RUNGS[r], MODES[mode][0], ROWS[n][1])
    ticks = ticks_of(metrics, RUNGS[r], MODES[mode][0], ROWS[n][1])
    x, y = column(mode, r), TOP + CHART + 44 + n * ROW
    colour = "#f1f3f5" if exits is None else "#d6ecd2" if exits == 0 else "#fbe3c8"
    out.append(f'<rect x="{x + 1}" y="{y + 1}" width="{COLUMN - 2}" height="{ROW - 2}" fill="{colour}"/>')
    middle = x + COLUMN / 2
    if exits is not None:
        out.append(text(middle, y + 15, number(exits), 'text-anchor="middle" font-weight="bold" fill="#111"'))
    if ticks is not None:
        out.append(text(middle, y + 28, f"{ticks:,}", 'text-anchor="middle" font-size="10" fill="#444"'))


def draw_legend(out, x, y):
    for _, colour, words in BARS:
        out.append(f'<rect x="{x}" y="{y - 10}" width="14" height="12" fill="{colour}"/>')
        out.append(text(x + 19, y, words, 'fill="#222"'))
        x += 40 + 6.5 * len(words)


def draw(metrics):
    out = []
    bars = [ticks_of(metrics, rung, mode, {"target": "spin", "handler": handler})
            for rung in RUNGS for mode, _ in MODES for handler, _, _ in BARS]
    top = max([ticks for ticks in bars if ticks is not None], default=1)
    draw_legend(out, LEFT, 22)
    out.append(text(LEFT - 10, TOP + CHART / 2, "ticks of an IPI", 'text-anchor="end" fill="#111"'))
    foot = TOP + CHART + 44
    out.append(text(LEFT - 10, foot - 26, "rung", 'text-anchor="end" fill="#555"'))
    for mode, (_, words) in enumerate(MODES):
        out.append(text(column(mode, 0), TOP - 14, words, 'font-size="13" font-weight="bold" fill="#111"'))
        draw_bars(out, metrics, mode, top)
        for r in range(len(RUNGS)):
            for n in range(len(ROWS)):
                draw_cell(out, metrics, mode, r, n)
    for n, (words, _) in enumerate(ROWS):
        out.append(text(LEFT - 10, foot + n * ROW + 21, words, 'text-anchor="end" fill="#111"'))
    out.append(text(LEFT, HEIGHT - 16, "In the table: exits because of the APIC, below them ticks, of one "
                    "operation; green: no exit. 50th percentile, Bochs.", 'fill="#555"'))
    return svg.document(WIDTH, HEIGHT, "tools/ladder.py from the metrics of a run", out)


def self_test():
    metrics = [
        {"name": "apic.op", "p50": 5, "params": {"rung": "tpr", "mode": "xapic", "op": "cr8"}},
        {"name": "apic.exits", "value": 64, "params": {"rung": "tpr", "mode": "xapic", "op": "cr8", "of": 128}},
        {"name": "apic.ipi", "p50": 1234, "params": {"rung": "tpr", "mode": "xapic", "target": "spin",
                                                     "handler": "plain"}},
    ]
    assert ticks_of(metrics, "tpr", "xapic", {"op": "cr8"}) == 5
    assert ticks_of(metrics, "tpr", "x2apic", {"op": "cr8"}) is None
    assert exits_of(metrics, "tpr", "xapic", {"op": "cr8"}) == 0.5
    assert exits_of(metrics, "tpr", "xapic", {"op": "eoi"}) is None
    assert [number(n) for n in (0, 0.5, 2, 12.3)] == ["0", "0.5", "2", "12"]
    picture = draw(metrics)
    assert "1,234" in picture and picture.count("<svg") == picture.count("</svg>") == 1


def main():
    return svg.from_metrics("draw the ladder of experiment apic", self_test, lambda metrics, _: draw(metrics),
                            lambda metrics, _: "" if any(metric["name"] == "apic.ipi" for metric in metrics)
                            else "no apic.ipi in it")


if __name__ == "__main__":
    sys.exit(main())
