#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Experiment wait: no event is lost, but for those that the posted flag must be seen to lose; and
# what a wakeup costs, which in Bochs is exact.
. tests/boot/lib.sh

# none_lost VARIANT EVENTS: so many events were posted in the last run, and none was lost.
none_lost()
{
	at_most 0 wait.lost variant="$1"
	grep -q '"name": "wait.events".*"value": '"$2"',' "$run/metrics.jsonl" ||
		fail "there were not $2 events"
}

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 4-cpus 8-cpus chaos-2-cpus chaos-4-cpus chaos-8-cpus seeds rungs same-twice \
		target long-sequence long-mpstate long-chaos trace usage
	;;
1-cpu)
	# What needs no second CPU is shown; the rest says what it needs.
	stillpoint 0 run wait --cpus 1
	says 'ok .* sequence: an event before the poll: ready at once$'
	says 'SKIP needs 2 CPUs'
	;;
[248]-cpus)
	stillpoint 0 run wait --cpus "${1%%-*}"
	at_most 0 wait.lost variant=sequence
	at_most 0 wait.lost variant=mpstate
	;;
chaos-*-cpus)
	cpus=${1#chaos-}
	for chaos in 1 2 3; do
		stillpoint 0 run "chaos=$chaos" wait --cpus "${cpus%%-*}" --seed $chaos
		says 'ok .* the posted flag loses wakeups: [1-9]'
		at_most 0 wait.lost variant=sequence
		at_most 0 wait.lost variant=mpstate
	done
	;;
seeds)
	for seed in 2 3 4 5; do
		stillpoint 0 run wait --cpus 3 --seed $seed
	done
	;;
rungs)
	# Events reach the guest in other ways where the CPU does less for the APIC.
	for rung in emulate tpr access delivery; do
		stillpoint 0 run "apic=$rung" wait --cpus 2
		stillpoint 0 run "apic=$rung" chaos=6 wait --cpus 3
		at_most 0 wait.lost variant=sequence
		at_most 0 wait.lost variant=mpstate
	done
	;;
same-twice)
	stillpoint 0 run chaos=5 wait --seed 5 --cpus 4
	first=$run
	stillpoint 0 run chaos=5 wait --seed 5 --cpus 4
	cmp "$first/console.txt" "$run/console.txt" || fail "two runs with the same seeds differ"
	;;
target)
	stillpoint 0 run wait events=100 --cpus 2
	at_most 400 wait.wake
	;;
long-sequence | long-mpstate)
	# A million, in four runs that differ.
	for seed in 1 2 3 4; do
		stillpoint 0 run wait variant="${1#long-}" events=250000 --cpus 2 --seed $seed
		none_lost "${1#long-}" 250000
	done
	;;
long-chaos)
	# Each event takes longer, and meets more.
	for variant in sequence mpstate; do
		stillpoint 0 run chaos=9 wait variant=$variant events=100000 --cpus 4
		none_lost $variant 100000
	done
	;;
trace)
	stillpoint 0 run wait trace=1 variant=sequence --cpus 2
	says '^ *# trace [0-9]+ [0-9]+ [0-9]+ [0-9]+ event: posted$'
	[ -s "$run/timeline.svg" ] || fail "no timeline was drawn"
	;;
usage)
	stillpoint 2 run wait variant=pigeon
	one_clear_line
	stillpoint 2 run wait events=0
	one_clear_line
	stillpoint 2 run wait vcpus=9
	one_clear_line
	;;
*) unknown_case "${1:-}" ;;
esac
