# SPDX-License-Identifier: GPL-2.0-only
# Stillpoint, stock KVM and patched KVM beside each other. Sourced; tools/compare.py does it.
# shellcheck shell=sh

compare_sides()
{
	case $machine,$firmware,$boot in
	bochs,bios,fast) ;;
	*) die 2 "compare: all sides need VMX and the same way to boot: Bochs, its BIOS, --boot fast" ;;
	esac
	[ "$exits$verbose" = nono ] || die 2 "--exits and --verbose belong to one run, not to: compare"
	need_machine
	dir=$OUT/${name:-compare}
	mkdir -p "$dir" || die 126 "cannot write to $dir"
	exec 8>"$dir/.lock"
	flock -n 8 || die 2 "another comparison is writing to $dir; choose a folder with --name"
	[ $install = yes ] || set -- --no-install
	python3 tools/compare.py --out "$dir" --words "$words" --model "$model" --timeout "$timeout" \
		${cpus:+--cpus "$cpus"} ${mem:+--mem "$mem"} ${seed:+--seed "$seed"} "$@"
	exit $?
}
