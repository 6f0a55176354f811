#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Experiment missing: what each way to hear of missing pages promises, with every number of CPUs and with
# chaos; what a missing page costs, and how demand paging scales, which in Bochs is exact.
. tests/boot/lib.sh

at_least()
{
	python3 tests/boot/limits.py "$run/metrics.jsonl" at-least "$@" || fail "$2 misses its target"
}

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 3-cpus 5-cpus 8-cpus chaos-2-cpus chaos-4-cpus chaos-8-cpus same-twice \
		long-storm models fault present scaling overlapping reads trace usage
	;;
[123458]-cpu | [123458]-cpus)
	stillpoint 0 run missing --cpus "${1%%-*}"
	;;
chaos-*-cpus)
	cpus=${1#chaos-}
	for chaos in 1 2 3; do
		stillpoint 0 run "chaos=$chaos" missing do=check --cpus "${cpus%%-*}" --seed $chaos
	done
	;;
same-twice)
	stillpoint 0 run chaos=5 missing do=check --seed 5 --cpus 4
	first=$run
	stillpoint 0 run chaos=5 missing do=check --seed 5 --cpus 4
	cmp "$first/console.txt" "$run/console.txt" || fail "two runs with the same seeds differ"
	;;
long-storm)
	stillpoint 0 run missing do=check takes=3000 --cpus 5 --timeout 600
	;;
models)
	# Without accessed and dirty flags in second-level tables, and with other rungs of the APIC.
	for model in corei5_arrandale_m520 corei7_ivy_bridge_3770k corei7_icelake_u; do
		stillpoint 0 run missing do=check --model $model --cpus 3
	done
	;;
fault)
	stillpoint 0 run missing do=fault --cpus 1
	at_most 600 missing.fault way=exit
	;;
present)
	# Pages that are there cost nothing more: the experiment compares; and mapping one by one next to nothing.
	stillpoint 0 run missing do=fault --cpus 2
	for way in exit bitmap; do
		python3 tests/boot/limits.py "$run/metrics.jsonl" ratio 1.05 missing.refault "way=none,$way" ||
			fail "a flag costs something"
	done
	;;
scaling)
	# Exits scale, and the queue does not.
	stillpoint 0 run missing do=rate --cpus 8 --timeout 600
	at_least 90 missing.per_vcpu way=exit
	at_most 50 missing.per_vcpu way=queue vcpus=7
	python3 tools/scaling.py "$run/metrics.jsonl" -o "$run/scaling.svg" || fail "no curve was drawn"
	;;
overlapping)
	stillpoint 0 run missing do=rate region=overlapping access=all --cpus 8 --timeout 600
	;;
reads)
	stillpoint 0 run missing do=rate access=read --cpus 8 --timeout 600
	at_least 90 missing.per_vcpu way=exit
	;;
trace)
	stillpoint 0 run missing trace=1 --cpus 3
	says '^# trace [0-9]+ [0-9]+ [0-9]+ [0-9]+ bring: was there$'
	[ -s "$run/timeline.svg" ] || fail "no timeline was drawn"
	;;
usage)
	stillpoint 2 run missing way=none
	one_clear_line
	stillpoint 2 run missing vcpus=8
	one_clear_line
	stillpoint 2 run missing pages=0
	one_clear_line
	stillpoint 0 run missing do=rate vcpus=2 --cpus 2
	says 'SKIP needs 3 CPUs'
	;;
*) unknown_case "${1:-}" ;;
esac
