#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Guests that are broken, one way each: one clear line and the status of wrong usage.
. tests/boot/lib.sh

case ${1:-} in
list)
	python3 tests/boot/broken_elf.py list
	echo empty-module
	;;
empty-module)
	: >"$TEST_DIR/empty"
	stillpoint 2 guest "$BUILD/guest/hello.elf" --module "$TEST_DIR/empty"
	one_clear_line
	;;
*)
	python3 tests/boot/broken_elf.py "$BUILD/guest/hello.elf" "$1" "$TEST_DIR/$1.elf" ||
		unknown_case "$1"
	stillpoint 2 guest "$TEST_DIR/$1.elf"
	one_clear_line
	;;
esac
