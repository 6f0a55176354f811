#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Make a small hybrid ISO: El Torito and MBR for BIOS, a GPT with an EFI system partition for UEFI.
# It boots as CD, disk or USB stick.
#
#	mkiso.sh -o ISO -k KERNEL-ELF [-c "kernel command line"] [-m FILE "name args"]...
set -eu

usage()
{
	echo "usage: mkiso.sh -o ISO -k ELF [-c WORDS] [-m FILE WORDS]..." >&2
	exit 2
}

# GRUB's rescue parser takes these for its own.
escape()
{
	printf '%s' "$1" | sed "s/[\\\\\$']/\\\\&/g"
}

here=$(dirname "$0")
grub=${GRUB_DIR:-/usr/lib/grub}
out='' kernel='' cmdline='' n=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/iso/boot" "$work/EFI/BOOT"
: > "$work/modules"

while [ $# -gt 0 ]; do
	case $1 in
	-o) [ $# -ge 2 ] || usage; out=$2; shift 2 ;;
	-k) [ $# -ge 2 ] || usage; kernel=$2; shift 2 ;;
	-c) [ $# -ge 2 ] || usage; cmdline=$2; shift 2 ;;
	-m)
		[ $# -ge 3 ] || usage
		cp "$2" "$work/iso/boot/module$n"
		echo "module2 --nounzip /boot/module$n $(escape "$3")" >> "$work/modules"
		n=$((n + 1))
		shift 3
		;;
	*) usage ;;
	esac
done
if [ -z "$out" ] || [ -z "$kernel" ]; then
	usage
fi

objcopy --strip-all "$kernel" "$work/iso/boot/stillpoint.elf"
escape "$cmdline" > "$work/cmdline"
awk -v dir="$work" '
/^#/ { next }
/@MODULES@/ { while ((getline line < (dir "/modules")) > 0) print line; next }
{
	at = index($0, "@CMDLINE@")
	if (at) {
		words = ""
		getline words < (dir "/cmdline")
		$0 = substr($0, 1, at - 1) words
	}
	print
}' "$here/grub.cfg" > "$work/grub.cfg"
sed '/^uefi: /d' "$work/grub.cfg" > "$work/bios.cfg"
sed 's/^uefi: //' "$work/grub.cfg" > "$work/uefi.cfg"

# BIOS: one core image serves El Torito and, through the hybrid boot sector, disks.
grub-mkimage -O i386-pc-eltorito -d "$grub/i386-pc" -p /boot -c "$work/bios.cfg" \
	-o "$work/iso/boot/core.img" biosdisk iso9660 multiboot2
grub-mkimage -O x86_64-efi -d "$grub/x86_64-efi" -p /boot -c "$work/uefi.cfg" \
	-o "$work/EFI/BOOT/BOOTX64.EFI" iso9660 search_fs_file multiboot2

# The smallest FAT that holds the EFI core: its size, rounded up, and some for the file system.
kib=$(($(wc -c < "$work/EFI/BOOT/BOOTX64.EFI") / 1024 + 64))
dd if=/dev/zero of="$work/efi.img" bs=1024 count=$kib 2> /dev/null
mformat -i "$work/efi.img" -T $((kib * 2)) -h 2 -s 32 -N 0 ::
mcopy -s -i "$work/efi.img" "$work/EFI" ::

xorriso -as mkisofs -quiet -o "$out" -V STILLPOINT -J -joliet-long \
	-b boot/core.img -no-emul-boot -boot-load-size 4 -boot-info-table \
	--grub2-boot-info --grub2-mbr "$grub/i386-pc/boot_hybrid.img" \
	-eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot \
	-append_partition 2 0xef "$work/efi.img" -appended_part_as_gpt "$work/iso" \
	2> "$work/xorriso.log" || { cat "$work/xorriso.log" >&2; exit 1; }
