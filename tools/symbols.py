# SPDX-License-Identifier: GPL-2.0-only
"""Names for addresses of the image, from nm and addr2line."""

import bisect
import subprocess


class Symbols:
    def __init__(self, image):
        self.image = image
        self.addresses = []
        self.names = []
        listing = self._run(["nm", "-n", image])
        for line in listing.splitlines():
            parts = line.split()
            if len(parts) == 3 and parts[1] in "tTwW":
                self.addresses.append(int(parts[0], 16))
                self.names.append(parts[2])

    @staticmethod
    def _run(command):
        try:
            return subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                check=False).stdout
        except OSError:
            return ""

    def name(self, address, caller=False):
        """"function+0x12 (file:line)", or None when @address is not in the image's code.

        @caller: it is a return address; the line is that of the call before it.
        """
        i = bisect.bisect_right(self.addresses, address) - 1
        # Past the last function there is data; a megabyte is more than any function has.
        if i < 0 or address - self.addresses[i] >= 1 << 20:
            return None
        text = f"{self.names[i]}+{address - self.addresses[i]:#x}"
        where = self._run(["addr2line", "-s", "-e", self.image,
                           hex(address - caller)]).strip()
        if where and not where.startswith("?"):
            text += f" ({where.split(' ')[0]})"
        return text
