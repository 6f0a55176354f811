# SPDX-License-Identifier: GPL-2.0-only
# What every shell part needs: talking to the user, and a quiet build. Sourced, not run.
# shellcheck shell=sh

say()
{
	printf 'stillpoint: %s\n' "$*" >&2
}

# die STATUS MESSAGE
die()
{
	status=$1
	shift
	say "$*"
	exit "$status"
}

# build [TARGET...]: quiet make; its output goes to $OUT/build.log and is shown when it fails.
build()
{
	[ -z "${STILLPOINT_NO_BUILD:-}" ] || return 0
	mkdir -p "$OUT" "$BUILD" || die 126 "cannot write to $OUT and $BUILD"
	# One build at a time per build directory: two runs may be started together.
	{
		flock 9
		{
			make -j"$(nproc)" --no-print-directory "BUILD=$BUILD" "$@" 2>&1
			echo "exit $?"
		} | tee "$OUT/build.log" | build_progress
		if [ "$(tail -n 1 "$OUT/build.log")" != "exit 0" ]; then
			say "the build failed:"
			sed '$d' "$OUT/build.log" | grep -E -m 1 -A 15 '(error|Error|undefined reference)' >&2 ||
				sed '$d' "$OUT/build.log" | tail -n 20 >&2
			die 126 "the build failed (all of it: $OUT/build.log)"
		fi
	} 9>"$BUILD/.lock"
}

# One line on a terminal, overwritten by each step; one word elsewhere; nothing when up to date.
build_progress()
{
	told=no
	while IFS= read -r line; do
		case $line in
		'  '[A-Z]*)
			if [ -t 2 ]; then
				printf '\r\033[K%.79s' "$line" >&2
			elif [ $told = no ]; then
				say "building"
			fi
			told=yes
			;;
		esac
	done
	if [ $told = yes ] && [ -t 2 ]; then
		printf '\r\033[K' >&2
	fi
}
