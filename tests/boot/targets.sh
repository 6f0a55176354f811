#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What a run may cost. Ticks in Bochs are exact, so these hold on any computer; wall time does not and
# is only reported.
. tests/boot/lib.sh

# at_most METRIC LIMIT: the median, or the value, of every metric of that name in the last run.
at_most()
{
	python3 - "$run/metrics.jsonl" "$1" "$2" <<-'END' || fail "$1 misses its target"
		import json
		import sys

		path, name, limit = sys.argv[1:]
		with open(path, encoding="utf-8") as file:
		    found = [m for m in map(json.loads, file) if m["name"] == name]
		values = [m.get("value", m.get("p50")) for m in found]
		print(f"{name}: {values}, at most {limit}")
		sys.exit(not values or max(values) > int(limit))
	END
}

case ${1:-} in
list) printf '%s\n' exits boot image memory ;;
exits)
	stillpoint 0 run exits --cpus 1
	at_most exits.cpuid 110
	at_most exits.pio_vmm 200
	at_most exits.cpuid_vmcs_accesses 4
	;;
boot)
	stillpoint 0 run guests
	at_most boot.first_guest 3000000
	;;
image)
	# 256 KiB without the experiments of any idea, and 32 KiB for those of each: one so far.
	stillpoint 0 run exits
	at_most image.bytes $((256 * 1024 + 32 * 1024))
	;;
memory)
	stillpoint 0 run exits --cpus 8
	at_most mem.host 4194304
	at_most mem.vcpu 65536
	;;
*) unknown_case "$1" ;;
esac
