#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Experiment kick: no request and no event is lost, with every number of CPUs and with chaos; and
# what a kick costs, which in Bochs is exact.
. tests/boot/lib.sh

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 4-cpus 8-cpus chaos-2-cpus chaos-4-cpus chaos-8-cpus seeds rungs same-twice \
		target-2-cpus target-8-cpus many-events one-transport usage
	;;
[248]-cpus)
	stillpoint 0 run kick --cpus "${1%%-*}"
	;;
1-cpu)
	# What a vCPU outside the guest does needs no other CPU; the rest says what it needs.
	stillpoint 0 run kick --cpus 1
	says 'ok .* a kick of a destroyed vCPU is harmless$'
	says 'SKIP needs 2 CPUs'
	;;
chaos-*-cpus)
	cpus=${1#chaos-}
	for chaos in 1 2 3; do
		stillpoint 0 run "chaos=$chaos" kick --cpus "${cpus%%-*}" --seed $chaos
	done
	;;
seeds)
	for seed in 2 3 4 5; do
		stillpoint 0 run kick samples=50 --cpus 3 --seed $seed
	done
	;;
rungs)
	# Interrupts are delivered in other ways where the CPU does less for the APIC.
	for rung in emulate tpr access delivery; do
		stillpoint 0 run "apic=$rung" kick samples=20 --cpus 3
	done
	;;
same-twice)
	stillpoint 0 run chaos=5 kick --seed 5 --cpus 4
	first=$run
	stillpoint 0 run chaos=5 kick --seed 5 --cpus 4
	cmp "$first/console.txt" "$run/console.txt" || fail "two runs with the same seeds differ"
	;;
target-[28]-cpus)
	cpus=${1#target-}
	stillpoint 0 run kick transport=nmi --cpus "${cpus%%-*}"
	at_most 100 kick.floor
	at_most 250 kick.roundtrip state=guest
	at_most 250 kick.roundtrip state=open
	;;
many-events)
	stillpoint 0 run kick transport=nmi samples=50 requests=20000 events=3000 --cpus 4
	;;
one-transport)
	stillpoint 0 run kick transport=timer ticks=500 --cpus 2
	# A kick waits for the next look: never longer than from one to the next, and the way.
	at_most 800 kick.roundtrip state=guest
	stillpoint 0 run kick transport=ipi state=open --cpus 2
	at_most 250 kick.roundtrip
	;;
usage)
	stillpoint 2 run kick transport=pigeon
	one_clear_line
	stillpoint 2 run kick samples=0
	one_clear_line
	stillpoint 2 run kick ticks=99
	one_clear_line
	;;
*) unknown_case "${1:-}" ;;
esac
