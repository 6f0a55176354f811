# SPDX-License-Identifier: GPL-2.0-only
# The nested machine: Bochs runs Linux (tools/linux.sh), which runs QEMU with KVM, which runs the image
# on VMX that KVM emulates. Sourced.
# shellcheck shell=sh
#
# QEMU, its libraries and ROMs are Debian's own, packed once and kept as
# $BUILD/linux/nested/qemu-KEY, KEY being a hash of their contents; a run adds the image and QEMU's
# command line.

# Beside the image's memory: Linux, the files of QEMU, and QEMU itself.
NESTED_MEGABYTES=384

# Bochs delivers no host interrupt while a guest has interrupts disabled, as the image has nearly
# always: it has to come out to Linux now and then. In ticks; a tenth of Linux' own.
NESTED_HEARTBEAT=10000

# An interrupt that the CPU delivers by itself, and whose delivery exits, has a wrong name in Bochs. The
# image knows that where it runs on Bochs; KVM does not, and would deliver another one: one rung less.
NESTED_APIC=register

QEMU_ROMS='qboot.rom kvmvapic.bin linuxboot_dma.bin pvh.bin'
QEMU_SHARE='/usr/share/qemu /usr/share/seabios'

# settle_nested: the machine that the user sees is QEMU's; Bochs' is made around it.
settle_nested()
{
	case $command in
	run | list | guest) ;;
	*) die 2 "--machine nested is for: run, list, guest" ;;
	esac
	[ "$firmware,$boot" = bios, ] || [ "$firmware,$boot" = bios,pvh ] ||
		die 2 "--machine nested boots the image by QEMU's -kernel: no other --firmware or --boot"
	boot=fast
	machine=bochs
	nested=yes
}

# run_nested VIEW: $dir, $cmdline and $boot_modules say what is run; ends with the run's status.
run_nested()
{
	view=$1
	kernel=patched
	case " $cmdline " in
	*' apic='*) ;;
	*) cmdline="apic=$NESTED_APIC${cmdline:+ $cmdline}" ;;
	esac
	need_machine
	need qemu
	qemu_text="$(tested_version QEMU "$(qemu_version)" "$TESTED_QEMU") (KVM)"
	machine_text="$qemu_text, $host_cpus CPU$(plural "$host_cpus"), $host_mem MB; on $machine_text"
	find_kernel
	build
	STILLPOINT_NO_BUILD='' build linux-boot
	clear_folder
	pack_nested
	image_size=$(image_bytes)
	host_mem=$(((host_mem + NESTED_MEGABYTES + 63) / 64 * 64))
	append="kvm_intel.heartbeat=$NESTED_HEARTBEAT"
	command=linux
	boot_linux @/command
}

# pack_nested: sets $initramfs_ready.
pack_nested()
{
	mkdir -p "$BUILD/linux/nested" "$dir/linux" || die 126 "cannot write to $BUILD and $dir"
	set -- "init=$BUILD/linux/init" "stillpoint.elf=$dir/linux/stillpoint.elf" \
		"command=$dir/linux/command"
	objcopy -S "$BUILD/stillpoint.elf" "$dir/linux/stillpoint.elf" ||
		die 126 "$BUILD/stillpoint.elf: not to be read"
	if [ -n "$boot_modules" ]; then
		with_modules python3 tools/mkblob.py -o "$dir/linux/blob.bin" -c "$cmdline" ||
			die 126 "the modules could not be packed"
		set -- "$@" "blob.bin=$dir/linux/blob.bin"
	fi
	write_nested_command >"$dir/linux/command"
	python3 tools/mkinitramfs.py -o "$dir/linux/image" "$@" || die 126 "the initramfs could not be made"
	pack_qemu
	# The kernel takes archives one after the other.
	initramfs_ready=$dir/linux/initramfs.ready
	cat "$qemu_archive" "$dir/linux/image" >"$initramfs_ready" || die 126 "cannot write to $dir"
}

# What /init executes, one word a line: the QEMU of --machine qemu-kvm, with its files where they are
# in the initramfs.
write_nested_command()
(
	machine=qemu-kvm
	model=host
	boot=pvh
	elf_image=/stillpoint.elf
	qemu_monitor=none # the kernel has no sockets
	qemu_words '' "$cmdline"
	eval "printf '%s\n' $qemu_command -L /share -bios qboot.rom"
)

# pack_qemu: sets $qemu_archive.
pack_qemu()
{
	program=$(command -v qemu-system-x86_64)
	set -- "bin/qemu-system-x86_64=$program"
	for library in $(ldd "$program" | grep -o '/[^ ]*'); do
		set -- "$@" "${library#/}=$library"
	done
	for rom in $QEMU_ROMS; do
		for share in $QEMU_SHARE; do
			[ ! -f "$share/$rom" ] || set -- "$@" "share/$rom=$share/$rom"
		done
	done
	key=$(for file; do
		printf '%s ' "${file%%=*}"
		sha256sum <"${file#*=}"
	done | sha256sum | cut -c 1-16)
	qemu_archive=$BUILD/linux/nested/qemu-$key
	program=''
	[ ! -f "$qemu_archive" ] || return 0
	python3 tools/mkinitramfs.py -o "$qemu_archive.$$" "$@" || die 126 "QEMU could not be packed"
	mv "$qemu_archive.$$" "$qemu_archive"
}
