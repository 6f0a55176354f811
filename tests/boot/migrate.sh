#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Experiment migrate: a guest that writes all its memory moves to another VM; what it costs, and what
# becomes of it when the link breaks.
. tests/boot/lib.sh

# moved [KEY=VALUE...]: in the last run no byte was wrong, and the guest stood still for no longer than the
# target allows beside the link's latency.
moved()
{
	at_most 0 migrate.wrong_bytes "$@"
	at_most $((20000 + latency)) migrate.downtime "$@"
}

latency=5000 # of the link, unless a case says otherwise

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 3-cpus 5-cpus chaos-2-cpus chaos-4-cpus same-twice rounds shared slow fast far \
		256-mib 256-mib-precopy memory usage
	for at in precopy state go demand push refused; do
		echo "break-$at"
	done
	;;
1-cpu)
	stillpoint 0 run migrate --cpus 1
	says 'SKIP needs 2 CPUs'
	;;
2-cpus)
	stillpoint 0 run migrate
	for way in queue exit bitmap; do
		for rounds in 0 1; do
			moved way=$way rounds=$rounds
		done
	done
	;;
3-cpus)
	# What the second one's next instruction needs has to cross the link too: its state and 8 pages.
	stillpoint 0 run migrate vcpus=2 --cpus 3
	latency=$((latency + 34 * 1024 / 4))
	moved
	;;
5-cpus)
	stillpoint 0 run migrate vcpus=4 --cpus 5 --timeout 600
	at_most 0 migrate.wrong_bytes
	;;
chaos-*-cpus)
	cpus=${1#chaos-}
	cpus=${cpus%%-*}
	for chaos in 1 2 3; do
		stillpoint 0 run "chaos=$chaos" migrate "vcpus=$((cpus - 1))" --cpus "$cpus" --seed $chaos --timeout 600
		at_most 0 migrate.wrong_bytes
	done
	;;
same-twice)
	stillpoint 0 run chaos=5 migrate vcpus=2 way=exit --seed 5 --cpus 3
	first=$run
	stillpoint 0 run chaos=5 migrate vcpus=2 way=exit --seed 5 --cpus 3
	cmp "$first/console.txt" "$run/console.txt" || fail "two runs with the same seeds differ"
	;;
rounds)
	# All pages are written all the time: more rounds send more, and gain nothing.
	stillpoint 0 run migrate do=move way=exit rounds=4
	moved
	;;
shared)
	stillpoint 0 run migrate do=move shared=1 vcpus=2 --cpus 3
	at_most 0 migrate.wrong_bytes
	;;
slow)
	stillpoint 0 run migrate do=move rounds=0 bandwidth=500
	at_most 0 migrate.wrong_bytes
	;;
fast)
	latency=0
	stillpoint 0 run migrate do=move latency=0 bandwidth=100000
	moved
	;;
far)
	latency=200000
	stillpoint 0 run migrate do=move latency=200000 rounds=0
	moved
	;;
256-mib)
	stillpoint 0 run migrate do=move way=exit rounds=0 mem=256 --mem 1024 --timeout 900
	moved
	;;
256-mib-precopy)
	stillpoint 0 run migrate do=move way=bitmap rounds=1 mem=256 --mem 1024 --timeout 900
	moved
	;;
memory)
	# How long the guest stands still does not depend on how much memory it has.
	stillpoint 0 run migrate do=move way=queue rounds=0 mem=16
	moved
	stillpoint 0 run migrate do=move way=queue rounds=0 mem=64
	moved
	;;
break-*)
	stillpoint 0 run migrate do=break at="${1#break-}" vcpus=2 --cpus 3
	case ${1#break-} in
	demand | push) says 'the target: the link broke: [0-9]+ of [0-9]+ pages are missing' ;;
	esac
	;;
usage)
	stillpoint 2 run migrate vcpus=5
	one_clear_line
	stillpoint 2 run migrate mem=3
	one_clear_line
	stillpoint 0 run migrate mem=256
	says 'SKIP needs [0-9]+ MiB of free memory'
	;;
*) unknown_case "${1:-}" ;;
esac
