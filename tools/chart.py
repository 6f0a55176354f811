# SPDX-License-Identifier: GPL-2.0-only
"""Charts for the page of ./stillpoint compare and for its chapter: bars, and lines.

What they are made of has classes and no colours, so that the page can show them light or dark. A file
of its own brings STYLE along.
"""

import html
import math

import svg

# Class: colour on white, colour on black.
COLOURS = {
    "stillpoint": ("#2f74c0", "#6cb0f5"),
    "stock": ("#6b7680", "#a9b4be"),
    "patched": ("#b84d27", "#f0916d"),
    "stop": ("#b04a44", "#e98b84"),
    "change": ("#7f5fa8", "#b99ddd"),
    "rebuild": ("#2f7d47", "#7fcf97"),
    "queue": ("#b84d27", "#f0916d"),
    "exit": ("#2f74c0", "#6cb0f5"),
    "plain": ("#2f74c0", "#6cb0f5"),
    "more": ("#916209", "#f0c05a"),
}
INKS = {"ink": ("#1b1f23", "#e8eaed"), "dim": ("#545d66", "#a7b0b9"), "grid": ("#dde2e6", "#3a4149")}
WIDTH, LEFT, RIGHT, BAR, GAP = 860, 230, 150, 20, 8
CHARACTER = 6.6  # width of one, at most


def rules(which):
    """CSS for the classes. which: 0 for a light ground, 1 for a dark one."""
    lines = [f".c-{name}{{fill:{colours[which]};stroke:{colours[which]}}}" for name, colours in COLOURS.items()]
    lines += [f".c-{name}{{fill:{colours[which]}}}" for name, colours in INKS.items() if name != "grid"]
    lines.append(f".c-grid{{stroke:{INKS['grid'][which]};fill:none}}")
    return lines


STYLE = "".join(rules(0)) + \
    "rect.bar,circle.bar{stroke:none}path.line{fill:none;stroke-width:2}path.dash{stroke-dasharray:6 4}"


def standalone(picture, drawn):
    """An SVG file of what bars() or lines() has returned."""
    width, height, parts = picture
    return svg.document(width, height, drawn, [f"<style>{STYLE}</style>"] + parts)


def inline(picture, name, title, words):
    """An <svg> element for a page; title and words are what it says to who cannot see it."""
    width, height, parts = picture
    return "\n".join([
        f'<svg role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {width} {height:.0f}" '
        f'style="max-width:{width}px" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11.5">',
        f'<title id="{name}-t">{html.escape(title)}</title><desc id="{name}-d">{html.escape(words)}</desc>'] +
        parts + ["</svg>"])


def label(x, y, words, kind="ink", more=""):
    return svg.text(x, y, words, f'class="c-{kind}" {more}')


def legend(out, entries, y):
    """entries: (class, words, dashed). Returns where it ends."""
    x = 8
    for kind, words, dashed in entries:
        width = 40 + CHARACTER * len(words)
        if x + width > WIDTH:
            x, y = 8, y + 18
        if dashed is None:
            out.append(f'<rect class="bar c-{kind}" x="{x:.0f}" y="{y - 10}" width="14" height="12"/>')
        else:
            out.append(f'<path class="line c-{kind}{" dash" if dashed else ""}" d="M{x:.0f} {y - 4} h20"/>')
        out.append(label(x + (19 if dashed is None else 25), y, words))
        x += width
    return y


def bars(groups, entries):
    """Horizontal bars.

    groups: (heading, rows), each to a scale of its own; rows: (words, [(class, value)], words at the
    end); a row without values is a reason. entries: the legend's (class, words).
    """
    out = []
    y = legend(out, [(kind, words, None) for kind, words in entries], 18) + 14 if entries else 8
    for heading, rows in groups:
        if heading:
            y += 16
            out.append(label(8, y, heading, "ink", 'font-weight="bold"'))
            y += 8
        most = max([sum(value for _, value in parts) for _, parts, _ in rows if parts] or [0]) or 1
        for words, parts, after in rows:
            out.append(label(LEFT - 8, y + BAR - 6, words, "ink", 'text-anchor="end"'))
            x = LEFT
            for kind, value in parts:
                width = value / most * (WIDTH - LEFT - RIGHT)
                if width > 0:
                    out.append(f'<rect class="bar c-{kind}" x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" '
                               f'height="{BAR}"><title>{html.escape(words)}: {value:,.0f}</title></rect>')
                x += max(width, 1) if value > 0 else 0
            out.append(label(x + 6, y + BAR - 6, after, "ink" if parts else "dim",
                             "" if parts else 'font-style="italic"'))
            y += BAR + GAP
    return WIDTH, y + 6, out


def step(top):
    """A round distance between lines, about five of them."""
    size = 10 ** math.floor(math.log10(max(top, 1e-9)))
    return next(size * f / 10 for f in (1, 2, 5, 10, 20, 50) if top / (size * f / 10) <= 6)


def lines(panels):
    """Two panels side by side. panels: (heading, curves); curves: (class, words, dashed, [(x, y)]).

    Both axes begin at 0; the x values are counts.
    """
    width, height, left, between = 340, 240, 56, 100
    entries = {(kind, words): (kind, words, dashed) for _, curves in panels for kind, words, dashed, _ in curves}
    out = []
    top = legend(out, list(entries.values()), 18) + 40
    for n, (heading, curves) in enumerate(panels):
        x0 = left + n * (width + between)
        points = [p for _, _, _, curve in curves for p in curve]
        x_most, y_most = max(x for x, _ in points), max(y for _, y in points) * 1.06 or 1
        out.append(label(x0, top - 14, heading, "ink", 'font-weight="bold"'))
        distance = step(y_most)
        for i in range(int(y_most / distance) + 1):
            y = top + height - i * distance / y_most * height
            out.append(f'<path class="c-grid" d="M{x0} {y:.1f} h{width}"/>')
            out.append(label(x0 - 6, y + 4, f"{i * distance:g}" if distance < 1 else f"{i * distance:,.0f}", "dim",
                             'text-anchor="end"'))
        for x in range(0, x_most + 1):
            out.append(label(x0 + x / x_most * width, top + height + 16, str(x), "dim", 'text-anchor="middle"'))
        out.append(label(x0 + width / 2, top + height + 34, "vCPUs", "dim", 'text-anchor="middle"'))
        ends = []
        for kind, words, dashed, curve in curves:
            at = [(x0 + x / x_most * width, top + height - y / y_most * height) for x, y in curve]
            path = " L".join(f"{x:.1f} {y:.1f}" for x, y in at)
            out.append(f'<path class="line c-{kind}{" dash" if dashed else ""}" d="M{path}"/>')
            out += [f'<circle class="bar c-{kind}" cx="{px:.1f}" cy="{py:.1f}" r="3"><title>{html.escape(words)}, {x} '
                    f'vCPUs: {y:,.2f}</title></circle>' for (px, py), (x, y) in zip(at, curve)]
            last = curve[-1][1]
            ends.append((at[-1][1], at[-1][0], f"{last:,.0f}" if last >= 20 else f"{last:.1f}", kind))
        label_ends(out, ends)
    return left + 2 * width + between + 64, top + height + 44, out


def label_ends(out, ends):
    """What the curves are at their ends, none on top of another."""
    last = None
    for y, x, words, kind in sorted(ends):
        y = y if last is None else max(y, last + 12)
        last = y
        out.append(label(x + 7, y + 4, words, kind, 'font-size="10" style="stroke:none"'))


def self_test():
    picture = bars([("one", [("a", [("plain", 10), ("more", 30)], "40"), ("b", [], "no such thing")])],
                   [("plain", "first")])
    words = "".join(picture[2])
    assert picture[0] == WIDTH and words.count("<rect") == 3 and "no such thing" in words
    assert step(1464) == 500 and step(7) == 2
    picture = lines([("left", [("exit", "exits", False, [(1, 5), (2, 10)])]),
                     ("right", [("queue", "queue", True, [(1, 1), (2, 1)])])])
    words = "".join(picture[2])
    assert words.count("<circle") == 4 and "dash" in words
    whole = standalone(picture, "the test")
    assert whole.count("<svg") == whole.count("</svg>") == 1
    assert 'aria-labelledby="n-t n-d"' in inline(picture, "n", "A & B", "words") and "A &amp; B" in \
        inline(picture, "n", "A & B", "words")
