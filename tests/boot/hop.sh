#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Guests that are moved between two VMs while they run, by the states of their vCPUs.
. tests/boot/lib.sh

case ${1:-} in
list)
	printf '%s\n' 1-cpu 2-cpus 4-cpus often guest
	;;
1-cpu)
	stillpoint 0 run hop --cpus 1 --timeout 600
	at_most 2000 hop.get_state guest=exits
	at_most 4500 hop.set_state guest=exits
	;;
2-cpus)
	stillpoint 0 run hop --cpus 2 --timeout 600
	;;
4-cpus)
	stillpoint 0 run hop cpus=3 --cpus 4 --timeout 600
	;;
often)
	for seed in 1 2; do
		stillpoint 0 run hop every=3000 --cpus 1 --seed $seed --timeout 600
	done
	;;
guest)
	stillpoint 0 guest "$BUILD/guest/apic.elf" hop=30000 --cpus 2
	;;
*) unknown_case "${1:-}" ;;
esac
