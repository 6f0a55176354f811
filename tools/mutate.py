#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Break the tree on purpose, one protocol step at a time, and see a test fail for each.

usage: tools/mutate.py [--list | --table | --check | --quick | --slow | [--strength] NAME ...]

A mutation is a set of edits of the source, each anchored to a text that occurs exactly once: when the
source has changed so that one no longer applies, that is an error, and the mutation has to be brought
up to date. Everything happens in a copy of the tree (BUILD/mutate). Each catcher is run on the copy
as it is first, and must pass; then it must fail with each of its mutations.

  --list      the names
  --table     docs/mutations.md on standard output
  --check     whether each still applies, and docs/mutations.md is what --table prints
  --quick     those that are caught without an emulator
  --slow      the others
  --strength  how many of 40 seeds catch it, for those that a stress program catches: a catch that
              hangs on one seed is lost with the next change of the source
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from mutations import MUTATIONS, TITLES

BUILD = os.environ.get("BUILD", "build")
SEEDS = 40
JOBS = "-j%d" % (os.cpu_count() or 1)
COPY = os.path.join(BUILD, "mutate", "tree")


def fail(text):
    print("mutate: " + text)
    sys.exit(1)


def one_at_a_time():
    """There is one copy. The lock goes with the program."""
    os.makedirs(os.path.dirname(COPY), exist_ok=True)
    lock = open(os.path.join(os.path.dirname(COPY), ".lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def tree_files():
    """What git knows or would take; without git, all but what is built."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True)
    if not out.returncode:
        return [f for f in out.stdout.decode().splitlines() if os.path.isfile(f)]
    files = []
    for root, dirs, names in os.walk("."):
        if root == ".":
            dirs[:] = [d for d in dirs if d not in (".git", "build", "out", BUILD)]
        files += [os.path.normpath(os.path.join(root, name)) for name in names]
    return files


def copy_tree():
    """Files that are the same keep their time, so that a copy is built once."""
    files = tree_files()
    for name in files:
        to = os.path.join(COPY, name)
        if os.path.exists(to) and read(to) == read(name):
            continue
        os.makedirs(os.path.dirname(to) or ".", exist_ok=True)
        shutil.copyfile(name, to)
        shutil.copymode(name, to)
    known = set(files)
    for root, dirs, names in os.walk(COPY):
        dirs[:] = [d for d in dirs if os.path.join(root, d) != os.path.join(COPY, "build")]
        for name in names:
            path = os.path.join(root, name)
            if os.path.relpath(path, COPY) not in known and not path.startswith(
                    os.path.join(COPY, "out")):
                os.remove(path)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def run(command):
    return subprocess.run(command, shell=True, cwd=COPY, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, BUILD="build", OUT="out"))


def commands(catcher):
    """How a catcher is built and how it is run."""
    kind, _, rest = catcher.partition(" ")
    if kind == "stress":
        name, _, how = rest.partition(" ")
        program = "build/stress/stress_" + name
        return ("make -s %s build/stress/stress_%s" % (JOBS, name),
                "timeout 120 %s %s" % (program, how or "steps"))
    if kind == "unit":
        return ("make -s %s build/unit/test_%s" % (JOBS, rest), "timeout 120 build/unit/test_" + rest)
    if kind == "run":
        return ("make -s " + JOBS, "timeout 600 ./stillpoint run " + rest)
    raise ValueError(catcher)


def build(command, what):
    done = run(command)
    if done.returncode:
        print(done.stdout.decode(errors="replace"))
        fail("%s does not build" % what)


def edited(mutation, tree="."):
    """{file: changed text}; ends the program when an anchor is not there exactly once."""
    texts = {}
    for name, old, new in mutation["edits"]:
        text = texts.get(name) or read(os.path.join(tree, name)).decode()
        n = text.count(old)
        if n != 1:
            fail("mutation %s no longer applies: its anchor is %d times in %s:\n%s" %
                 (mutation["name"], n, name, old))
        texts[name] = text.replace(old, new)
    return texts


def last_words(output):
    """The line that says what went wrong."""
    lines = [s.strip() for s in output.decode(errors="replace").splitlines() if s.strip()]
    for sign in ("SUMMARY:", "# panic", "not ok", "FAILED"):
        for i, line in enumerate(lines):
            if sign in line:
                before = [s for s in lines[:i] if s.startswith("# ") and "thread " not in s]
                return before[-1][2:] if sign == "not ok" and before else line
    return lines[-1] if lines else "no output"


def with_mutation(mutation, work):
    """work() on the copy, built with the mutation."""
    texts = edited(mutation, COPY)
    saved = {name: read(os.path.join(COPY, name)) for name in texts}
    try:
        for name, text in texts.items():
            write(os.path.join(COPY, name), text.encode())
        build(commands(mutation["catcher"])[0], "mutation " + mutation["name"])
        return work()
    finally:
        for name, data in saved.items():
            write(os.path.join(COPY, name), data)


def measure(mutation):
    if not mutation["catcher"].startswith("stress "):
        return
    how_run = commands(mutation["catcher"])[1]

    def work():
        return sum(run("%s %d" % (how_run, seed)).returncode != 0
                   for seed in range(1, SEEDS + 1))

    print("%s: %d of %d seeds" % (mutation["name"], with_mutation(mutation, work), SEEDS))
    sys.stdout.flush()


def try_mutation(mutation):
    start = time.time()
    done = with_mutation(mutation, lambda: run(commands(mutation["catcher"])[1]))
    caught = done.returncode != 0
    print("%s %s: %s, %.1f s%s" %
          ("ok" if caught else "not ok", mutation["name"], mutation["catcher"],
           time.time() - start,
           "\n#   " + last_words(done.stdout)[:150] if caught else " # NOT CAUGHT"))
    sys.stdout.flush()
    return caught


def check_catchers(mutations):
    for catcher in sorted({m["catcher"] for m in mutations}):
        how_built, how_run = commands(catcher)
        build(how_built, "the tree")
        done = run(how_run)
        if done.returncode:
            print(done.stdout.decode(errors="replace"))
            fail("'%s' fails without any mutation" % catcher)


def is_quick(mutation):
    return not mutation["catcher"].startswith("run ")


def chosen(words):
    if not words:
        return MUTATIONS
    if words == ["--quick"]:
        return [m for m in MUTATIONS if is_quick(m)]
    if words == ["--slow"]:
        return [m for m in MUTATIONS if not is_quick(m)]
    known = {m["name"]: m for m in MUTATIONS}
    for word in words:
        if word not in known:
            print("mutate: there is no mutation '%s' (--list shows all)" % word)
            sys.exit(2)
    return [known[w] for w in words]


def table():
    rows = ["""<!-- SPDX-License-Identifier: GPL-2.0-only -->
<!-- Made by tools/mutate.py --table. -->
# Mutations

What a protocol step is good for is shown by leaving it out. Each row is an edit of the source that a
script makes in a copy of the tree, and the test that then has to fail: `tools/mutate.py` tries all of
them, `tools/mutate.py NAME` one; `./stillpoint check mutate` does too.

Caught by: `stress NAME` is a program of [tests/stress](../tests/stress/README.md), run with one thread at
a time; `run ...` an experiment in Bochs."""]
    for group, title in TITLES.items():
        rows.append("\n## %s\n" % title)
        rows.append("| Mutation | What is wrong then | Where | Caught by |")
        rows.append("|---|---|---|---|")
        for m in MUTATIONS:
            if m["group"] == group:
                files = ", ".join(sorted({"`%s`" % f for f, _, _ in m["edits"]}))
                rows.append("| `%s` | %s | %s | `%s` |" %
                            (m["name"], m["what"], files, m["catcher"]))
    return "\n".join(rows) + "\n"


def check():
    for m in MUTATIONS:
        edited(m)
    if read("docs/mutations.md").decode() != table():
        fail("docs/mutations.md is not what tools/mutate.py --table prints")
    return 0


def main(words):
    if words == ["--list"]:
        for m in MUTATIONS:
            print("%-24s %s" % (m["name"], m["catcher"]))
        return 0
    if words == ["--table"]:
        sys.stdout.write(table())
        return 0
    if words == ["--check"]:
        return check()
    strength = "--strength" in words
    mutations = chosen([w for w in words if w != "--strength"])
    for m in mutations:
        edited(m)
    lock = one_at_a_time()
    copy_tree()
    if strength:
        for m in mutations:
            measure(m)
        return 0
    check_catchers(mutations)
    missed = [m["name"] for m in mutations if not try_mutation(m)]
    lock.close()
    print("%d of %d mutations caught" % (len(mutations) - len(missed), len(mutations)))
    for name in missed:
        print("not caught: " + name)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
