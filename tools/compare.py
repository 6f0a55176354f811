#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""./stillpoint compare: the same experiments on Stillpoint, stock KVM and patched KVM, one table, one page.

usage: compare.py --out OUT [--words WORDS] [--cpus N] [--mem MB] [--model NAME] [--timeout SEC] [--seed N]
                  [--no-install] [--read]
       compare.py --self-test

Each step of tools/compare_table.py is run once on each side; WORDS (an experiment with its parameters, or
several experiments) choose. --read runs nothing, and reads what the last comparison has left in OUT.
OUT/STEP/SIDE/ are the runs' folders; OUT/index.html is the page, OUT/table.txt the table, and OUT/*.svg the
charts as files of their own.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import chart  # noqa: E402  (found through the line above)
import compare_answers  # noqa: E402
import compare_page  # noqa: E402
import compare_rows  # noqa: E402
import compare_table as table  # noqa: E402
import report  # noqa: E402
from compare_rows import number, params_words, times  # noqa: E402

USAGE, FAILED, TROUBLE = 2, 1, 126
COMMANDS = {"stillpoint": ("run",), "stock": ("linux", "--kernel", "stock"),
            "patched": ("linux", "--kernel", "patched")}
TITLE = "Stillpoint, stock KVM, patched KVM"


def say(words):
    print(f"stillpoint: {words}", file=sys.stderr, flush=True)


# --- what to run ---------------------------------------------------------------------------------

def plan(words, args):
    """The steps that these words ask for. ValueError with a line for the user."""
    groups = []
    for word in words:
        if "=" in word.split('"')[0]:
            if not groups:
                raise ValueError(f"compare: '{word}' comes before any experiment")
            groups[-1].append(word)
        else:
            groups.append([word])
    known = list(dict.fromkeys(step.experiment for step in table.STEPS))
    steps = []
    for group in groups or [[name] for name in known]:
        own = [step for step in table.STEPS if step.experiment == group[0]]
        if not own:
            raise ValueError(f"compare: nothing is known to compare of '{group[0]}'; there are: {' '.join(known)}")
        if len(group) > 1:
            # The user's parameters: one run, with the machine of the step that they name, if any.
            like = next((step for step in own if set(step.words) & set(group[1:])), own[0])
            own = [table.Step(group[0], tuple(group), like.cpus)]
        steps += own
    names = [step.name for step in steps]
    if len(set(names)) < len(names):
        raise ValueError("compare: name an experiment once")
    return [table.Step(s.name, s.words, args.cpus or s.cpus, args.mem or s.mem, s.own) for s in steps]


def command(step, side, args):
    """The command line of one run, for us and for whoever wants to repeat it."""
    own = step.own if side == "stillpoint" else ()
    words = ["./stillpoint", *COMMANDS[side], *step.words, *own, "--cpus", str(step.cpus), "--mem", str(step.mem),
             "--model", args.model, "--timeout", str(args.timeout)]
    if args.seed:
        words += ["--seed", args.seed]
    return words + ["--no-install"] * args.no_install


# --- running it ----------------------------------------------------------------------------------

class Runner:
    """Runs the steps, at most two emulators at a time, and says how far it is."""

    def __init__(self, args, steps):
        self.args, self.steps = args, steps
        self.lock = threading.Lock()
        self.done = 0
        self.children = set()

    def run(self):
        tasks = [(step, side) for step in self.steps for side in table.SIDES]
        # The first run of each kind builds what it needs; the others find it there.
        first = [next(task for task in tasks if task[1] == side) for side in table.SIDES]
        status = {}
        try:
            for task in first:
                status[task] = self.one(*task, len(tasks))
            with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
                rest = {task: pool.submit(self.one, *task, len(tasks)) for task in tasks if task not in first}
                for task, future in rest.items():
                    status[task] = future.result()
        except KeyboardInterrupt:
            for child in list(self.children):
                child.terminate()
            raise
        return {(step.name, side): code for (step, side), code in status.items()}

    def one(self, step, side, total):
        words = command(step, side, self.args)
        folder = os.path.join(self.args.out, step.name, side)
        os.makedirs(folder, exist_ok=True)
        # A run that does not even begin must not leave the figures of the one before.
        for name in ("metrics.jsonl", "ktap.txt", "summary.txt", "status"):
            if os.path.exists(os.path.join(folder, name)):
                os.unlink(os.path.join(folder, name))
        started = time.monotonic()
        environment = dict(os.environ, OUT=self.args.out)
        with open(folder + ".log", "w", encoding="utf-8") as log:
            child = subprocess.Popen([*words, "--name", f"{step.name}/{side}"], stdout=log, stderr=subprocess.STDOUT,
                                     stdin=subprocess.DEVNULL, env=environment)
            self.children.add(child)
            status = child.wait()
            self.children.discard(child)
        with open(os.path.join(folder, "status"), "w", encoding="utf-8") as file:
            file.write(f"{status}\n")
        with self.lock:
            self.done += 1
            say(f"{self.done}/{total} {' '.join(step.words)}, {step.cpus} CPU{'s' * (step.cpus > 1)}, "
                f"{table.SIDE_NAMES[side]}: {'well' if status == 0 else f'status {status}, see {folder}.log'}, "
                f"{time.monotonic() - started:.1f} s")
        return status


def collect(args, steps):
    """What the runs have left, by step and side."""
    runs = {}
    for step in steps:
        for side in table.SIDES:
            folder = os.path.join(args.out, step.name, side)
            try:
                with open(os.path.join(folder, "status"), encoding="utf-8") as file:
                    status = int(file.read())
            except (OSError, ValueError):
                status = TROUBLE
            runs[step.name, side] = compare_rows.read_run(step.name, side, folder, status,
                                                          shlex.join(command(step, side, args)))
    return runs


# --- what came of it -----------------------------------------------------------------------------

def all_rows(steps, runs):
    rows = []
    for step in steps:
        rows += compare_rows.Matrix({side: runs[step.name, side] for side in table.SIDES}).build()
    return rows


def knobs_seen(runs):
    """Per knob the tests that name it: (Knob, [(ok, name)])."""
    found = []
    for knob in table.KNOBS:
        word = re.compile(rf"\b{knob.parameter}\b")
        seen = [(ok, name) for run in runs.values() if run.side == "patched" for _, ok, name, why in run.tests
                if word.search(name) and why is None]
        found.append((knob, seen))
    return found


def machines(steps, runs):
    lines = []
    for side in table.SIDES:
        words = next((runs[s.name, side].machine for s in steps if runs[s.name, side].machine), "")
        # The count of CPUs is each step's own.
        parts = [part for part in words.split(", ") if not part.endswith((" CPU", " CPUs", " MB"))]
        lines.append(f"{table.SIDE_NAMES[side]}: {', '.join(parts) or 'no run of it'}")
    return lines + ["CPUs: " + ", ".join(f"{s.name} {s.cpus}" for s in steps)]


def terminal_table(rows):
    """The main rows that have something beside each other, and one of each way that only one side has, with
    the reasons for what is not there below."""
    shown, ways = [], set()
    for row in rows:
        if row.name not in table.MAIN or len(row.sides()) < 2 and (not row.label or (row.name, row.label) in ways):
            continue
        ways.add((row.name, row.label))
        shown.append(row)
    lines, reasons = [("metric", "of", "Stillpoint", "stock", "patched", "stock:S", "patched:S", "patched:stock",
                       "unit", "compare")], []

    def words(row, side):
        cell = row.cells[side]
        if cell.metric:
            return number(cell.number)
        if cell.why not in reasons:
            reasons.append(cell.why)
        return f"({reasons.index(cell.why) + 1})"

    for row in shown:
        lines.append((row.name, params_words(row)) + tuple(words(row, side) for side in table.SIDES) +
                     tuple(times(value) for value in compare_page.ratios(row)) +
                     (row.unit, row.note.kind if row.note else "?"))
    out = report.table(lines, {2, 3, 4, 5, 6, 7}) if shown else ["nothing was measured that could stand here"]
    out += [""] + [f"({i + 1}) {why}" for i, why in enumerate(reasons)] if reasons else []
    if len(shown) < len(rows):
        out += ["", f"{len(rows) - len(shown)} further figures are in the page."]
    return out


def write_all(args, steps, runs):
    """Table, page and charts; returns the lines for the terminal."""
    rows = all_rows(steps, runs)
    answers = compare_answers.answers(runs)
    lines = terminal_table(rows) + [""]
    for answer in answers:
        if answer.picture:
            lines += [answer.heading, f"  {answer.sentence}"]
    page = compare_page.page(TITLE, machines(steps, runs), steps, rows, runs, answers, knobs_seen(runs))
    for name, text in (("index.html", page), ("table.txt", "\n".join(lines) + "\n")):
        with open(os.path.join(args.out, name), "w", encoding="utf-8") as file:
            file.write(text)
    for answer in answers:
        path = os.path.join(args.out, f"{answer.name}.svg")
        if answer.picture:
            with open(path, "w", encoding="utf-8") as file:
                file.write(chart.standalone(answer.picture, "tools/compare.py from the metrics of a comparison"))
        elif os.path.exists(path):
            os.unlink(path)
    return lines


def remember(args, steps):
    """Writes down what was compared, for --read."""
    with open(os.path.join(args.out, "plan.json"), "w", encoding="utf-8") as file:
        json.dump({"model": args.model, "seed": args.seed, "timeout": args.timeout,
                   "steps": [[s.name, list(s.words), s.cpus, s.mem, list(s.own)] for s in steps]}, file, indent=1)
        file.write("\n")


def recall(args):
    with open(os.path.join(args.out, "plan.json"), encoding="utf-8") as file:
        left = json.load(file)
    args.model, args.seed, args.timeout = left["model"], left["seed"], left["timeout"]
    return [table.Step(name, tuple(words), cpus, mem, tuple(own)) for name, words, cpus, mem, own in left["steps"]]


def compare(args):
    try:
        steps = recall(args) if args.read else plan(shlex.split(args.words), args)
    except (OSError, ValueError, KeyError) as error:
        say(error)
        return USAGE
    if not args.read:
        os.makedirs(args.out, exist_ok=True)
        remember(args, steps)
        # A first build of the kernels takes minutes, and shows how far it is.
        if not os.environ.get("LINUX_TREE"):
            status = subprocess.run(["./stillpoint", "linux", "build"] + ["--no-install"] * args.no_install,
                                    check=False).returncode
            if status:
                return status
        Runner(args, steps).run()
    runs = collect(args, steps)
    print("\n" + "\n".join(write_all(args, steps, runs)) + "\n", flush=True)
    bad = [f"{step} on {table.SIDE_NAMES[side]}" for (step, side), run in runs.items() if run.status]
    say(f"the page: {os.path.join(args.out, 'index.html')}")
    if bad:
        say(f"did not end well: {', '.join(bad)}")
    if all(run.status == TROUBLE for run in runs.values()):
        return TROUBLE
    return FAILED if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out")
    parser.add_argument("--words", default="")
    parser.add_argument("--cpus", type=int)
    parser.add_argument("--mem", type=int)
    parser.add_argument("--timeout", type=int, default=900, help="of each run, in seconds")
    parser.add_argument("--no-install", action="store_true")
    parser.add_argument("--model", default="corei7_skylake_x")
    parser.add_argument("--seed", default="")
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        import compare_test
        compare_test.self_test()
        return 0
    if not args.out:
        parser.error("--out is needed")
    try:
        return compare(args)
    except KeyboardInterrupt:
        say("stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
