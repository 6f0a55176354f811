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
list) printf '%s\n' rules wild guests rungs hop signals wait pause memory apic guest usage ;;
rules) nested --cpus 1 machine n=20 entry exits n=16 batches=10 ;;
wild) nested --cpus 1 wild n=1 cpus=1 ;;
guests) nested --cpus 1 guests cpus=1 ;;
rungs) nested --cpus 1 apic-guests rung=register ;;
hop) nested --cpus 1 hop every=3000000 ;;
signals) nested timers n=20 nmi n=30 kick samples=10 requests=16 events=5 transport=nmi ;;
wait) nested wait events=20 ;;
pause) nested pause ticks=20000 mib=1 do=check ;;
memory) nested missing takes=4 pages=4 migrate do=move way=exit rounds=0 ;;
apic) nested apic ipis=50 migrations=10 rung=register ;;
guest)
	stillpoint 0 guest "$BUILD/guest/hello.elf" --machine nested --timeout 600
	says '^# Stillpoint on qemu: '
	;;
usage)
	stillpoint 2 run --machine nested --firmware uefi
	tells 'no other --firmware or --boot'
	stillpoint 2 iso --machine nested
	tells 'machine nested is for: run, list, guest'
	;;
*) unknown_case "$1" ;;
esac
