#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest programs through ./stillpoint guest, on one and more CPUs, and their status handed on.
. tests/boot/lib.sh

guest=$BUILD/guest

case ${1:-} in
list)
	printf '%s\n' hello hello-2-cpus hello-8-cpus more-vcpus-than-cpus large-guest exits \
		exits-2-cpus memory memory-2-cpus fpu events status wild
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
exits | memory | fpu | events)
	stillpoint 0 guest "$guest/$1.elf"
	;;
exits-2-cpus | memory-2-cpus)
	stillpoint 0 guest "$guest/${1%-2-cpus}.elf" --cpus 2
	;;
*) unknown_case "$1" ;;
esac
