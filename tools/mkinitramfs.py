#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Write an initramfs: a cpio archive in the "newc" format, the same bytes for the same files.

Each argument is PATH=FILE (FILE becomes /PATH, executable when FILE is) or PATH/ (an empty folder).
Folders on the way to a file need not be named. Standard library only; no owner, no times.
"""

import argparse
import os
import stat
import sys

FOLDER = stat.S_IFDIR | 0o755


def entry(number, name, mode, data=b""):
    raw = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def archive(files):
    """files: {path: None for a folder, or the file's name}"""
    paths = {}
    for path, source in files.items():
        parts = path.strip("/").split("/")
        for i in range(1, len(parts)):
            paths.setdefault("/".join(parts[:i]), None)
        paths["/".join(parts)] = source
    out = []
    for number, path in enumerate(sorted(paths), 1):
        source = paths[path]
        if source is None:
            out.append(entry(number, path, FOLDER))
            continue
        with open(source, "rb") as file:
            data = file.read()
        executable = os.stat(source).st_mode & 0o111
        out.append(entry(number, path, stat.S_IFREG | (0o755 if executable else 0o644), data))
    out.append(entry(0, "TRAILER!!!", 0))
    raw = b"".join(out)
    return raw + bytes(-len(raw) % 512)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", dest="out", required=True, metavar="FILE")
    parser.add_argument("files", nargs="+", metavar="PATH=FILE")
    options = parser.parse_args()
    files = {}
    for word in options.files:
        path, equals, source = word.partition("=")
        if not equals and not path.endswith("/"):
            parser.error(f"{word}: PATH=FILE or PATH/")
        files[path] = source if equals else None
    try:
        raw = archive(files)
    except OSError as error:
        sys.exit(f"mkinitramfs: {error.filename}: {error.strerror}")
    with open(options.out, "wb") as out:
        out.write(raw)


if __name__ == "__main__":
    main()
