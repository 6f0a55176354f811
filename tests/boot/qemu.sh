#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# QEMU's TCG has no VMX: every boot path must come as far as saying so.
. tests/boot/lib.sh

case ${1:-} in
list) printf '%s\n' pvh-1-cpu pvh-2-cpus pvh-8-cpus pvh-large-memory pvh-x2apic iso-bios iso-uefi ;;
pvh-*-cpu | pvh-*-cpus)
	cpus=${1#pvh-}
	stillpoint 121 run --machine qemu-tcg --cpus "${cpus%%-*}"
	one_clear_line
	;;
pvh-large-memory)
	stillpoint 121 run --machine qemu-tcg --mem 6144
	one_clear_line
	;;
pvh-x2apic)
	stillpoint 121 run x2apic --machine qemu-tcg
	one_clear_line
	;;
iso-bios)
	stillpoint 121 run --machine qemu-tcg --boot iso
	one_clear_line
	;;
iso-uefi)
	stillpoint 121 run --machine qemu-tcg --firmware uefi
	one_clear_line
	;;
*) unknown_case "$1" ;;
esac
