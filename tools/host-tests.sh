#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tests that boot nothing: builds, unit tests, fuzzers, style. "list" names them.
set -u

BUILD=${BUILD:-build}
jobs=-j$(nproc)

# The tree's files: what git knows or would take, or all of them without git.
files()
{
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files -co --exclude-standard
	else
		find . -type f ! -path './.git/*' ! -path "./$BUILD/*" ! -path './out/*' | sed 's|^\./||'
	fi
}

sources()
{
	files | grep -E '\.[ch]$'
}

# Every file says under which licence it is, near its top; only data made by others cannot.
licences()
{
	files | grep -v -e '^LICENSE$' -e '^tests/fuzz/corpus/' -e '^linux/patches/' | {
		status=0
		while IFS= read -r file; do
			[ -f "$file" ] || continue
			head -n 3 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-only' || {
				echo "$file: no SPDX-License-Identifier: GPL-2.0-only in the first lines"
				status=1
			}
		done
		exit $status
	}
}

scripts()
{
	# The command pulls in the sourced parts, and is checked together with them.
	shellcheck -x -a stillpoint || return 1
	files | while IFS= read -r file; do
		[ -f "$file" ] && head -n 1 "$file" | grep -q '^#!/bin/sh' && echo "$file"
	done | grep -v '^stillpoint$' | xargs -d '\n' shellcheck -x
}

python_files()
{
	files | grep '\.py$' | while IFS= read -r file; do
		python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" ||
			exit 1
	done && python3 tools/timeline.py --self-test &&
		python3 tools/ladder.py --self-test && python3 tools/scaling.py --self-test &&
		python3 tools/compare.py --self-test && python3 tools/mutate.py --check
}

# Tables that the linker delimits are compared by their ends: comparePointers cannot know.
analysis()
{
	sources | grep -v '^tests/' | xargs -d '\n' cppcheck --quiet --error-exitcode=1 --std=c11 \
		--platform=unix64 --inline-suppr --enable=warning,portability \
		--library=tools/cppcheck.cfg --suppress=comparePointers \
		-I. -D__x86_64__ -D__GNUC__=12 -D__STDC_HOSTED__=0
}

# stress NAME: two of them may be built at the same time, of the same parts.
stress()
{
	mkdir -p "$BUILD" || return 1
	flock "$BUILD/.stress-lock" make "$jobs" "BUILD=$BUILD" "$BUILD/stress/stress_$1" &&
		"$BUILD/stress/stress_$1"
}

case ${1:-} in
list)
	cat <<-END
		build-gcc
		build-clang
		unit
		fuzz
		stress-apic
		stress-dirty
		stress-invalidate
		stress-kick
		stress-missing
		stress-pause
		stress-slots
		stress-wait
		mutate-quick
		mutate-slow
		format
		licences
		shellcheck
		python
		cppcheck
	END
	;;
build-gcc) make "$jobs" "BUILD=$BUILD" all linux ;;
build-clang) make "$jobs" "BUILD=$BUILD/clang" CC=clang all linux ;;
unit) make "$jobs" "BUILD=$BUILD" unit ;;
fuzz) make "$jobs" "BUILD=$BUILD" fuzz ;;
stress-*) stress "${1#stress-}" ;;
mutate-*) python3 tools/mutate.py "--${1#mutate-}" ;;
format) sources | xargs -d '\n' clang-format --dry-run -Werror ;;
licences) licences ;;
shellcheck) scripts ;;
python) python_files ;;
cppcheck) analysis ;;
*)
	echo "host-tests.sh: there is no test '${1:-}'"
	exit 2
	;;
esac
