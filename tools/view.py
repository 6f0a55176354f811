# SPDX-License-Identifier: GPL-2.0-only
"""What the user sees while a run goes on."""

import os
import sys

import results


class View:
    """What the user sees while it runs: a digest of KTAP, or the guest's text, or everything."""

    def __init__(self, kind):
        self.kind = kind
        self.tty = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.heading = False
        self.panic = False
        self.notes = []  # what was said since the last result
        self.explain = False  # the last result failed: what follows explains it

    def colour(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.tty else text

    def show(self, text):
        print(text, flush=True)

    def raw(self, line):
        if self.kind == "verbose":
            self.show(line)

    def text(self, line):
        """A line that is no KTAP. From a panic on every one matters."""
        self.panic = self.panic or line.startswith("panic: ")
        if results.FIRST_GUEST.match(line):
            return
        if self.panic or line.startswith("stillpoint: ") or self.kind in ("guest", "list"):
            if self.kind != "verbose":
                self.show(line)

    def guest_metric(self, line):
        if self.kind == "guest":
            self.show(line)

    def suite_begin(self, name):
        if self.kind == "run":
            self.heading = True
            self.show(self.colour(1, name))

    def result(self, ok, name, skip):
        if self.kind != "run":
            return
        if skip is not None:
            self.show(f"  {self.colour(33, 'skipped')}  {name}{': ' if name else ''}{skip}")
        elif ok:
            self.show(f"  {self.colour(32, 'ok')}       {name}")
        else:
            self.show(f"  {self.colour(31, 'FAILED')}   {name}")
        self.explain = not ok
        if self.explain:
            for text in self.notes:
                self.note(text, True)
        self.notes = []

    def note(self, text, nested):
        """Around a failed result it explains; around a good one it stays in console.txt."""
        if self.kind != "run" or not text:
            return
        if not nested:
            self.show(text)
        elif self.explain:
            self.show(f"           {text}")
        else:
            self.notes.append(text)

    def suite_end(self, suite):
        self.notes = []
        self.explain = False
        if self.kind != "run":
            return
        if suite.skip_reason is not None and not suite.results:
            self.show(f"{self.colour(1, suite.name)}\n"
                      f"  {self.colour(33, 'skipped')}  {suite.skip_reason}")
        elif not self.heading:
            self.show(f"{self.colour(1, suite.name)}: {suite.passed} passed, "
                      f"{suite.failed} failed, {suite.skipped} skipped")
        self.heading = False
