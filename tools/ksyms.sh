#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Print the image's symbol table as assembly: the functions of an `nm -n` listing, sorted by address,
# as 32-bit offsets from __text_start and as names one after the other (hv/host/backtrace.c reads
# it). An empty listing gives an empty table, for the first of the two links.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: ksyms.sh NM-OUTPUT" >&2
	exit 2
fi

LC_ALL=C awk '
BEGIN { n = 0 }
# The low half of a 16-digit address: awk counts in doubles, which hold no 64 bits.
function low(address,	i, v)
{
	for (i = 9; i <= 16; i++)
		v = v * 16 + index("0123456789abcdef", substr(address, i, 1)) - 1
	return v
}
$3 == "__text_start" { inside = 1; start = low($1); next }
$3 == "__text_end" { inside = 0 }
inside && ($2 == "t" || $2 == "T") && $3 !~ /^\.L/ && $1 != last {
	last = $1
	offset[n] = low($1) - start
	name[n++] = $3
}
END {
	print "\t.section .ksyms, \"a\""
	print "\t.balign 8"
	print "\t.globl ksyms_count, ksyms_offset, ksyms_name"
	print "ksyms_count:\n\t.long " n
	print "ksyms_offset:"
	for (i = 0; i < n; i++)
		print "\t.long " offset[i]
	print "ksyms_name:"
	for (i = 0; i < n; i++)
		print "\t.asciz \"" name[i] "\""
}' "$1"
