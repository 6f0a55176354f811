# SPDX-License-Identifier: GPL-2.0-only
# Every test there is. A test is one case of a script: tools/host-tests.sh, one in tests/boot/, or
# tests/models/run.sh. Each lists its cases with "list" and runs one by name. Sourced.
# shellcheck shell=sh

check_all()
{
	# The list of tests holds Bochs' CPU models.
	need python3 bochs
	cases=$(check_list)
	# build-gcc comes along with any other test, so alone it is none.
	if [ "$words" != build-gcc ] && ! printf '%s\n' "$cases" | grep -q -v '^build-gcc'; then
		die 2 "check: no test is called '$words'; ./stillpoint check --list shows all"
	fi
	if [ "$list" = yes ]; then
		printf '%s\n' "$cases" | cut -f 1
		exit 0
	fi
	need gcc libc libbsd make binutils bochsbios qemu ovmf grub grub-bios grub-efi xorriso mtools gdb \
		cmocka zydis clang fuzzer clang-format cppcheck shellcheck spin \
		linux-source flex bison bc libelf patch xz
	dir=$OUT/check
	mkdir -p "$dir" || die 126 "cannot write to $dir"
	exec 8>"$dir/.lock"
	flock -n 8 || die 2 "another check is writing to $dir"
	printf '%s\n' "$cases" >"$dir/cases"
	say "$(tested_version Bochs "$(bochs_version)" "$TESTED_BOCHS")," \
		"$(tested_version QEMU "$(qemu_version)" "$TESTED_QEMU")," \
		"$(tested_version GRUB "$(grub_version)" "$TESTED_GRUB")"
	say "$(wc -l <"$dir/cases") tests; their logs: $dir/NAME/"
	: >"$dir/results"
	# Two emulators at most: more than that and a slow machine turns into hangs.
	jobs=$(nproc)
	[ "$jobs" -le 2 ] || jobs=2
	# What the others need comes first, and alone.
	grep "^build-" "$dir/cases" | xargs -r -d '\n' -n 1 sh tools/one-test.sh "$dir"
	if grep -q '^not ok .* build-gcc' "$dir/results"; then
		say "without an image there is nothing to boot: the other tests count as failed"
	else
		STILLPOINT_NO_BUILD=1
		export STILLPOINT_NO_BUILD
		grep -v "^build-" "$dir/cases" | xargs -r -d '\n' -P "$jobs" -n 1 sh tools/one-test.sh "$dir"
	fi
	passed=$(grep -c '^ok [^#]*$' "$dir/results")
	skipped=$(grep -c '^ok .*# SKIP' "$dir/results")
	failed=$(($(wc -l <"$dir/cases") - passed - skipped))
	if [ $failed != 0 ]; then
		echo "failed:"
		grep '^not ok' "$dir/results" | sed 's/^not ok [0-9]* /  /'
	fi
	totals="$passed passed, $failed failed"
	[ "$skipped" = 0 ] || totals="$totals, $skipped skipped"
	echo "$totals"
	[ $failed = 0 ]
	exit $?
}

# check_list: "NAME<tab>SCRIPT<tab>CASE" of the tests whose names match $words (all without).
check_list()
{
	for script in tools/host-tests.sh tests/models/run.sh tests/boot/*.sh; do
		[ "$script" != tests/boot/lib.sh ] || continue
		group=$(basename "$script" .sh)
		sh "$script" list | while IFS= read -r case; do
			case $group in
			host-tests) test=$case ;;
			run) test=models-$case ;;
			*) test=$group-$case ;;
			esac
			check_wanted "$test" && printf '%s\t%s\t%s\n' "$test" "$script" "$case"
		done
	done
}

# A word is a test's name, or the beginning of several: "check bochs" runs bochs-*.
check_wanted()
{
	[ -n "$words" ] || return 0
	for word in $words; do
		# Whoever is asked for: boot tests need the image, and one of them clang's.
		case $1,$word in
		"$word","$word" | "$word"-*,"$word") return 0 ;;
		build-gcc,* | build-clang,bochs | build-clang,bochs-clang) return 0 ;;
		esac
	done
	return 1
}
