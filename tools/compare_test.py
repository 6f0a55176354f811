# SPDX-License-Identifier: GPL-2.0-only
"""compare.py --self-test: canned metrics of three sides, the rows, the answers and the page made of them."""

import argparse
import glob
import html.parser
import json
import os
import re
import tempfile

import chart
import compare
import compare_answers
import compare_rows as rows_of
import compare_table as table

STEPS = [table.Step("exits", ("exits",), 1), table.Step("pause", ("pause",), 2), table.Step("wait", ("wait",), 2),
         table.Step("apic-page", ("apic", "do=check"), 3), table.Step("missing-rate", ("missing", "do=rate"), 8)]
VOID = {"meta", "br"}


def value(name, number, unit="ticks", **params):
    return {"name": name, "unit": unit, "value": number, "params": params}


def samples(name, p50, **params):
    return {"name": name, "unit": "ticks", "n": 10, "min": p50 - 1, "p50": p50, "p99": p50 + 5, "max": p50 + 9,
            "params": params}


def replaced(way, places, evict, replace, refault, **params):
    same = {"way": way, "vcpus": 1, "mib": 4, "places": places, **params}
    return [samples("pause.replace", replace, **same), samples("pause.replace_evict", evict, **same),
            samples("pause.refault", refault, **same)]


def rates(way, numbers):
    return [value("missing.rate", n, "count", way=way, vcpus=i + 1, region="private", access="write")
            for i, n in enumerate(numbers)]


# What each side prints in each step: metrics, and its own words on what it skips.
CANNED = {
    ("exits", "stillpoint"): [samples("exits.cpuid", 108, batch=16, cpus=1, on="StillpointHV"),
                              samples("exits.floor", 68, cpus=1), value("exits.mem_fault", 262987, batch=1)],
    ("exits", "stock"): [samples("exits.cpuid", 864, batch=16, cpus=1, on="KVMKVMKVM"),
                         value("kvm.exits", 1603, "count", of="exits.cpuid", ops=1600, batch=16),
                         value("exits.mem_fault", 5967, batch=1)],
    ("exits", "patched"): [samples("exits.cpuid", 866, batch=16, cpus=1, on="KVMKVMKVM"),
                           value("exits.mem_fault", 5967, batch=1), value("kvm.new", 1, "count")],
    ("pause", "stillpoint"): replaced("paused", 2, 305, 2740, 1255, zap="all", slots=1) +
    replaced("paused", 1024, 305, 2840, 349105, zap="all", slots=1) +
    replaced("paused", 2, 300, 2700, 1255, zap="range", slots=1) +
    replaced("one-by-one", 2, 360, 2950, 1655, zap="all", slots=1),
    ("pause", "stock"): replaced("signal", 2, 9000, 50000, 30000, zap="all") +
    replaced("signal", 1024, 9000, 52000, 2500000, zap="all"),
    ("pause", "patched"): replaced("kick_all", 2, 5000, 46000, 30000, zap="all") +
    replaced("kick_all", 1024, 5000, 48000, 2500000, zap="all") +
    replaced("signal", 2, 9000, 50000, 30000, zap="all"),
    ("wait", "stillpoint"): [samples("wait.wake", 380, variant="sequence", chaos=0),
                             samples("wait.wake", 395, variant="mpstate", chaos=0)],
    ("wait", "stock"): [],
    ("wait", "patched"): [samples("wait.wake", 7000, variant="sequence", chaos=0),
                          samples("wait.wake", 5000, variant="mpstate", chaos=0),
                          value("wait.lost", 7, "count", variant="sequence", knob="break_poll"),
                          value("wait.lost", 0, "count", variant="sequence")],
    ("apic-page", "stillpoint"): [samples("apic.move", 4760, flush="zap", vcpus=2),
                                  samples("apic.move", 4745, flush="both", vcpus=2),
                                  samples("apic.reload", 205, flush="zap"), samples("apic.reload", 240, flush="both"),
                                  value("apic.raw_bytes", 0, "count", flush="zap")],
    ("apic-page", "stock"): [samples("apic.move", 60000, flush="both", vcpus=2)],
    ("apic-page", "patched"): [samples("apic.move", 59000, flush="zap", vcpus=2),
                               samples("apic.move", 60500, flush="both", vcpus=2),
                               value("apic.raw_bytes", 0, "count", flush="zap"),
                               value("apic.raw_bytes", 99, "count", flush="zap", knob="break_apic_retry")],
    ("missing-rate", "stillpoint"): rates("queue", [350, 700, 650]) + rates("exit", [845, 1690, 2530]),
    ("missing-rate", "stock"): rates("uffd", [30, 35, 28]),
    ("missing-rate", "patched"): rates("uffd", [30, 34, 27]) + rates("exit", [90, 178, 260]),
}
SKIPS = {
    ("wait", "stock"): [("wait", True, "poll", "no KVM_CAP_VCPU_POLL"),
                        ("wait", True, "the state", "no KVM_CAP_MP_STATE_HALTED_USERSPACE")],
    ("pause", "stock"): [("pause", True, "a hold", "no KVM_CAP_KICK_ALL_VCPUS")],
    ("pause", "patched"): [("pause", True, "break_hold: vCPUs are <seen> to find no slot", None)],
}


def canned():
    return {key: rows_of.Run(*key, metrics=metrics, tests=SKIPS.get(key, []), machine=f"Bochs, model, 1 CPU, {key[1]}",
                             last="passed") for key, metrics in CANNED.items()}


def find(rows, name, label="", **params):
    found = [r for r in rows if r.name == name and label in r.label
             and all(r.params.get(k) == v for k, v in params.items())]
    assert len(found) == 1, (name, label, [(r.label, r.params) for r in found])
    return found[0]


def test_rows(runs):
    rows = compare.all_rows(STEPS, runs)
    # Every figure is in one row, and in one only.
    shown = [id(cell.metric) for row in rows for cell in row.cells.values() if cell.metric]
    there = [id(m) for run in runs.values() for m in run.metrics if m["name"] != "kvm.exits"]
    assert sorted(shown) == sorted(there)

    row = find(rows, "exits.cpuid")
    assert row.sides() == list(table.SIDES) and row.ratio("stock", "stillpoint") == 8
    assert rows_of.exits_of(runs["exits", "stock"], row.cells["stock"].metric) == (1603, 1600)
    assert rows_of.exits_of(runs["exits", "patched"], row.cells["patched"].metric) is None
    # Different amounts of work: no ratio.
    row = find(rows, "exits.mem_fault")
    assert row.note.kind == table.APART and row.ratio("stock", "stillpoint") is None
    assert "shortcut" in find(rows, "exits.floor").cells["stock"].why
    assert find(rows, "kvm.new").cells["stillpoint"].why == "counted by KVM itself"

    # The ways pair although their names differ, and although one side prints more parameters.
    row = find(rows, "pause.replace", "paused", places=1024)
    assert (row.cells["stillpoint"].number, row.cells["patched"].number) == (2840, 48000)
    assert row.cells["stock"].why == "SKIP no KVM_CAP_KICK_ALL_VCPUS"
    assert row.differ["stillpoint"] == {"slots": 1}
    row = find(rows, "pause.replace", "asked to leave", places=2)
    assert [row.cells[s].number for s in table.SIDES] == [2950, 50000, 50000]
    row = find(rows, "pause.replace", "paused", zap="range")
    assert row.sides() == ["stillpoint"] and row.cells["patched"].why.startswith("KVM 6.1 drops all")
    assert find(rows, "wait.wake", "poll").cells["stock"].why == "SKIP no KVM_CAP_VCPU_POLL"
    assert find(rows, "missing.rate", "queue", vcpus=2).ratio("patched", "stock") == 34 / 35
    lines = compare.terminal_table(rows)
    assert any("pause.replace" in line and "(1)" in line for line in lines)
    assert any(line == "(1) SKIP no KVM_CAP_KICK_ALL_VCPUS" for line in lines)


def test_failed():
    """A side that has died is told as such."""
    runs = canned()
    runs["exits", "stock"] = rows_of.Run("exits", "stock", 124, last="status 124: hang")
    row = find(compare.all_rows(STEPS, runs), "exits.cpuid")
    assert row.cells["stock"].why == "the run did not end well: it hung"
    for answer in compare_answers.answers({("exits", side): rows_of.Run("exits", side) for side in table.SIDES}):
        assert answer.picture is None and answer.sentence.startswith("This run does not say")


def test_answers(runs):
    pause, missing, flush, wait = compare_answers.answers(runs)
    assert "is won" in pause.sentence
    assert "0.09 % to 7.6 % (Stillpoint, all zapped)" in pause.sentence, pause.sentence
    assert "0.20 % to 6.6 % (patched KVM, kick-all)" in pause.sentence, pause.sentence
    lost = dict(runs)
    lost["pause", "patched"] = rows_of.Run("pause", "patched",
                                           metrics=replaced("kick_all", 2, 9000, 9500, 100, zap="all"))
    assert "is lost" in compare_answers.answers(lost)[0].sentence
    assert "2.9 times with patched KVM, exit" in missing.sentence and "exits scale where" in missing.sentence
    assert flush.sentence.startswith("No: ") and "35 ticks to a reload of 205" in flush.sentence, flush.sentence
    assert "to a move of 59,000 ticks what makes it 60,500" in flush.sentence, flush.sentence
    assert "on patched KVM a wake by poll costs 2,000 ticks more" in wait.sentence
    assert "15 ticks less" in wait.sentence
    # What a knob has broken is no figure of the kernel.
    assert ("patched KVM", "poll", "7,000", "–", "0") in wait.rows


class Page(html.parser.HTMLParser):
    """Checks as it reads: tags that match, headings of tables, nothing from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert tag not in ("script", "link", "img", "iframe", "image", "use"), tag
        assert not {"src", "onclick", "xlink:href"} & set(attrs), attrs
        if "href" in attrs:
            assert attrs["href"].startswith("#"), attrs
            self.links.append(attrs["href"][1:])
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "th":
            assert attrs.get("scope") in ("row", "col")
        if tag == "svg":
            assert attrs["role"] == "img"
            self.links += attrs["aria-labelledby"].split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.open)

    def handle_startendtag(self, tag, attrs):
        assert "href" not in dict(attrs)

    def handle_data(self, data):
        self.words.append(data)


def luminance(colour):
    parts = [int(c * (1 if len(colour) == 7 else 2), 16) / 255 for c in
             (re.findall("..", colour[1:]) if len(colour) == 7 else colour[1:])]
    parts = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_page(runs, folder):
    args = argparse.Namespace(out=folder, model="m", seed="", timeout=1, no_install=False)
    compare.write_all(args, STEPS, runs)
    with open(os.path.join(folder, "index.html"), encoding="utf-8") as file:
        text = file.read()
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open and len(set(page.ids)) == len(page.ids)
    assert set(page.links) <= set(page.ids), set(page.links) - set(page.ids)
    assert not re.search(r"https?:|@import|url\(", text)
    words = " ".join(page.words)
    for answer in compare_answers.answers(runs):
        assert answer.heading in words and answer.sentence in words
        assert os.path.exists(os.path.join(folder, answer.name + ".svg"))
    for _, said in table.NOT_COMPARABLE:
        assert said in words
    assert "break_hold: vCPUs are <seen> to find no slot" in words and "SKIP no KVM_CAP_KICK_ALL_VCPUS" in words
    assert "1.00 exits each" in words
    # Readable on either ground: what is text has 4.5 to 1, and all but the grid may be.
    for which, ground in enumerate(("#ffffff", "#15181b")):
        for name, colours in (*chart.COLOURS.items(), *chart.INKS.items()):
            assert name == "grid" or contrast(colours[which], ground) >= 4.5, (name, which)
    # The same figures make the same page.
    compare.write_all(args, STEPS, runs)
    with open(os.path.join(folder, "index.html"), encoding="utf-8") as file:
        assert file.read() == text


def test_folders(folder):
    """What a run leaves is read back; --read finds the plan."""
    run = os.path.join(folder, "exits", "stock")
    os.makedirs(run)
    for name, text in (
            ("ktap.txt", "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: exits\n  ok 1 one\n"
             "  ok 2 two # SKIP no KVM_CAP_X\n  1..2\nok 1 exits\n# counter vmx.flushes 3 (INVEPTs)\n"),
            ("metrics.jsonl", json.dumps(CANNED["exits", "stock"][0]) + "\n"),
            ("summary.txt", "Linux; Bochs\ncommand line: x\n\npassed: all\n"), ("status", "0\n")):
        with open(os.path.join(run, name), "w", encoding="utf-8") as file:
            file.write(text)
    args = argparse.Namespace(out=folder, model="m", seed="", timeout=9, no_install=True, cpus=None, mem=None,
                              read=False, words="exits")
    steps = compare.plan(["exits"], args)
    compare.remember(args, steps)
    assert compare.recall(args) == steps
    runs = compare.collect(args, steps)
    read = runs["exits", "stock"]
    assert read.machine == "Linux; Bochs" and read.last == "passed: all" and read.counters[0][1] == 3
    assert read.skips() == [("two", "no KVM_CAP_X")] and figure_names(read) == ["exits.cpuid"]
    assert read.command.startswith("./stillpoint linux --kernel stock exits --cpus 1")
    assert runs["exits", "patched"].last.startswith("no results")


def figure_names(run):
    return [m["name"] for m in run.metrics]


def test_plan():
    args = argparse.Namespace(cpus=None, mem=None)
    assert compare.plan([], args) == list(table.STEPS)
    names = [s.name for s in compare.plan(["apic", "exits"], args)]
    assert names == ["apic-page", "apic-ladder", "apic-storm", "exits"]
    (own,) = compare.plan(["missing", "do=rate", "vcpus=3"], args)
    assert own.words == ("missing", "do=rate", "vcpus=3") and own.cpus == 8
    args.cpus = 4
    assert all(s.cpus == 4 for s in compare.plan([], args))
    for wrong in (["n=1"], ["nothing"], ["exits", "exits"]):
        try:
            compare.plan(wrong, args)
            assert False, wrong
        except ValueError:
            pass


def test_knobs():
    """The table has every switch of the series, and no other."""
    patches = glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../linux/patches/*/*.patch"))
    there = set()
    for path in patches:
        with open(path, encoding="utf-8") as file:
            there |= set(re.findall(r"^\+module_param\((break_\w+)", file.read(), re.M))
    assert there == {knob.parameter for knob in table.KNOBS} or not patches, there
    runs = {("pause", "patched"): rows_of.Run("pause", "patched", tests=[
        ("pause", True, "break_hold: one", None), ("pause", True, "break_hold_pagein: two", "no kvm.break_hold_pagein"),
        ("pause", False, "break_hold_pagein: three", None)])}
    seen = {knob.parameter: tests for knob, tests in compare.knobs_seen(runs)}
    assert seen["break_hold"] == [(True, "break_hold: one")]
    assert seen["break_hold_pagein"] == [(False, "break_hold_pagein: three")]


def self_test():
    chart.self_test()
    runs = canned()
    test_plan()
    test_rows(runs)
    test_failed()
    test_knobs()
    test_answers(runs)
    with tempfile.TemporaryDirectory() as folder:
        test_page(runs, folder)
    with tempfile.TemporaryDirectory() as folder:
        test_folders(folder)
