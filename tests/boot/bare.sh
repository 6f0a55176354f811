#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest programs without a hypervisor, straight on QEMU: what they expect is what a machine does.
. tests/boot/lib.sh

case ${1:-} in
list) printf '%s\n' hello hello-2-cpus exits memory memory-2-cpus fpu events apic \
	apic-2-cpus wild migrate migrate-2-cpus ;;
hello | exits | memory | fpu | events | apic | wild | migrate | *-2-cpus)
	cpus=1
	case $1 in
	*-2-cpus) cpus=2 ;;
	esac
	guest=$BUILD/guest/${1%-2-cpus}.elf
	[ -f "$guest" ] || unknown_case "$1"
	timeout -k 5 120 qemu-system-x86_64 -kernel "$guest" -machine q35 -accel tcg -cpu max \
		-smp $cpus -m 128 -display none -no-reboot -serial stdio \
		-device isa-debug-exit,iobase=0xf4,iosize=4 </dev/null
	status=$?
	# The device turns a guest's status v into 2 v + 1.
	[ $status = 1 ] || fail "QEMU ended with status $status, not 1 (the guest's 0)"
	;;
*) unknown_case "${1:-}" ;;
esac
