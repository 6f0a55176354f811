#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: run-fuzz.sh FUZZER [LIBFUZZER-OPTION]...: a run that starts from the same corpus and seed
# each time. What it finds new goes to FUZZER.corpus, an input that fails next to it.
set -u

fuzzer=$1
shift
name=$(basename "$fuzzer")
name=${name#fuzz_}
seeds=tests/fuzz/corpus/$name
rm -rf "$fuzzer.corpus"
mkdir -p "$fuzzer.corpus"
[ -d "$seeds" ] || seeds=
# shellcheck disable=SC2086 # $seeds is one word or none
if "$fuzzer" "$@" -artifact_prefix="$fuzzer-" "$fuzzer.corpus" $seeds >"$fuzzer.log" 2>&1; then
	echo "ok fuzz_$name: $(sed -n 's/^Done \([0-9]* runs in [0-9]* second.*\)/\1/p' "$fuzzer.log")"
else
	echo "not ok fuzz_$name"
	tail -n 60 "$fuzzer.log" | sed 's/^/#   /'
	echo "#   all of it: $fuzzer.log"
	exit 1
fi
