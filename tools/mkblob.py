#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Pack a kernel command line and boot modules into a boot blob (format: boot/blob.h).

With -i the blob is appended to the flat image, which makes the one file that Bochs loads with
optramimage1 at 0x200000. Bochs 2.7 has a trap there: it reads the whole file into its own memory in
one go, but gives that memory to the guest in blocks of 128 KiB, in the order of their first use. So
all of it has to be looked at once, in order, before anything runs; the debugger's command
`writemem "/dev/null" 0x200000 SIZE-OF-THE-FILE` in front of "c" does that.
"""

import argparse
import os
import struct
import sys

MAGIC = 0x62627073
LINK_BASE = 0x200000
MARK_OFFSET, MARK, POINTER_OFFSET = 2, b"sp", 4
MBI = 16
ROOM = 4096
PAGE = 4096
LIMIT = 0xC0000000

TAG_END, TAG_CMDLINE, TAG_LOADER, TAG_MODULE = 0, 1, 2, 3
MAX_CMDLINE, MAX_MODULES, MAX_MODULE_NAME = 1023, 16, 255


def page_up(n):
    return (n + PAGE - 1) & -PAGE


def tag(kind, payload):
    raw = struct.pack("<II", kind, 8 + len(payload)) + payload
    return raw + bytes(-len(raw) % 8)


def text(words, limit, what):
    raw = os.fsencode(words)
    if len(raw) > limit:
        sys.exit(f"mkblob: {what} is longer than {limit} bytes")
    if b"\0" in raw:
        sys.exit(f"mkblob: {what} holds a zero byte")
    return raw + b"\0"


def build(cmdline, modules, address):
    """modules: list of (bytes, command line); address: where the blob is to be loaded."""
    if len(modules) > MAX_MODULES:
        sys.exit(f"mkblob: {len(modules)} modules; at most {MAX_MODULES}")
    head = tag(TAG_LOADER, b"stillpoint option ROM\0")
    head += tag(TAG_CMDLINE, text(cmdline, MAX_CMDLINE, "the command line"))
    names = [text(name, MAX_MODULE_NAME, f"the name of module {i}")
             for i, (_, name) in enumerate(modules)]
    size = MBI + 8 + len(head) + sum(len(tag(TAG_MODULE, bytes(8) + n)) for n in names) + 8
    at = page_up(size + ROOM)
    tags, body = head, b""
    for (data, _), name in zip(modules, names):
        start = address + at + len(body)
        if start + len(data) > LIMIT:
            sys.exit("mkblob: the modules do not fit below 3 GiB")
        tags += tag(TAG_MODULE, struct.pack("<II", start, start + len(data)) + name)
        body += data + bytes(-len(data) % PAGE)
    tags += tag(TAG_END, b"")
    mbi = struct.pack("<II", 8 + len(tags), 0) + tags
    blob = struct.pack("<IIII", MAGIC, address, at + len(body), MBI) + mbi
    return blob + bytes(at - len(blob)) + body


def append(image, cmdline, modules):
    """The flat image with the blob behind it and the blob's address in it."""
    mark = image[MARK_OFFSET:MARK_OFFSET + len(MARK)]
    if len(image) < POINTER_OFFSET + 4 or mark != MARK:
        sys.exit("mkblob: this is not the flat image (stillpoint.bin)")
    at = page_up(len(image))
    image = bytearray(image) + bytes(at - len(image))
    struct.pack_into("<I", image, POINTER_OFFSET, LINK_BASE + at)
    return bytes(image) + build(cmdline, modules, LINK_BASE + at)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        sys.exit(f"mkblob: {path}: {e.strerror}")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-o", dest="out", required=True, metavar="FILE", help="the file to write")
    p.add_argument("-c", dest="cmdline", default="", metavar="WORDS", help="kernel command line")
    p.add_argument("-m", dest="modules", nargs=2, action="append", default=[],
                   metavar=("FILE", "WORDS"), help="a module and its own command line")
    p.add_argument("-i", dest="image", metavar="FILE", help="flat image to append the blob to")
    a = p.parse_args()
    modules = [(read(path), words) for path, words in a.modules]
    if a.image:
        data = append(read(a.image), a.cmdline, modules)
    else:
        data = build(a.cmdline, modules, 0)
    with open(a.out, "wb") as f:
        f.write(data)


if __name__ == "__main__":
    main()
