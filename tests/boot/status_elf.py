#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes the smallest guest: it ends with a status through the debug-exit port.

usage: status_elf.py STATUS OUT.elf
"""

import struct
import sys

BASE = 0x100000
EHDR, PHDR = 52, 32
MULTIBOOT = 0x1BADB002


def main():
    if len(sys.argv) != 3 or not sys.argv[1].isdigit():
        print(__doc__.strip(), file=sys.stderr)
        return 2
    start = EHDR + PHDR
    header = struct.pack("<III", MULTIBOOT, 0, -MULTIBOOT & 0xFFFFFFFF)
    # mov $status, %eax; out %eax, $0xf4; hlt; jmp to the hlt
    code = b"\xb8" + struct.pack("<I", int(sys.argv[1])) + b"\xe7\xf4\xf4\xeb\xfd"
    body = header + code
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    ehdr = ident + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, BASE + start + len(header), EHDR, 0, 0,
                               EHDR, PHDR, 1, 0, 0, 0)
    phdr = struct.pack("<IIIIIIII", 1, start, BASE + start, BASE + start, len(body), len(body), 5, 4)
    with open(sys.argv[2], "wb") as file:
        file.write(ehdr + phdr + body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
