# SPDX-License-Identifier: GPL-2.0-only
"""What the tools that draw pictures share: text, the document around it, and the command line of those
that draw from a run's metrics."""

import argparse
import html
import json
import sys


def text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(words)}</text>'


def document(width, height, drawn, parts):
    """The SVG of these elements. drawn: by what, from what."""
    return "\n".join([
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<!-- SPDX-License-Identifier: GPL-2.0-only -->',
        f'<!-- Drawn by {drawn}. -->',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11.5">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>'] + parts + ["</svg>", ""])


def write(path, picture):
    with open(path, "w", encoding="utf-8") as f:
        f.write(picture)


def from_metrics(what, self_test, draw, missing, options=()):
    """main() of a tool: METRICS.JSONL -o OUT.SVG. draw(metrics, args) returns the picture;
    missing(metrics, args) says what the metrics lack for it, or nothing; options: (name, choices)."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("metrics", nargs="?")
    parser.add_argument("-o", "--output")
    parser.add_argument("--self-test", action="store_true")
    for name, choices in options:
        parser.add_argument("--" + name, default=choices[0], choices=choices)
    args = parser.parse_args()
    if args.self_test:
        self_test()
        return 0
    if not args.metrics or not args.output:
        parser.error("a metrics.jsonl and -o OUT.SVG are needed")
    with open(args.metrics, encoding="utf-8") as f:
        metrics = [json.loads(line) for line in f]
    lacks = missing(metrics, args)
    if lacks:
        print(f"{args.metrics}: {lacks}", file=sys.stderr)
        return 1
    write(args.output, draw(metrics, args))
    return 0
