#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Experiment pause: what a hold promises, with every number of CPUs and with chaos; and what it costs,
# which in Bochs is exact.
. tests/boot/lib.sh

within()
{
	python3 tests/boot/limits.py "$run/metrics.jsonl" ratio "$@" || fail "$2 differs too much"
}

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 4-cpus 8-cpus chaos-2-cpus chaos-4-cpus chaos-8-cpus same-twice \
		target-1-vcpu target-7-vcpus size 1g zap-all no-touch trace usage
	;;
[1248]-cpu | [1248]-cpus)
	stillpoint 0 run pause --cpus "${1%%-*}"
	;;
chaos-*-cpus)
	cpus=${1#chaos-}
	for chaos in 1 2 3; do
		stillpoint 0 run "chaos=$chaos" pause --cpus "${cpus%%-*}" --seed $chaos
	done
	;;
same-twice)
	stillpoint 0 run chaos=5 pause --seed 5 --cpus 4
	first=$run
	stillpoint 0 run chaos=5 pause --seed 5 --cpus 4
	cmp "$first/console.txt" "$run/console.txt" || fail "two runs with the same seeds differ"
	;;
target-1-vcpu)
	stillpoint 0 run pause do=measure --cpus 2
	at_most 400 pause.cycle
	at_most 3000 pause.replace way=paused vcpus=1
	at_most 1500 pause.replace way=atomic vcpus=1
	;;
target-7-vcpus)
	stillpoint 0 run pause do=measure --cpus 8
	at_most 900 pause.cycle
	;;
size)
	# The cost of a change does not depend on how large the slot is, nor on how many others there are.
	stillpoint 0 run pause do=measure --cpus 2
	for way in paused atomic; do
		within 1.2 pause.replace way=$way mib=4,1024 slots=1 places=2,8
		within 1.2 pause.replace way=$way mib=4 slots=1,256 places=2
	done
	;;
1g)
	# A gigabyte that is one translation.
	stillpoint 0 run pause do=measure mib=1024 populate=1g --mem 2048
	at_most 3000 pause.replace way=paused
	at_most 1500 pause.replace way=atomic
	;;
zap-all)
	stillpoint 0 run pause do=measure zap=all --cpus 4
	;;
no-touch)
	stillpoint 0 run pause do=measure touch=no --cpus 4
	;;
trace)
	stillpoint 0 run pause trace=1 way=paused --cpus 4
	says '^# trace [0-9]+ [0-9]+ [0-9]+ [0-9]+ pause: begin$'
	[ -s "$run/timeline.svg" ] || fail "no timeline was drawn"
	;;
usage)
	stillpoint 2 run pause vcpus=64
	one_clear_line
	stillpoint 2 run pause mib=0
	one_clear_line
	stillpoint 0 run pause vcpus=2 --cpus 2
	says 'SKIP needs 3 CPUs'
	;;
*) unknown_case "${1:-}" ;;
esac
