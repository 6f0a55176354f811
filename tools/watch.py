#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Starts DIR/command, shows the console live, and says how the run ended.

Writes DIR/console.txt, ktap.txt, metrics.jsonl and summary.txt. The exit status is the run's:
what the image said in its last line ("stillpoint: end STATUS TEXT"), or 123 (VM entry failed),
124 (hang), 125 (triple fault or reset), 126 (trouble with the emulator).
"""

import argparse
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import report  # noqa: E402  (found through the line above)
import results  # noqa: E402
import symbols  # noqa: E402
import view as live  # noqa: E402

FAILED, USAGE, NO_VMX, PANIC, ENTRY_FAILED = 1, 2, 121, 122, 123
HANG, TRIPLE_FAULT, TROUBLE = 124, 125, 126
GOODBYE_SECONDS = 10  # for the emulator to leave after the end line
STARTS = 5  # of Bochs, see lost_port()

# What Bochs' debugger says on the stream that carries the console, at start and at the end.
BOCHS_HEADER = re.compile(r"^(=+| +Bochs x86 Emulator .*| +Built from .*| +Timestamp: .*)$")
BOCHS_STOP = re.compile(r"Next at t=(\d+)$")
BOCHS_CPU = re.compile(r"^\((\d+)\)(?:\.\[\d+\])? \[0x[0-9a-f]+\] ([0-9a-f]+):([0-9a-f]+) ")
BOCHS_FRAME = re.compile(r"^[0-9a-f]+ -> ([0-9a-f]+) \(")
BOCHS_MARK = re.compile(r"^0x[0-9a-f]+ (\d+)$")
MARK_BASE = 1000000  # tools/machine.sh: debugger.rc announces CPU N's frames by this + N
QEMU_CPU = re.compile(r"^CPU#(\d+)")
STDERR_MARK = "--- standard error"
# What Linux says when something is wrong with it.
KERNEL_TROUBLE = re.compile(
    r"Kernel panic|\bBUG: |\bWARNING: |\bOops: |general protection fault|unable to handle|"
    r"(?:soft|hard) lockup|rcu: INFO|hung task|\bKASAN: |\bUBSAN: ")
KERNEL_TIME = re.compile(r"^\[ *\d+\.\d+\] ")
QEMU_RIP = re.compile(r"^[RE]IP=([0-9a-f]+)")


class Emulator:
    """The emulator as a child, and its console as lines with the time they arrived."""

    def __init__(self, options):
        self.options = options
        self.rips = {}  # CPU number -> last known instruction pointer
        self.frames = {}  # CPU number -> its return addresses, the instruction pointer first
        self.frames_of = None
        self.debugger = False  # Bochs has stopped: from now on its debugger speaks
        self.status = None
        self.hung = False
        self.goodbye = False  # the end line has been seen
        self.stopped = False  # it was told to end
        self.header_lines = 0
        self.errors = open(path(options, "emulator.stderr"), "wb")
        self.started = time.monotonic()
        self.child = subprocess.Popen(
            [path(options, "command")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.errors, process_group=0)

    def lines(self):
        """Yields (line, seconds since start) until the emulator has gone."""
        deadline = self.started + self.options.timeout
        fd = self.child.stdout.fileno()
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while True:
                wait = deadline - time.monotonic()
                if wait <= 0 or not selector.select(wait):
                    deadline = self._stop_hang()
                    continue
                chunk = os.read(fd, 65536)
                now = time.monotonic() - self.started
                pending += chunk
                *complete, pending = pending.split(b"\n")
                if not chunk:
                    complete.append(pending)
                for raw in complete:
                    line = raw.decode("utf-8", "backslashreplace").rstrip("\r")
                    if self.options.emulator == "bochs":
                        line = self._without_debugger(line)
                    if line is not None and (line or chunk):
                        yield line, now
                        if results.END.match(line):
                            self.goodbye = True
                            deadline = min(deadline, time.monotonic() + GOODBYE_SECONDS)
                if not chunk:
                    break
        self.status = self.child.wait()
        self.errors.close()
        self._keep_errors()

    def _without_debugger(self, line):
        """The console's part of a line on Bochs' standard output, or None."""
        if cpu := BOCHS_CPU.match(line):
            self.rips[int(cpu.group(1))] = int(cpu.group(3), 16)
            return None
        if self.debugger:
            if mark := BOCHS_MARK.match(line):
                self.frames_of = self.frames.setdefault(int(mark.group(1)) - MARK_BASE, [])
            elif (frame := BOCHS_FRAME.match(line)) and self.frames_of is not None:
                self.frames_of.append(int(frame.group(1), 16))
            return None
        if stop := BOCHS_STOP.search(line):
            self.debugger = stop.group(1) != "0"
            # A line cut short by the stop stays a line of the console.
            return line[:stop.start()] or None
        if self.header_lines < 5 and BOCHS_HEADER.match(line):
            self.header_lines += 1
            return None
        return line

    def _stop_hang(self):
        """Ends the emulator, after asking where its CPUs are. Returns a new deadline."""
        if self.hung or self.goodbye:
            self._signal(signal.SIGKILL if self.stopped else signal.SIGTERM)
            self.stopped = True
            return time.monotonic() + 5
        self.hung = True
        if self.options.emulator == "bochs":
            # Breaks into the debugger, which prints every CPU and goes on to "q".
            self.child.send_signal(signal.SIGINT)
        else:
            self._ask_qemu()
            self._signal(signal.SIGTERM)
        return time.monotonic() + 5

    def _signal(self, number):
        """To the emulator and everything it has started."""
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def _ask_qemu(self):
        """Instruction pointers through the monitor; leaves them unknown when it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.settimeout(2)
                monitor.connect(path(self.options, "monitor"))
                monitor.sendall(b"info registers -a\nquit\n")
                text = b""
                while chunk := monitor.recv(65536):
                    text += chunk
        except OSError:
            pass
        cpu = None
        for line in text.decode("utf-8", "replace").splitlines():
            if match := QEMU_CPU.match(line.strip()):
                cpu = int(match.group(1))
            elif (match := QEMU_RIP.match(line)) and cpu is not None:
                self.rips[cpu] = int(match.group(1), 16)

    def end(self):
        """The user wants to stop."""
        self._signal(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)

    def _keep_errors(self):
        """Appends standard error to the log, where a reader looks."""
        stderr = path(self.options, "emulator.stderr")
        with open(stderr, "rb") as file:
            text = file.read()
        os.unlink(stderr)
        if text:
            with open(path(self.options, "emulator.log"), "ab") as log:
                log.write(f"\n{STDERR_MARK}\n".encode() + text)

    def log(self):
        try:
            with open(path(self.options, "emulator.log"), encoding="utf-8",
                      errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def path(options, name):
    return os.path.join(options.dir, name)


def entry_failures(log):
    """Bochs' reasons for failed VM entries, without its time stamps."""
    found = []
    for line in log.splitlines():
        match = re.search(r"VM(?:ENTER|EXIT|LAUNCH|RESUME|FAIL)?\S* ?FAIL.*", line)
        if match and match.group(0) not in found:
            found.append(match.group(0))
    return found


def verdict(options, emulator, parsed, console):
    """How it ended: (status, one line, further lines)."""
    log = emulator.log()
    reasons = entry_failures(log) if options.emulator == "bochs" else []
    if parsed.end is not None:
        panics = [line for line in console if line.startswith("panic: ")]
        if panics and parsed.end[0] != PANIC:
            return (PANIC, "hypervisor panic while the run ended: " + panics[0][len("panic: "):],
                    [])
        return said_goodbye(options, parsed, reasons)
    if re.search(r"3rd \(\d+\) exception with no resolution", log) or "Triple fault" in log:
        lines = [line for line in log.splitlines() if "exception" in line][:3]
        return (TRIPLE_FAULT, "triple fault: the image lost control of a CPU",
                lines + where(options, emulator) + last_lines(console))
    if emulator.hung:
        return (HANG, f"hang: no end after {options.timeout} s",
                where(options, emulator) + last_lines(console))
    if reasons:
        return (ENTRY_FAILED, "VM entry failed and the image did not survive it: " + reasons[-1],
                reasons[:-1] + where(options, emulator))
    words = emulator_words(log)
    if emulator.status == 0 and options.emulator != "bochs":
        return (TRIPLE_FAULT, "the machine was reset or switched off before the image had ended",
                last_lines(console))
    return (TROUBLE, f"{options.emulator} ended with status {emulator.status} before the image "
            "had ended", words + last_lines(console))


def said_goodbye(options, parsed, reasons):
    """The image has ended by itself: its status, unless its results contradict it."""
    status, text = parsed.end
    problems = parsed.finish()
    failed = parsed.totals()[1]
    if status == ENTRY_FAILED:
        return status, f"VM entry failed: {text}", [f"Bochs: {reason}" for reason in reasons[-4:]]
    if status == PANIC:
        return status, f"hypervisor panic: {text}", []
    if status == HANG:
        return status, f"hang: {text}", []
    if status == NO_VMX:
        return status, f"this machine cannot run it: {text}", []
    if options.view == "guest":
        return status, text.removeprefix("guest: "), []
    if status == USAGE:
        return status, f"wrong usage: {text}", []
    if status == 0 and (failed or problems):
        return FAILED, "the image ended well, but its results do not say so", problems
    return status, text, problems


def where(options, emulator):
    """A line per CPU: where it is."""
    if not emulator.rips:
        return []
    names = symbols.Symbols(options.image)
    lines = []
    for cpu, rip in sorted(emulator.rips.items()):
        lines.append(
            f"CPU {cpu} at {rip:#x} {names.name(rip) or 'outside the image (firmware or a guest)'}")
        callers = (names.name(address, True) for address in emulator.frames.get(cpu, [])[1:])
        lines += [f"    from {name}" for name in callers if name]
    return lines


def last_lines(console):
    tail = [line for line in console if line.strip()][-8:]
    return ["last words on the console:"] + ["  " + line for line in tail] if tail else [
        "nothing was printed on the console"]


def emulator_words(log):
    """The lines of the log that say what went wrong."""
    lines = [line.strip() for line in log.splitlines()
             if line.strip(" =") and line != STDERR_MARK]
    loud = [line for line in lines if re.search(r"PANIC|\b[Ee]rror\b|cannot|could not", line)]
    return (loud or lines)[-4:]


def kernel_lines(options):
    """What Linux has printed on its serial console, without the times."""
    try:
        with open(path(options, "kernel.txt"), encoding="utf-8", errors="replace") as file:
            return [KERNEL_TIME.sub("", line.rstrip()) for line in file if line.strip()]
    except OSError:
        return []


def kernel_verdict(ending, kernel):
    """A run in which the kernel has complained did not pass, whatever the programs say."""
    trouble = [line for line in kernel if KERNEL_TROUBLE.search(line)]
    if not trouble:
        return ending
    dead = any("Kernel panic" in line for line in trouble)
    status, text, details = ending
    if status and not dead:
        return status, text, trouble[:4] + details
    first = kernel.index(trouble[0])
    details = ["kernel.txt:"] + ["  " + line for line in kernel[first:first + 24]]
    if dead:
        return PANIC, "kernel panic: " + trouble[-1].split("Kernel panic - not syncing: ")[-1], details
    return FAILED, "the kernel complains: " + trouble[0], details


def write_lines(name, lines):
    with open(name, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(line + "\n" for line in lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--image-bytes", type=int, required=True)
    parser.add_argument("--emulator", choices=("bochs", "qemu"), required=True)
    parser.add_argument("--machine", required=True, help="the machine in words")
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--cmdline", default="")
    parser.add_argument("--timeout", type=int, required=True, help="seconds")
    parser.add_argument("--view", choices=("run", "list", "guest", "verbose"), required=True)
    return parser.parse_args()


def watch(options, parsed, view, metrics):
    """Runs it to its end. Returns (emulator, the console's lines)."""
    console = []
    emulator = Emulator(options)
    try:
        with open(path(options, "console.txt"), "w", encoding="utf-8",
                  errors="backslashreplace") as file:
            for line, seconds in emulator.lines():
                if parsed.end is not None:
                    continue
                console.append(line)
                file.write(line + "\n")
                file.flush()
                view.raw(line)
                parsed.feed(line)
                if results.FIRST_GUEST.match(line) and not metrics:
                    metrics.append({
                        "name": "boot.wall_ms", "unit": "ms", "value": round(seconds * 1000),
                        "params": {"cpus": options.cpus}})
    except KeyboardInterrupt:
        emulator.end()
        print("\nstillpoint: stopped", file=sys.stderr)
        sys.exit(130)
    return emulator, console


def lost_port(options, emulator, console):
    """Bochs looks for a free port for its display. Of two that start at the same instant one finds out
    only after it has bound the port, and gives up before the machine has executed anything."""
    return options.emulator == "bochs" and not console and \
        "RFB could not bind any port" in emulator.log()


def main():
    options = parse_arguments()
    # A command line may hold anything.
    for out in (sys.stdout, sys.stderr):
        out.reconfigure(errors="backslashreplace")
    # Whoever ends this ends the emulator too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    view = live.View(options.view)
    # A guest's words have standard output for themselves.
    stream = sys.stdout if options.view in ("run", "verbose") else sys.stderr
    if options.view != "list":
        print(f"stillpoint: {options.machine}", file=stream, flush=True)
    parsed = results.Results(view)
    metrics = []
    emulator, console = watch(options, parsed, view, metrics)
    for _ in range(STARTS):
        if not lost_port(options, emulator, console):
            break
        emulator, console = watch(options, parsed, view, metrics)
    seconds = time.monotonic() - emulator.started
    kernel = kernel_lines(options)
    status, text, details = kernel_verdict(verdict(options, emulator, parsed, console), kernel)
    if kernel:
        with open(path(options, "console.txt"), "a", encoding="utf-8") as file:
            file.writelines(f"kernel: {line}\n" for line in kernel)
    parsed.finish()

    metrics.append({"name": "image.bytes", "unit": "bytes", "value": options.image_bytes,
                    "params": {}})
    write_lines(path(options, "ktap.txt"), parsed.ktap_lines)
    write_lines(path(options, "metrics.jsonl"),
                parsed.metric_lines + [json.dumps(metric) for metric in metrics])

    lines = report.report(parsed, parsed.metrics + metrics)
    passed, failed, skipped = parsed.totals()
    counts = f"{passed} passed, {failed} failed, {skipped} skipped"
    if options.view == "guest" and status < NO_VMX:
        word = f"guest: status {status}"
    else:
        word = "passed" if status == 0 else f"status {status}"
    last = f"{word}: {text}" if text else word
    # The image's own last line says the same when it went well.
    if passed + failed + skipped and counts not in text and options.view != "guest":
        last += f" ({counts})"
    write_lines(path(options, "summary.txt"),
                [options.machine, f"command line: {options.cmdline}", ""] + lines
                + ["", last] + details)
    if options.view == "list" and status == 0:
        return 0
    if options.view in ("run", "verbose") and parsed.suites:
        print("\n" + "\n".join(lines) + "\n", flush=True)
    for detail in details:
        print(f"  {detail}", file=stream)
    print(f"stillpoint: {view.colour('32' if status == 0 else '31', last)}", file=stream)
    if options.view != "list":
        print(f"stillpoint: {seconds:.1f} s, results in {options.dir}/", file=stream)
    return status


if __name__ == "__main__":
    sys.exit(main())
