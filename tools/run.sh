# SPDX-License-Identifier: GPL-2.0-only
# One run: build, write the machine down, start it, watch it, report. Sourced.
# shellcheck shell=sh

boot_modules=

run_experiments()
{
	# The folder is named after the experiment when there is exactly one.
	folder=run
	for word in $words; do
		case $word in
		*=* | x2apic | serial) continue ;;
		esac
		if [ "$folder" = run ]; then
			folder=$word
		else
			folder=run
			break
		fi
	done
	case $folder in
	*[!A-Za-z0-9_-]*) folder=run ;;
	esac
	run_image run "$folder" "$words"
}

run_list()
{
	run_image list list list
}

run_guest()
{
	[ -n "$file" ] || die 2 "guest: which ELF file? (./stillpoint help tells more)"
	path=$(absolute "$file")
	[ -e "$path" ] || die 2 "guest: $file: no such file"
	if ! [ -f "$path" ] || ! [ -r "$path" ]; then
		die 2 "guest: $file: not a readable file"
	fi
	boot_modules="$path
$modules"
	boot_modules=${boot_modules%
}
	folder=guest-$(basename -- "$file")
	folder=$(printf '%s' "${folder%.*}" | tr -c 'A-Za-z0-9_.+-' _)
	arguments="${globals:+$globals }guest mem=$guest_mem cpus=$guest_cpus${words:+ $words}"
	if [ -n "$append" ]; then
		arguments="$arguments append=\"$(printf '%s' "$append" | sed 's/[\\"]/\\&/g')\""
	fi
	run_image guest "$folder" "$arguments"
}

# clear_folder: $dir is this run's alone, and nothing of an earlier run is left in it.
clear_folder()
{
	mkdir -p "$dir" || die 126 "cannot write to $dir"
	exec 8>"$dir/.lock"
	flock -n 8 || die 2 "another run is writing to $dir; choose a folder with --name"
	rm -f "$dir/bochsrc" "$dir/command" "$dir/console.txt" "$dir/ktap.txt" "$dir/metrics.jsonl" \
		"$dir/emulator.log" "$dir/summary.txt" "$dir/blob.bin" "$dir/ram.bin" "$dir/debugger.rc" \
		"$dir/stillpoint.iso" "$dir/monitor" "$dir/firmware.txt" "$dir/timeline.svg" "$dir/kernel.txt"
}

# run_image VIEW FOLDER CMDLINE: the whole run; exits with its status.
run_image()
{
	view=$1
	cmdline="${seed:+seed=$seed }$3"
	cmdline=${cmdline% }
	dir=$OUT/${name:-$2}

	[ $nested = no ] || run_nested "$view"
	need_machine
	build
	clear_folder
	write_machine "$dir" "$cmdline"
	[ $verbose = no ] || view=verbose
	python3 tools/watch.py --dir "$dir" --image "$BUILD/stillpoint.elf" \
		--image-bytes "$(image_bytes)" --emulator "${machine%%-*}" --machine "$machine_text" \
		--cpus "$host_cpus" --timeout "$timeout" --view "$view" --cmdline "$cmdline"
	status=$?
	draw_timeline
	exit $status
}

# draw_timeline: a picture of the run's trace, when it has printed one (trace=1).
draw_timeline()
{
	grep -a -q '^ *# trace [0-9]' "$dir/console.txt" 2>/dev/null || return 0
	python3 tools/timeline.py "$dir/console.txt" -o "$dir/timeline.svg" --title "$cmdline" &&
		say "a timeline of its trace: $dir/timeline.svg"
}

# image_bytes: size of the image as it would travel: no symbols, no guests.
image_bytes()
{
	objcopy -S "$BUILD/stillpoint.elf" "$BUILD/stillpoint.stripped"
	guests=$(size -A -d "$BUILD/stillpoint.elf" | sed -n 's/^\.guests  *\([0-9]*\) .*/\1/p')
	echo $(($(wc -c <"$BUILD/stillpoint.stripped") - ${guests:-0}))
}

write_iso()
{
	need python3 gcc libc libbsd make binutils grub grub-bios grub-efi xorriso mtools
	build
	cmdline="${seed:+seed=$seed }$words"
	make_iso "$BUILD/stillpoint.iso" "${cmdline% }"
	say "$(tested_version GRUB "$(grub_version)" "$TESTED_GRUB") made $BUILD/stillpoint.iso" \
		"($(($(wc -c <"$BUILD/stillpoint.iso") / 1024)) KB): CD, disk or USB, BIOS or UEFI"
}
