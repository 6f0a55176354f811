#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Guests that are broken, one way each: one clear line and the status of wrong usage.
. tests/boot/lib.sh

# What the line must say about each kind that tests/boot/broken_elf.py makes.
complaint()
{
	case $1 in
	empty) echo 'the file is empty' ;;
	one-byte | text | header-cut | headers-only | no-multiboot) echo 'no multiboot header' ;;
	multiboot-checksum) echo 'wrong checksum' ;;
	segment-cut | offset-past-end | offset-wraps) echo 'outside the file' ;;
	overlap) echo 'overlaps segment' ;;
	outside-ram | memory-too-large | wraps-around) echo "not in the guest's RAM" ;;
	file-larger-than-memory) echo 'exceeds size in memory' ;;
	table-past-end) echo 'program headers at offset .* outside the file' ;;
	table-huge) echo 'more than 65534 program headers' ;;
	no-segments) echo 'no program headers' ;;
	entry-size-wrong) echo 'program header size 7' ;;
	entry-outside) echo 'entry point .* is in no loaded segment' ;;
	wrong-machine) echo 'ELF machine 40' ;;
	*) unknown_case "$1" ;;
	esac
}

good=$BUILD/guest/hello.elf

case ${1:-} in
list)
	python3 tests/boot/broken_elf.py list
	printf '%s\n' empty-module module-too-large too-little-memory
	;;
empty-module)
	: >"$TEST_DIR/nothing"
	stillpoint 2 guest "$good" --module "$TEST_DIR/nothing"
	one_clear_line
	says 'module 0 \(nothing\) is empty'
	;;
module-too-large)
	head -c 20000000 /dev/zero >"$TEST_DIR/zeroes"
	stillpoint 2 guest "$good" --mem 16 --module "$TEST_DIR/zeroes"
	rm -f "$TEST_DIR/zeroes" "$run/ram.bin"
	one_clear_line
	says 'no room for 1 guest modules'
	;;
too-little-memory)
	stillpoint 2 guest "$good" --mem 1
	one_clear_line
	;;
*)
	says_what=$(complaint "$1") || exit 2
	python3 tests/boot/broken_elf.py "$good" "$1" "$TEST_DIR/$1.elf" || fail "no broken file"
	stillpoint 2 guest "$TEST_DIR/$1.elf"
	one_clear_line
	says "^stillpoint: end 2 .*$says_what"
	;;
esac
