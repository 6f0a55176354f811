#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Set the last byte of an option ROM so that all its bytes add up to 0 modulo 256."""

import sys


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: romsum.py ROM")
    with open(sys.argv[1], "r+b") as rom:
        data = bytearray(rom.read())
        if len(data) < 3 or data[:2] != b"\x55\xaa" or len(data) != data[2] * 512:
            sys.exit(f"{sys.argv[1]}: not an option ROM of the length it says it has")
        data[-1] = -sum(data[:-1]) % 256
        rom.seek(0)
        rom.write(data)


if __name__ == "__main__":
    main()
