#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Wrong command lines: those the tool refuses, and those only the image can judge.
. tests/boot/lib.sh

# refused REGEX ARGUMENT...: the tool says so in one line and starts nothing.
refused()
{
	words=$1
	shift
	output=$(./stillpoint "$@" 2>&1 </dev/null)
	got=$?
	printf './stillpoint %s\n  %s: %s\n' "$*" $got "$output"
	[ $got = 2 ] || fail "status $got, not 2"
	[ "$(printf '%s\n' "$output" | wc -l)" = 1 ] || fail "not one line"
	printf '%s\n' "$output" | grep -E -q -e "$words" || fail "it does not say: $words"
}

case ${1:-} in
list) printf '%s\n' tool image ;;
tool)
	refused "no command 'frobnicate'" frobnicate
	refused "no option '--frobnicate'" run --frobnicate
	refused 'needs a value' run --cpus
	refused 'must be a number' run --cpus two
	refused 'from 1 to 8' run --cpus 0
	refused 'from 1 to 8' run --cpus 9
	refused 'from 1 to 8' run --cpus 18446744073709551617
	refused 'must be a number' run --mem=-1
	refused 'from 64 to 16384' run --mem 63
	refused 'to 16384' run --mem 16385
	refused 'one of: bochs' run --machine vmware
	refused 'one of: bios' run --firmware coreboot
	refused 'takes no value' run --exits=1
	refused "not one of Bochs' CPU models" run --model pentium_9
	refused "not a CPU model's name" run --model 'a b'
	refused 'not on qemu-tcg' run --machine qemu-tcg --boot fast
	refused 'not on bochs' run --boot pvh
	refused 'not on qemu-tcg' run --machine qemu-tcg --exits
	refused 'inside' run --name ../elsewhere
	refused 'inside' run --name /tmp
	refused 'which ELF file' guest
	refused 'no such file' guest /nonexistent
	refused 'not a readable file' guest /
	refused 'no such file' guest stillpoint --module /nonexistent
	refused "what is 'x'" guest stillpoint x
	refused 'belongs to: guest' run --append x
	refused 'belong to: guest' run --host-cpus 2
	refused 'belong to: linux' run --kernel stock
	refused 'belongs to: linux build' linux --steps
	refused 'one of: patched stock' linux --kernel newest
	refused 'no such program' linux --program /nonexistent
	refused 'without a boot loader' linux --boot iso
	refused 'without a boot loader' linux --firmware uefi
	refused "what is 'x'" linux build x
	refused 'nothing is known to compare of' compare no-such-experiment
	refused 'before any experiment' compare n=1 exits
	refused 'name an experiment once' compare exits exits
	refused 'all sides need VMX' compare --machine qemu-tcg
	refused 'belong to one run' compare exits --verbose
	refused 'belongs to: debug' run --print
	refused "what is 'x'" list x
	refused "no test is called" check no-such-test
	;;
image)
	stillpoint 2 run no-such-experiment
	one_clear_line
	says "no-such-experiment"
	stillpoint 2 run exits no-such-key=1
	one_clear_line
	says "no-such-key"
	stillpoint 2 run exits n=
	one_clear_line
	stillpoint 2 run exits n=many
	one_clear_line
	stillpoint 2 run exits n=0
	one_clear_line
	stillpoint 2 run exits n=99999999999999999999999999
	one_clear_line
	stillpoint 2 run =
	one_clear_line
	stillpoint 2 run 'exits "unfinished'
	one_clear_line
	stillpoint 2 run "$(printf 'x%.0s' $(seq 900))"
	one_clear_line
	stillpoint 2 run "$(printf '\377\001\033[31m')"
	one_clear_line
	;;
*) unknown_case "$1" ;;
esac
