#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The commands around a run: what they print and what they leave behind.
. tests/boot/lib.sh

# prints REGEX: the output of the command before it has such a line.
prints()
{
	grep -a -E -q -e "$1" "$TEST_DIR/output" || {
		cat "$TEST_DIR/output"
		fail "no line of the output matches: $1"
	}
}

case ${1:-} in
list) printf '%s\n' help version experiments iso debug-print debug-gdb results again busy ;;
help)
	./stillpoint help >"$TEST_DIR/output" || fail "status $?"
	prints 'Exit status'
	./stillpoint --help | cmp - "$TEST_DIR/output" || fail "--help differs from help"
	;;
version)
	./stillpoint version >"$TEST_DIR/output" || fail "status $?"
	prints '^Bochs +[0-9]'
	prints '^QEMU +[0-9]'
	;;
experiments)
	./stillpoint list --name "check/$TEST_NAME/1" >"$TEST_DIR/output" || fail "status $?"
	prints '^exits +'
	prints '^guest +'
	if grep -v -q '^[a-z ]' "$TEST_DIR/output"; then
		fail "there is more than a list"
	fi
	;;
iso)
	./stillpoint iso guests >"$TEST_DIR/output" 2>&1 || fail "status $?"
	prints 'stillpoint.iso'
	[ "$(wc -c <"$BUILD/stillpoint.iso")" -lt 2000000 ] || fail "the ISO is not small"
	;;
debug-print)
	./stillpoint debug --print --name "check/$TEST_NAME/1" >"$TEST_DIR/output" || fail "status $?"
	prints 'S -gdb tcp:'
	prints '^gdb '
	;;
debug-gdb)
	echo 'continue' | timeout 60 ./stillpoint debug list --name "check/$TEST_NAME/1" \
		>"$TEST_DIR/output" 2>&1 || fail "status $?"
	prints 'Breakpoint 1, .*image_main'
	;;
results)
	stillpoint 0 run exits
	for file in bochsrc command console.txt ktap.txt metrics.jsonl emulator.log summary.txt; do
		[ -s "$run/$file" ] || fail "there is no $file"
	done
	head -n 1 "$run/ktap.txt" | grep -q '^KTAP version 1$' || fail "ktap.txt is no KTAP"
	for metric in boot.wall_ms boot.first_guest image.bytes exits.cpuid; do
		grep -q "\"$metric\"" "$run/metrics.jsonl" || fail "no metric $metric"
	done
	python3 tools/report.py "$run" | grep -q '^exits ' || fail "report.py does not read it back"
	;;
again)
	# The command that a run leaves repeats it, word for word.
	stillpoint 0 run exits
	"$run/command" >"$TEST_DIR/second.txt" 2>/dev/null
	if grep -a -v -x -F -f "$TEST_DIR/second.txt" "$run/console.txt"; then
		fail "$run/command does not print these lines"
	fi
	;;
busy)
	mkdir -p "$TEST_DIR/1"
	(
		flock 9
		timeout 30 ./stillpoint run exits --name "check/$TEST_NAME/1" 9>&- \
			>"$TEST_DIR/output" 2>&1
		[ $? = 2 ]
	) 9>"$TEST_DIR/1/.lock" || fail "a folder in use is not refused"
	prints 'another run is writing'
	;;
*) unknown_case "$1" ;;
esac
