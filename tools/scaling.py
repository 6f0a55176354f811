#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draws the demand paging of experiment `missing` as an SVG: pages brought by 1 to 7 vCPUs in each of
the three ways, and beside it the curves that were posted for KVM, both as multiples of one vCPU's.

usage: scaling.py METRICS.JSONL -o OUT.SVG
       scaling.py --self-test
"""

import math
import sys

import svg
from svg import text

WAYS = [("queue", "#d9704a", "queue: a handler serves all"),
        ("exit", "#4a90d9", "exit: each vCPU's VMM thread brings its pages"),
        ("bitmap", "#5aa469", "bitmap: the same, and a bit per page")]
# Pages per millisecond for 1, 2, 4, ... 256 vCPUs, as posted with the series for KVM.
POSTED = {"queue": [150, 191, 210, 155, 130, 108, 86, 62, 36],
          "exit": [340, 477, 809, 1239, 1595, 2299, 3482, 4134, 4012]}
LEFT, TOP, CHART, PANEL, BETWEEN = 64, 74, 300, 400, 84
WIDTH = LEFT + 2 * PANEL + BETWEEN + 60
HEIGHT = TOP + CHART + 70


def curve(metrics, way, region, access):
    """(vCPUs, pages per million ticks), in order."""
    points = []
    for metric in metrics:
        params = metric.get("params", {})
        if metric["name"] == "missing.rate" and params.get("way") == way and \
                params.get("region") == region and params.get("access") == access:
            points.append((params["vcpus"], metric["value"]))
    return sorted(points)


def step(top):
    """A round distance between lines, about five of them."""
    size = 10 ** math.floor(math.log10(max(top, 1)))
    return next(size * f / 10 for f in (1, 2, 5, 10, 20, 50) if top / (size * f / 10) <= 6)


def number(value):
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


class Panel:
    """One chart. Both axes start at 0, or are logarithmic to base 2."""

    def __init__(self, left, x_max, y_max, log):
        self.left, self.x_max, self.y_max, self.log = left, x_max, y_max, log

    def part(self, value, most, least):
        if not self.log:
            return value / most
        return (math.log2(value) - math.log2(least)) / (math.log2(most) - math.log2(least))

    def at(self, x, y):
        return (self.left + self.part(x, self.x_max, 1) * PANEL,
                TOP + CHART - self.part(y, self.y_max, 1 / 8) * CHART)

    def line(self, out, points, colour, dash=""):
        at = [self.at(x, y) for x, y in points]
        path = " L".join(f"{x:.1f} {y:.1f}" for x, y in at)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" {dash}/>')
        for (x, y), (n, value) in zip(at, points):
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{n} vCPUs: '
                       f'{number(value)}</title></circle>')

    def axes(self, out, xs, ys, words):
        for y in ys:
            _, py = self.at(1, y)
            out.append(f'<path d="M{self.left} {py:.1f} h{PANEL}" stroke="#dde2e6"/>')
            out.append(text(self.left - 8, py + 4, number(y), 'text-anchor="end" fill="#555"'))
        for x in xs:
            px, _ = self.at(x, 1)
            out.append(text(px, TOP + CHART + 18, str(x), 'text-anchor="middle" fill="#555"'))
        out.append(f'<path d="M{self.left} {TOP + CHART} h{PANEL}" stroke="#555"/>')
        out.append(text(self.left + PANEL / 2, TOP + CHART + 36, "vCPUs", 'text-anchor="middle" fill="#555"'))
        out.append(text(self.left, TOP - 14, words, 'font-size="13" font-weight="bold" fill="#111"'))


def label_ends(out, ends):
    """What the lines of a panel are at their right ends, none on top of another."""
    last = None
    for y, x, words, colour in sorted(ends):
        y = y if last is None else max(y, last + 12)
        last = y
        out.append(text(x + 8, y + 4, words, f'font-size="10" fill="{colour}"'))


def draw_rates(out, metrics, region, access):
    curves = [(way, colour, curve(metrics, way, region, access)) for way, colour, _ in WAYS]
    most = max(y for _, _, points in curves for _, y in points)
    distance = step(most)
    panel = Panel(LEFT, max(x for _, _, points in curves for x, _ in points), most * 1.05, False)
    panel.axes(out, range(1, panel.x_max + 1), [distance * i for i in range(int(panel.y_max // distance) + 1)],
               f"Pages per million ticks ({region} regions, {access}), Bochs")
    ends = []
    for _, colour, points in curves:
        if points:
            panel.line(out, points, colour)
            x, y = panel.at(*points[-1])
            ends.append((y, x, number(points[-1][1]), colour))
    label_ends(out, ends)


def draw_posted(out, metrics, region, access):
    panel = Panel(LEFT + PANEL + BETWEEN, 256, 16, True)
    panel.axes(out, [1 << i for i in range(9)], [0.25, 0.5, 1, 2, 4, 8, 16],
               "As multiples of one vCPU's; dashed: posted for KVM")
    ends = []
    for way, colour, _ in WAYS:
        points = curve(metrics, way, region, access)
        if points and points[0][0] == 1 and points[0][1]:
            panel.line(out, [(x, y / points[0][1]) for x, y in points], colour)
        if way in POSTED:
            times = [(1 << i, value / POSTED[way][0]) for i, value in enumerate(POSTED[way])]
            panel.line(out, times, colour, 'stroke-dasharray="5 4"')
            x, y = panel.at(*times[-1])
            ends.append((y, x, number(round(times[-1][1], 2)), colour))
    label_ends(out, ends)


def draw_legend(out):
    x = LEFT
    for _, colour, words in WAYS:
        out.append(f'<rect x="{x:.0f}" y="14" width="14" height="12" fill="{colour}"/>')
        out.append(text(x + 19, 24, words, 'fill="#222"'))
        x += 46 + 6.4 * len(words)


def draw(metrics, region="private", access="write"):
    out = []
    draw_legend(out)
    draw_rates(out, metrics, region, access)
    draw_posted(out, metrics, region, access)
    out.append(text(LEFT, HEIGHT - 14, "Left: each vCPU on a CPU of its own, the handler on another. Right: "
                    "posted are pages per millisecond, on a machine with 256 CPUs.", 'fill="#555"'))
    return svg.document(WIDTH, HEIGHT, "tools/scaling.py from the metrics of a run", out)


def self_test():
    def rate(way, vcpus, value):
        return {"name": "missing.rate", "value": value, "params": {
            "way": way, "vcpus": vcpus, "region": "private", "access": "write"}}

    metrics = [rate("exit", 2, 1464), rate("exit", 1, 735), rate("queue", 1, 350), rate("queue", 2, 683),
               {"name": "missing.fault", "p50": 7, "params": {"way": "exit"}}]
    assert curve(metrics, "exit", "private", "write") == [(1, 735), (2, 1464)]
    assert curve(metrics, "exit", "private", "read") == []
    assert step(1464) == 500 and step(6) == 1 and step(735) == 200
    assert number(1464) == "1,464" and number(0.24) == "0.24"
    panel = Panel(0, 256, 16, True)
    assert panel.at(1, 16) == (0, TOP) and panel.at(256, 1 / 8) == (PANEL, TOP + CHART)
    picture = draw(metrics)
    assert "1,464" in picture and picture.count("<svg") == picture.count("</svg>") == 1


def lacking(metrics, args):
    if any(curve(metrics, way, args.region, args.access) for way, _, _ in WAYS):
        return ""
    return "no missing.rate of these regions and accesses in it"


def main():
    return svg.from_metrics("draw the rates of experiment missing", self_test,
                            lambda metrics, args: draw(metrics, args.region, args.access), lacking,
                            (("region", ("private", "overlapping")), ("access", ("write", "read"))))


if __name__ == "__main__":
    sys.exit(main())
