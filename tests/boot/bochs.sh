#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# All experiments in Bochs, with every number of CPUs and through every boot path.
. tests/boot/lib.sh

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 4-cpus 8-cpus large-memory small-memory iso-bios iso-uefi clang \
		same-twice same-twice-4-cpus exit-log x2apic serial \
		vmx-locked-off entry-failed
	;;
[1248]-cpu | [1248]-cpus)
	stillpoint 0 run --cpus "${1%%-*}"
	;;
large-memory)
	# More than 3 GB: RAM above the 4 GB hole.
	stillpoint 0 run --mem 4096
	;;
small-memory)
	stillpoint 0 run --mem 128
	;;
iso-bios)
	stillpoint 0 run --boot iso
	;;
iso-uefi)
	stillpoint 0 run --firmware uefi
	;;
clang)
	[ -f "$BUILD/clang/stillpoint.elf" ] || skip "there is no clang build"
	BUILD=$BUILD/clang
	stillpoint 0 run
	;;
same-twice | same-twice-4-cpus)
	cpus=2
	[ "$1" = same-twice ] || cpus=4
	stillpoint 0 run --seed 42 --cpus $cpus
	first=$run
	stillpoint 0 run --seed 42 --cpus $cpus
	cmp "$first/console.txt" "$run/console.txt" ||
		fail "two runs of the same image with the same seed differ"
	;;
exit-log)
	stillpoint 0 run exits --exits
	grep -q 'VMEXIT' "$run/emulator.log" || fail "the log shows no VM exit"
	;;
x2apic)
	stillpoint 0 run x2apic
	;;
serial)
	stillpoint 0 run serial exits
	;;
vmx-locked-off)
	stillpoint 121 run vmx=locked-off
	one_clear_line
	says 'end 121 .*firmware'
	;;
entry-failed)
	# A refused entry that ends the run: the rule from us, the reason from Bochs.
	stillpoint 123 run entry stop=2
	says 'VM entry: .*GUEST_CR4'
	says '^# GUEST_CR4 |GUEST_CR4  '
	tells 'Bochs: VMENTER FAIL: VMCS guest invalid CR4'
	;;
*) unknown_case "$1" ;;
esac
