#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest programs through ./stillpoint guest, on one and more CPUs, and their status handed on.
. tests/boot/lib.sh

guest=$BUILD/guest
# What ends a guest, and what the hypervisor then says about it.
fatal='triple jump cr3 idt stack hole hlt'

case ${1:-} in
list)
	printf '%s\n' hello hello-2-cpus hello-8-cpus more-vcpus-than-cpus large-guest exits \
		exits-2-cpus memory memory-2-cpus fpu events apic migrate migrate-2-cpus apic-4-cpus apic-hidden-x2apic status \
		endless
	for mode in all apic $fatal; do
		echo "wild-$mode"
	done
	;;
hello)
	stillpoint 0 guest "$guest/hello.elf"
	;;
hello-2-cpus)
	stillpoint 0 guest "$guest/hello.elf" --cpus 2
	;;
hello-8-cpus)
	stillpoint 0 guest "$guest/hello.elf" --cpus 8
	;;
more-vcpus-than-cpus)
	stillpoint 0 guest "$guest/hello.elf" --cpus 4 --host-cpus 1
	;;
large-guest)
	stillpoint 0 guest "$guest/hello.elf" --mem 1024
	;;
exits | memory | fpu | events | apic | migrate)
	stillpoint 0 guest "$guest/$1.elf"
	;;
exits-2-cpus | memory-2-cpus | migrate-2-cpus)
	stillpoint 0 guest "$guest/${1%-2-cpus}.elf" --cpus 2
	;;
apic-4-cpus)
	stillpoint 0 guest "$guest/apic.elf" --cpus 4
	;;
apic-hidden-x2apic)
	stillpoint 0 guest "$guest/apic.elf" x2apic=0 --cpus 2
	says 'ok .* xAPIC: an ID reaches its CPU'
	;;
status)
	# Any status from 0 to 119 is the guest's to choose; above, it could be taken for the tool's.
	for status in 0 7 119; do
		python3 tests/boot/status_elf.py $status "$TEST_DIR/status.elf"
		stillpoint $status guest "$TEST_DIR/status.elf"
	done
	python3 tests/boot/status_elf.py 126 "$TEST_DIR/status.elf"
	stillpoint 119 guest "$TEST_DIR/status.elf"
	;;
endless)
	# Nothing the guest does ends it, not even with interrupts off: the tool sees a hang.
	stillpoint 124 guest "$guest/wild.elf" --append do=loop --timeout 8
	tells 'hang: no end after 8 s'
	;;
wild-all | wild-apic)
	stillpoint 0 guest "$guest/wild.elf" --append "do=${1#wild-}"
	;;
wild-*)
	case " $fatal " in
	*" ${1#wild-} "*) ;;
	*) unknown_case "$1" ;;
	esac
	stillpoint 1 guest "$guest/wild.elf" --append "do=${1#wild-}"
	one_clear_line
	case ${1#wild-} in
	triple) says 'end 1 .*triple fault' ;;
	hlt) says 'end 1 .*nothing can wake' ;;
	*) says 'end 1 .*no memory' ;;
	esac
	;;
*) unknown_case "$1" ;;
esac
