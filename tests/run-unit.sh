#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: run-unit.sh TEST...: runs cmocka programs, a line for each; the full output of one that
# fails. The last line is "N passed, N failed", and the status tells whether N is 0.
set -u

passed=0
failed=0
for test in "$@"; do
	name=$(basename "$test")
	CMOCKA_MESSAGE_OUTPUT=tap timeout 300 "$test" >"$test.log" 2>&1
	status=$?
	good=$(grep -c '^ok ' "$test.log")
	bad=$(grep -c '^not ok ' "$test.log")
	# A sanitizer's complaint or a crash ends the program before it can report.
	[ $status = 0 ] || [ "$bad" != 0 ] || bad=1
	passed=$((passed + good))
	failed=$((failed + bad))
	if [ "$bad" = 0 ] && [ "$good" != 0 ]; then
		echo "ok $name: $good passed"
	else
		echo "not ok $name: $good passed, $bad failed (status $status)"
		sed 's/^/#   /' "$test.log"
		[ "$good" != 0 ] || [ "$bad" != 0 ] || failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed != 0 ]
