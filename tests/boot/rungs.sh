#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Whole guests on every rung of APIC virtualization, and timers while guests run: of the host, and of
# guests under load while the APIC-access page is migrated.
. tests/boot/lib.sh

# migrated N RUNG PART: at least so many migrations while that guest ran.
migrated()
{
	python3 tests/boot/limits.py "$run/metrics.jsonl" at-least "$1" apic.guest_migrations rung="$2" \
		part="$3" || fail "less than $1 migrations"
}

case ${1:-} in
list)
	printf '%s\n' check load load-4-cpus wild wild-long host-timers host-timers-4-cpus
	;;
check)
	stillpoint 0 run apic-guests do=check --timeout 600
	;;
load)
	stillpoint 0 run apic-guests do=load n=1000 --timeout 600
	;;
load-4-cpus)
	# The last CPU is the mover's.
	stillpoint 0 run apic-guests do=load n=2000 cpus=3 rung=x2apic --cpus 4 --timeout 600
	migrated 1000 x2apic load
	;;
wild)
	for seed in 1 2; do
		stillpoint 0 run apic-guests do=wild wild=2000 cpus=3 --cpus 4 --seed $seed --timeout 600
	done
	;;
wild-long)
	stillpoint 0 run apic-guests do=wild wild=340000 cpus=3 rung=x2apic every=100000 --cpus 4 --timeout 1700
	python3 tests/boot/limits.py "$run/metrics.jsonl" at-least 1000000 apic.wild_accesses ||
		fail "less than a million accesses"
	migrated 1000 x2apic wild
	;;
host-timers)
	stillpoint 0 run timers n=2000
	at_most 1000 timers.late guest=open
	at_most 1000 timers.late guest=halted
	;;
host-timers-4-cpus)
	stillpoint 0 run timers --cpus 4
	;;
*) unknown_case "${1:-}" ;;
esac
