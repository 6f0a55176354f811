#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Experiment apic: the local APIC on every rung, its page that migrates under IPIs; and what both cost,
# which in Bochs is exact.
. tests/boot/lib.sh

# none_lost MODE RUNG IPIS MIGRATIONS: the last run had at least so many of both; and nothing went wrong,
# on no rung.
none_lost()
{
	for wrong in lost duplicated raw_bytes; do
		at_most 0 apic.$wrong mode="$1"
	done
	python3 tests/boot/limits.py "$run/metrics.jsonl" at-least "$3" apic.ipis mode="$1" rung="$2" watched=0 ||
		fail "there were less than $3 IPIs"
	python3 tests/boot/limits.py "$run/metrics.jsonl" at-least "$4" apic.migrations mode="$1" rung="$2" \
		watched=0 || fail "there were less than $4 migrations"
}

# best_rung RUNG MODEL...: what these are found to have, and every rung up to it works on them.
best_rung()
{
	best=$1
	shift
	for model in "$@"; do
		stillpoint 0 run machine apic do=ladder --model "$model" --cpus 3
		says "^# APIC virtualization: up to apic=$best\$"
		says "^ *ok .*: $best, xapic\$"
		says "^ *ok .*: $best, x2apic\$"
	done
}

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 4-cpus 8-cpus chaos-3-cpus chaos-5-cpus same-twice target ladder rungs \
		models-access models-x2apic long-xapic long-x2apic long-mixed long-access noretry bail \
		flush-both trace usage
	;;
1-cpu)
	stillpoint 0 run apic --cpus 1
	says 'SKIP needs 2 CPUs'
	;;
[248]-cpus)
	stillpoint 0 run apic --cpus "${1%%-*}"
	for mode in xapic x2apic mixed; do
		none_lost $mode x2apic 400 100
	done
	;;
chaos-*-cpus)
	cpus=${1#chaos-}
	for chaos in 1 2 3; do
		stillpoint 0 run "chaos=$chaos" apic do=storm ipis=400 --cpus "${cpus%%-*}" --seed $chaos
		stillpoint 0 run "chaos=$chaos" apic do=check --cpus "${cpus%%-*}" --seed $chaos
	done
	;;
same-twice)
	stillpoint 0 run chaos=5 apic do=storm ipis=400 --seed 5 --cpus 4
	first=$run
	stillpoint 0 run chaos=5 apic do=storm ipis=400 --seed 5 --cpus 4
	cmp "$first/console.txt" "$run/console.txt" || fail "two runs with the same seeds differ"
	;;
target)
	stillpoint 0 run apic --cpus 4
	at_most 1000 apic.ipi mode=x2apic handler=plain
	at_most 300 apic.reload flush=zap
	;;
ladder)
	# Each mode's best rung against its first: what the CPU does by itself costs next to nothing.
	stillpoint 0 run apic do=ladder --cpus 4
	for op in cr8 tpr eoi id isr; do
		at_most 10 apic.op mode=x2apic rung=x2apic op=$op
		at_most 10 apic.op mode=xapic rung=delivery op=$op
	done
	;;
rungs)
	for rung in emulate tpr access register delivery x2apic; do
		stillpoint 0 run apic rung=$rung --cpus 3
	done
	;;
models-access)
	# No model of Bochs's that can run guests stops lower; none has a rung in between.
	best_rung access corei5_arrandale_m520 corei7_sandy_bridge_2600k corei7_ivy_bridge_3770k corei3_cnl
	for rung in register delivery x2apic; do
		stillpoint 2 run apic=$rung apic --model corei7_ivy_bridge_3770k
		one_clear_line
		says 'this CPU has no APIC-register virtualization \(secondary control bit 8\)'
		stillpoint 0 run apic rung=$rung --model corei7_ivy_bridge_3770k
		says "ok .* on rung $rung # SKIP needs .APIC-register virtualization"
	done
	;;
models-x2apic)
	best_rung x2apic corei7_haswell_4770 broadwell_ult corei7_skylake_x corei7_icelake_u tigerlake
	;;
long-access)
	# Every access is decoded, which takes its time.
	stillpoint 0 run apic do=storm mode=xapic rung=access ipis=30000 migrations=10000 vcpus=4 --cpus 5 \
		--timeout 900
	none_lost xapic access 30000 10000
	;;
long-*)
	stillpoint 0 run apic do=storm mode="${1#long-}" rung=x2apic ipis=100000 migrations=10000 vcpus=4 --cpus 5 \
		--timeout 900
	none_lost "${1#long-}" x2apic 100000 10000
	;;
noretry)
	stillpoint 0 run apic do=storm variant=noretry mode=xapic --cpus 3
	says 'ok .* reloads that are not retried are seen to fail$'
	;;
bail)
	stillpoint 0 run apic do=storm stall=bail --cpus 5
	none_lost xapic x2apic 400 100
	;;
flush-both)
	stillpoint 0 run apic do=storm flush=both --cpus 5
	none_lost xapic x2apic 400 100
	;;
trace)
	stillpoint 0 run apic trace=1 vcpus=3 --cpus 4
	says '^ *# trace [0-9]+ [0-9]+ [0-9]+ [0-9]+ apic: retry$'
	[ -s "$run/timeline.svg" ] || fail "no timeline was drawn"
	;;
usage)
	stillpoint 2 run apic rung=ladder
	one_clear_line
	stillpoint 2 run apic vcpus=9
	one_clear_line
	stillpoint 2 run apic ipis=0
	one_clear_line
	;;
*) unknown_case "${1:-}" ;;
esac
