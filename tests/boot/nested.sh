#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Nested: experiments in a short form under QEMU with KVM, which checks more than Bochs does and offers
# less.
. tests/boot/lib.sh

# nested ARGUMENT...: a run that must pass.
nested()
{
	stillpoint 0 run "$@" --machine nested --timeout 600
	says '^# Stillpoint on qemu: '
}

case ${1:-} in
list) printf '%s\n' usage ;;
1-cpu) nested --cpus 1 machine n=20 entry exits n=16 batches=10 ;;
basics) nested timers n=20 nmi n=30 ;;
kick) nested kick samples=10 requests=16 events=5 transport=nmi ;;
wait) nested wait events=20 ;;
pause) nested pause ticks=20000 mib=1 do=check ;;
missing) nested missing takes=4 pages=4 ;;
guest)
	for program in hello memory; do
		stillpoint 0 guest "$BUILD/guest/$program.elf" --machine nested --timeout 600
		says '^# Stillpoint on qemu: '
	done
	;;
usage)
	stillpoint 2 run --machine nested --firmware uefi
	tells 'no other --firmware or --boot'
	stillpoint 2 iso --machine nested
	tells 'machine nested is for: run, list, guest'
	;;
*) unknown_case "$1" ;;
esac
