#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: one-test.sh DIR "NAME<tab>SCRIPT<tab>CASE": runs one test, logs to DIR/NAME/log, and adds
# a line to DIR/results. A test that ends with status 77 is skipped; its last line says why.
set -u

dir=$1
tab=$(printf '\t')
IFS=$tab read -r name script case <<END
$2
END
log=$dir/$name/log
mkdir -p "$dir/$name"
start=$(date +%s)
TEST_NAME=$name TEST_DIR=$dir/$name timeout -k 10 1800 sh "$script" "$case" >"$log" 2>&1 </dev/null
status=$?
seconds=$(($(date +%s) - start))
{
	flock 9
	number=$(($(wc -l <"$dir/results") + 1))
	case $status in
	0) line="ok $number $name" ;;
	77) line="ok $number $name # SKIP $(tail -n 1 "$log")" ;;
	*) line="not ok $number $name" ;;
	esac
	echo "$line" >>"$dir/results"
	[ $seconds -lt 10 ] || line="$line ($seconds s)"
	echo "$line"
	case $line in
	not*)
		# What failed inside the run, then how it ended.
		{
			grep -a -m 8 -A 1 -e '^  FAILED ' -e '^not ok' -e ' error: ' "$log"
			tail -n 5 "$log"
		} | sed 's/^/#   /'
		[ $status != 124 ] || echo "#   took longer than 1800 s"
		echo "#   all of it: $log"
		;;
	esac
} 9>"$dir/.results-lock"
exit 0
