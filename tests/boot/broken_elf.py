#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes broken guests out of a good one.

usage: broken_elf.py GOOD.elf KIND OUT.elf    or: broken_elf.py list
"""

import struct
import sys

MULTIBOOT_MAGIC = struct.pack("<I", 0x1BADB002)
PT_LOAD = 1
EM_ARM = 40

# Offsets in the ELF32 header and in a program header.
E_MACHINE, E_ENTRY, E_PHOFF, E_PHENTSIZE, E_PHNUM = 18, 24, 28, 42, 44
P_OFFSET, P_VADDR, P_PADDR, P_FILESZ, P_MEMSZ = 4, 8, 12, 16, 20


class Guest:
    """A good ELF32 file, to be spoiled."""

    def __init__(self, raw):
        self.raw = bytearray(raw)
        if self.raw[:5] != b"\x7fELF\x01":
            sys.exit("broken_elf.py: the good file is not ELF32")
        phoff, = struct.unpack_from("<I", self.raw, E_PHOFF)
        size, count = struct.unpack_from("<HH", self.raw, E_PHENTSIZE)
        self.loads = [
            at for at in range(phoff, phoff + size * count, size)
            if self.get(at) == PT_LOAD and self.get(at + P_FILESZ)]
        if not self.loads:
            sys.exit("broken_elf.py: the good file loads nothing")

    def get(self, at):
        return struct.unpack_from("<I", self.raw, at)[0]

    def put(self, at, value, form="<I"):
        struct.pack_into(form, self.raw, at, value)

    def place(self, load, address):
        self.put(load + P_PADDR, address)
        self.put(load + P_VADDR, address)


def cut(guest, length):
    del guest.raw[length:]


def overlap(guest):
    """The second segment on top of the first; a file with one segment gets a second entry."""
    if len(guest.loads) < 2:
        phoff, = struct.unpack_from("<I", guest.raw, E_PHOFF)
        size, count = struct.unpack_from("<HH", guest.raw, E_PHENTSIZE)
        entry = bytes(guest.raw[guest.loads[0]:guest.loads[0] + size])
        table = bytes(guest.raw[phoff:phoff + size * count]) + entry
        guest.put(E_PHOFF, len(guest.raw))
        guest.put(E_PHNUM, count + 1, "<H")
        guest.raw += table
    else:
        guest.place(guest.loads[1], guest.get(guest.loads[0] + P_PADDR))


def last(guest):
    return guest.loads[-1]


KINDS = {
    "empty": lambda g: cut(g, 0),
    "one-byte": lambda g: cut(g, 1),
    "text": lambda g: g.raw.__setitem__(slice(None), b"#!/bin/sh\necho no guest\n" * 40),
    "header-cut": lambda g: cut(g, 40),
    "headers-only": lambda g: cut(g, 52),
    "segment-cut": lambda g: cut(
        g, g.get(last(g) + P_OFFSET) + g.get(last(g) + P_FILESZ) // 2),
    "overlap": overlap,
    "outside-ram": lambda g: g.place(last(g), 0x7F000000),
    "memory-too-large": lambda g: g.put(last(g) + P_MEMSZ, 0x7F000000),
    "wraps-around": lambda g: (g.place(last(g), 0xFFFFF000), g.put(last(g) + P_MEMSZ, 0x4000)),
    "file-larger-than-memory": lambda g: g.put(last(g) + P_MEMSZ, 1),
    "offset-past-end": lambda g: g.put(last(g) + P_OFFSET, 0x7FFFFFF0),
    "offset-wraps": lambda g: (
        g.put(last(g) + P_OFFSET, 0xFFFFFFF0), g.put(last(g) + P_FILESZ, 0x20),
        g.put(last(g) + P_MEMSZ, 0x20)),
    "table-past-end": lambda g: g.put(E_PHOFF, 0x7FFFFFF0),
    "table-huge": lambda g: g.put(E_PHNUM, 0xFFFF, "<H"),
    "no-segments": lambda g: g.put(E_PHNUM, 0, "<H"),
    "entry-size-wrong": lambda g: g.put(E_PHENTSIZE, 7, "<H"),
    "entry-outside": lambda g: g.put(E_ENTRY, 0x7F000000),
    "wrong-machine": lambda g: g.put(E_MACHINE, EM_ARM, "<H"),
    "no-multiboot": lambda g: g.put(g.raw.index(MULTIBOOT_MAGIC), 0),
    "multiboot-checksum": lambda g: g.put(g.raw.index(MULTIBOOT_MAGIC) + 8, 1),
}


def main():
    if sys.argv[1:] == ["list"]:
        print("\n".join(KINDS))
        return 0
    if len(sys.argv) != 4 or sys.argv[2] not in KINDS:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    with open(sys.argv[1], "rb") as file:
        guest = Guest(file.read())
    KINDS[sys.argv[2]](guest)
    with open(sys.argv[3], "wb") as file:
        file.write(guest.raw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
