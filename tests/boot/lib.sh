# SPDX-License-Identifier: GPL-2.0-only
# What boot tests share. Each test script answers "list" with its cases and runs the one it is given.
# one-test.sh sets TEST_NAME and TEST_DIR; run by hand, a case logs to out/check/by-hand.
# shellcheck shell=sh
set -u

BUILD=${BUILD:-build}
OUT=${OUT:-out}
TEST_NAME=${TEST_NAME:-by-hand}
TEST_DIR=${TEST_DIR:-$OUT/check/by-hand}
export BUILD OUT
runs=0
mkdir -p "$TEST_DIR"

fail()
{
	echo "FAILED: $*"
	exit 1
}

skip()
{
	echo "$*"
	exit 77
}

# stillpoint STATUS ARGUMENT...: one run that must end with STATUS. Afterwards $run is its folder.
stillpoint()
{
	want=$1
	shift
	runs=$((runs + 1))
	run=$TEST_DIR/$runs
	echo "== ./stillpoint $*   (status $want expected)"
	verb=$1
	shift
	# A test's own --timeout comes later and wins.
	./stillpoint "$verb" --timeout 180 "$@" --no-install --name "check/$TEST_NAME/$runs" \
		>"$TEST_DIR/$runs.txt" 2>&1
	got=$?
	cat "$TEST_DIR/$runs.txt"
	[ $got = "$want" ] || fail "./stillpoint $verb${*:+ $*}: status $got, not $want"
}

# says REGEX: the last run's console has such a line.
says()
{
	grep -a -E -q -e "$1" "$run/console.txt" || fail "no line on the console matches: $1"
}

# tells REGEX: the last run's tool output has such a line.
tells()
{
	grep -a -E -q -e "$1" "$TEST_DIR/$runs.txt" || fail "no line of ./stillpoint matches: $1"
}

# one_clear_line: the last run ended itself with a text, and nothing looks like a crash.
one_clear_line()
{
	[ "$(grep -a -c '^stillpoint: end [0-9]* .' "$run/console.txt")" = 1 ] ||
		fail "the console does not end with one line that says why"
	if grep -a -E -i -q 'panic|backtrace|#(GP|PF|UD|DF)\b' "$run/console.txt"; then
		fail "the console shows a crash"
	fi
}

# at_most LIMIT METRIC [KEY=VALUE ...]: the medians, or values, of the last run's metrics that fit.
at_most()
{
	python3 tests/boot/limits.py "$run/metrics.jsonl" at-most "$@" || fail "$2 misses its target"
}

unknown_case()
{
	echo "$(basename "$0"): there is no case '$1'; \"list\" shows them"
	exit 2
}
