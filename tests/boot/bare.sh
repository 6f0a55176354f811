#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest programs without Stillpoint beneath them, in QEMU's interpreter: what they check has to
# hold on a bare machine, or their verdict on a hypervisor is worth nothing.
. tests/boot/lib.sh

# qemu STATUS PROGRAM "OPTIONS" [ARGUMENT...]: isa-debug-exit turns the guest's status v into 2v+1;
# a triple fault with -no-reboot gives 0.
qemu()
{
	want=$1 program=$2 append=$3
	shift 3
	echo "== $program $append ($*; status $want expected)"
	timeout 120 qemu-system-x86_64 -accel tcg -kernel "$BUILD/guest/$program.elf" \
		-append "$append" -device isa-debug-exit,iobase=0xf4,iosize=4 -serial stdio \
		-display none -no-reboot -m 128 "$@" </dev/null >"$TEST_DIR/$program.txt" 2>&1
	got=$?
	cat "$TEST_DIR/$program.txt"
	[ $got = "$want" ] || fail "$program $append: QEMU ended with $got, not $want"
}

case ${1:-} in
list)
	for program in hello exits memory fpu events wild; do
		printf '%s\n' $program $program-2-cpus $program-max
	done
	printf '%s\n' exits-all-cpus large-memory triple-fault bad-option bad-value
	;;
exits-all-cpus)
	qemu 1 exits "all=1 n=160" -smp 4 -cpu max
	;;
large-memory)
	qemu 1 memory "step=4096" -m 6G -smp 2
	;;
triple-fault)
	qemu 0 wild do=triple
	;;
bad-option)
	qemu 5 exits "speed=11"
	grep -q "no option is called 'speed'" "$TEST_DIR/exits.txt" || fail "it does not say what is wrong"
	;;
bad-value)
	qemu 5 memory "step=9"
	grep -q 'step=9' "$TEST_DIR/memory.txt" || fail "it does not say what is wrong"
	;;
*-2-cpus)
	qemu 1 "${1%-2-cpus}" "" -smp 2
	;;
*-max)
	qemu 1 "${1%-max}" "" -smp 2 -cpu max
	;;
*)
	[ -f "guest/${1:-}.c" ] || unknown_case "${1:-}"
	qemu 1 "$1" ""
	;;
esac
