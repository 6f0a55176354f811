#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What a run may cost. Ticks in Bochs are exact, so these hold on any computer; wall time does not and
# is only reported.
. tests/boot/lib.sh

case ${1:-} in
list) printf '%s\n' exits boot image memory ;;
exits)
	stillpoint 0 run exits --cpus 1
	at_most 110 exits.cpuid
	at_most 200 exits.pio_vmm
	at_most 4 exits.cpuid_vmcs_accesses
	;;
boot)
	stillpoint 0 run guests
	at_most 3000000 boot.first_guest
	;;
image)
	# 256 KiB without the experiments of any idea, and 32 KiB for each: pause, the APIC page, missing
	# memory, vCPUs that move, migration.
	stillpoint 0 run exits
	at_most $((256 * 1024 + 5 * 32 * 1024)) image.bytes
	;;
memory)
	stillpoint 0 run exits --cpus 8
	at_most 4194304 mem.host
	at_most 65536 mem.vcpu
	;;
*) unknown_case "$1" ;;
esac
