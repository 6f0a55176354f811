#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# How the tool tells the ways a run can end apart: a stand-in emulator prints a prepared console.
. tests/boot/lib.sh

# watched STATUS EMULATOR: watches $TEST_DIR/command, which the case has written.
watched()
{
	chmod +x "$TEST_DIR/command"
	python3 tools/watch.py --dir "$TEST_DIR" --image "$BUILD/stillpoint.elf" --image-bytes 1 \
		--emulator "$2" --machine "a stand-in" --cpus 2 --timeout 2 --view run \
		>"$TEST_DIR/0.txt" 2>&1
	got=$?
	cat "$TEST_DIR/0.txt"
	[ $got = "$1" ] || fail "status $got, not $1"
}

# prints LINE...: the stand-in's console.
prints()
{
	rm -f "$TEST_DIR/emulator.log"
	{
		echo '#!/bin/sh'
		echo 'cat <<"END"'
		printf '%s\n' "$@"
		echo 'END'
	} >"$TEST_DIR/command"
}

# logs LINE: and in the emulator's log.
logs()
{
	echo "echo '$1' >'$TEST_DIR/emulator.log'" >>"$TEST_DIR/command"
}

good='KTAP version 1
1..1
  KTAP version 1
  ok 1 it works
  # metric {"name": "a.b", "unit": "ticks", "n": 3, "min": 1, "p50": 2, "p99": 3, "max": 3, "params": {}}
  1..1
ok 1 first'

case ${1:-} in
list)
	printf '%s\n' passed failed contradiction cut-short bad-metric usage no-vmx panic panic-unnoticed entry-failed \
		entry-failed-silently triple-fault reset hang hang-deaf crash missing
	;;
passed)
	prints "$good" "stillpoint: end 0 all well"
	watched 0 bochs
	tells '^first +1 +0 +0$'
	tells '^a.b +3 +1 +2 +3 +3 +ticks$'
	tells 'passed: all well \(1 passed, 0 failed, 0 skipped\)'
	[ "$(wc -l <"$TEST_DIR/metrics.jsonl")" = 2 ] || fail "metrics.jsonl: not two lines"
	;;
failed)
	prints 'KTAP version 1' '1..1' '  KTAP version 1' '  not ok 1 it works' '  # expected 1, got 2' \
		'  1..1' 'not ok 1 first' 'stillpoint: end 1 1 expectation failed'
	watched 1 bochs
	tells '^ +FAILED +it works$'
	tells '^ +expected 1, got 2$'
	;;
contradiction)
	prints 'KTAP version 1' '1..1' '  KTAP version 1' '  not ok 1 it works' '  1..1' 'not ok 1 first' \
		'stillpoint: end 0 all well'
	watched 1 bochs
	;;
cut-short)
	prints 'KTAP version 1' '1..2' '  KTAP version 1' '  ok 1 it works' '  1..2' 'ok 1 first' \
		'stillpoint: end 0 all well'
	watched 1 bochs
	tells '2 results planned, 1 seen'
	tells '2 experiments planned, 1 seen'
	;;
bad-metric)
	prints "$good" '# metric {"name": "a.c", "unit": "ticks", "min": 3}' 'stillpoint: end 0 all well'
	watched 1 bochs
	tells 'unreadable metric'
	;;
usage)
	prints 'stillpoint: end 2 no experiment is called x'
	watched 2 bochs
	tells 'wrong usage: no experiment is called x'
	;;
no-vmx)
	prints 'stillpoint: end 121 no VMX: CPUID.1:ECX[5] is clear'
	watched 121 qemu
	tells 'this machine cannot run it: no VMX'
	;;
panic)
	prints 'stillpoint: end 122 page fault at 0x10'
	watched 122 bochs
	tells 'hypervisor panic: page fault at 0x10'
	;;
panic-unnoticed)
	# One CPU panics while another one ends the run as if nothing was.
	prints "$good" 'panic: CPU 1: page fault at 0x10' 'stillpoint: end 0 all well'
	watched 122 bochs
	tells 'panic while the run ended: CPU 1'
	;;
entry-failed)
	prints 'stillpoint: end 123 invalid guest state'
	logs '00000001e[CPU0  ] VMENTER FAIL: RFLAGS[1] cleared'
	watched 123 bochs
	tells 'Bochs: VMENTER FAIL: RFLAGS\[1\] cleared'
	;;
entry-failed-silently)
	prints 'KTAP version 1'
	logs '00000001e[CPU0  ] VMENTER FAIL: RFLAGS[1] cleared'
	watched 123 bochs
	tells 'VMENTER FAIL: RFLAGS\[1\] cleared'
	;;
triple-fault)
	prints 'KTAP version 1'
	echo 'echo "[CPU0  ] exception(): 3rd (13) exception with no resolution" >&2; exit 1' \
		>>"$TEST_DIR/command"
	watched 125 bochs
	tells 'triple fault'
	;;
reset)
	prints 'KTAP version 1'
	watched 125 qemu
	;;
hang)
	# Bochs' debugger answers an interrupt with the place of every CPU, and ends.
	prints 'KTAP version 1'
	cat >>"$TEST_DIR/command" <<-'END'
		trap 'echo "Next at t=5"; echo "(0) [0x0] 0008:ffffffff7fffffff (unk. ctxt): hlt"; exit 0' INT
		while :; do sleep 0.1; done
	END
	watched 124 bochs
	tells 'CPU 0 at 0xffffffff7fffffff'
	tells 'hang: no end after 2 s'
	;;
hang-deaf)
	prints 'KTAP version 1'
	echo 'trap "" INT TERM; for i in 1 2 3 4 5 6 7 8 9; do sleep 10; done' >>"$TEST_DIR/command"
	watched 124 bochs
	;;
crash)
	prints 'KTAP version 1'
	echo 'echo "something broke" >&2; exit 3' >>"$TEST_DIR/command"
	watched 126 bochs
	tells 'something broke'
	;;
missing)
	prints ''
	echo 'exec /nonexistent/emulator' >>"$TEST_DIR/command"
	watched 126 bochs
	;;
*) unknown_case "$1" ;;
esac
