# SPDX-License-Identifier: GPL-2.0-only
# The machine of a run: defaults, combinations that cannot work, and the emulator's command line.
# Sourced.
# shellcheck shell=sh

OPTION_ROM_ADDRESS=0xd0000
IMAGE_ADDRESS=0x200000
OVMF=/usr/share/ovmf/OVMF.fd

# What boots: the flat file behind the option ROM, and QEMU's -kernel. tools/linux.sh has its own.
flat_image=$BUILD/stillpoint.bin
elf_image=$BUILD/stillpoint.elf

# settle_machine: fill in what the user left open; refuse what cannot work. Sets $host_cpus and
# $host_mem (the machine's) and, for a guest, $guest_cpus and $guest_mem.
settle_machine()
{
	nested=no
	[ "$machine" != nested ] || settle_nested
	if [ -z "$boot" ]; then
		case $machine,$firmware in
		*,uefi) boot=iso ;;
		bochs,bios) boot=fast ;;
		*) boot=pvh ;;
		esac
	fi
	case $boot,$machine,$firmware in
	fast,bochs,bios | iso,* | pvh,qemu-*,bios) ;;
	fast,*) die 2 "--boot fast is an option ROM for Bochs' BIOS: not on $machine with $firmware" ;;
	pvh,*) die 2 "--boot pvh is QEMU's -kernel with a BIOS: not on $machine with $firmware" ;;
	esac
	[ "$command,$boot" != linux,iso ] || die 2 "linux boots without a boot loader: no --boot iso, no UEFI"
	[ "$machine" = bochs ] || [ "$exits" = no ] || die 2 "--exits is a log of Bochs: not on $machine"

	if [ "$command" = guest ]; then
		guest_cpus=${cpus:-1}
		guest_mem=${mem:-128}
		[ -n "$host_cpus" ] || host_cpus=$((guest_cpus > 2 ? guest_cpus : 2))
		if [ -z "$host_mem" ]; then
			# The guest's RAM, the files on their way into it, and the hypervisor.
			host_mem=$(((guest_mem + 64 + $(module_megabytes) + 63) / 64 * 64))
			[ "$host_mem" -ge 256 ] || host_mem=256
			number mem "$guest_mem" 1 $((16384 - 64))
		fi
	else
		host_cpus=${cpus:-2}
		# dirty_log_test writes to every page of a gigabyte.
		case $command,${words%% *},$machine in
		linux,selftests,bochs) mem=${mem:-1536} ;;
		linux,selftests,*) mem=${mem:-2048} ;;
		linux,*) mem=${mem:-512} ;;
		esac
		host_mem=${mem:-256}
		number mem "$host_mem" 64 16384
	fi

	case $machine in
	bochs) model=${model:-corei7_skylake_x} ;;
	qemu-tcg)
		# Linux's KVM runs on SVM there.
		[ "$command" != linux ] || model=${model:-max,+svm}
		model=${model:-max}
		;;
	qemu-kvm) model=${model:-host} ;;
	esac
}

# Megabytes of the guest's file and its modules, rounded up.
module_megabytes()
{
	printf '%s' "$modules" | {
		total=0
		while IFS= read -r path; do
			total=$((total + $(wc -c <"$path") / 1048576 + 1))
		done
		if [ -f "$(absolute "$file")" ]; then
			total=$((total + $(wc -c <"$(absolute "$file")") / 1048576 + 1))
		fi
		echo $total
	}
}

# need_machine: what the chosen machine and boot path take; prints the versions.
need_machine()
{
	items='python3 gcc libc libbsd make binutils'
	case $machine in
	bochs) items="$items bochs bochsbios" ;;
	*) items="$items qemu" ;;
	esac
	[ "$firmware" = bios ] || items="$items ovmf"
	[ "$boot" != iso ] || items="$items grub grub-bios grub-efi xorriso mtools"
	[ "$command" != debug ] || [ "$machine" = bochs ] || items="$items gdb"
	# shellcheck disable=SC2086 # a list of words
	need $items
	case $machine in
	bochs)
		bochs --help cpu 2>&1 | grep -qx -- "$model" ||
			die 2 "--model $model: not one of Bochs' CPU models (bochs --help cpu lists them)"
		emulator_version=$(tested_version Bochs "$(bochs_version)" $TESTED_BOCHS)
		;;
	qemu-tcg) emulator_version="$(tested_version QEMU "$(qemu_version)" $TESTED_QEMU) (TCG)" ;;
	qemu-kvm)
		emulator_version="$(tested_version QEMU "$(qemu_version)" $TESTED_QEMU) (KVM)"
		check_kvm
		;;
	esac
	[ "$boot" != iso ] ||
		emulator_version="$emulator_version, $(tested_version GRUB "$(grub_version)" $TESTED_GRUB)"
	megabytes=$host_mem
	machine_text="$emulator_version, $model, $host_cpus CPU$(plural "$host_cpus"), $megabytes MB"
	case $boot in
	fast) machine_text="$machine_text, option ROM" ;;
	iso) machine_text="$machine_text, ISO on $(echo "$firmware" | tr '[:lower:]' '[:upper:]')" ;;
	pvh) machine_text="$machine_text, PVH" ;;
	esac
}

plural()
{
	[ "$1" = 1 ] || echo s
}

# check_kvm: say in words why nested VMX cannot work here.
check_kvm()
{
	[ -e /dev/kvm ] || die 126 "qemu-kvm needs /dev/kvm, and this machine has none; use --machine bochs"
	if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
		die 126 "qemu-kvm needs access to /dev/kvm (usually: be in the group kvm)"
	fi
	grep -qw vmx /proc/cpuinfo ||
		die 126 "qemu-kvm needs an Intel CPU with VMX, and /proc/cpuinfo shows none; use --machine bochs"
	case $(cat /sys/module/kvm_intel/parameters/nested 2>/dev/null) in
	Y | 1) ;;
	*) die 126 "qemu-kvm needs nested VMX: modprobe -r kvm_intel; modprobe kvm_intel nested=1" ;;
	esac
}

# write_machine DIR CMDLINE: DIR/command (a script with the emulator's exact command line), and
# for Bochs DIR/bochsrc and DIR/debugger.rc. The modules are in $boot_modules, one path a line.
write_machine()
{
	case $command,$boot in
	*,iso) make_iso "$1/stillpoint.iso" "$2" ;;
	linux,pvh) ;; # QEMU takes the files as they are
	*) pack_blob "$1" "$2" ;;
	esac
	case $machine in
	bochs)
		write_bochsrc "$1" >"$1/bochsrc"
		write_debugger_commands "$1" >"$1/debugger.rc"
		set -- "$1" bochs -q -f "$1/bochsrc" -rc "$1/debugger.rc"
		;;
	*) qemu_words "$1" "$2" ;;
	esac
	[ "$machine" = bochs ] || eval "set -- \"\$1\" $qemu_command"
	{
		echo '#!/bin/sh'
		printf 'cd %s || exit 126\n' "$(shell_quoted "$PWD")"
		dir=$1
		shift
		# The watcher ends a hang after --timeout; this is the safety net under it.
		printf 'exec timeout -k 10 %s' $((timeout + 20))
		for word; do
			case $word in
			-*) printf ' \\\n\t' ;;
			*) printf ' ' ;;
			esac
			shell_quoted "$word"
		done
		printf ' </dev/null\n'
	} >"$dir/command"
	chmod +x "$dir/command"
}

shell_quoted()
{
	case $1 in
	*[!A-Za-z0-9_./:=,@%+-]* | '') printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
	*) printf '%s' "$1" ;;
	esac
}

# pack_blob DIR CMDLINE: the command line and the modules as one file, for PVH DIR/blob.bin, for the
# option ROM DIR/ram.bin with the image before them.
pack_blob()
{
	if [ "$boot" = fast ]; then
		with_modules python3 tools/mkblob.py -i "$flat_image" -o "$1/ram.bin" -c "$2"
	else
		with_modules python3 tools/mkblob.py -o "$1/blob.bin" -c "$2"
	fi || die 126 "the command line and modules could not be packed"
}

# make_iso FILE CMDLINE: an ISO with this command line and these modules in it.
make_iso()
{
	with_modules sh boot/mkiso.sh -o "$1" -k "$BUILD/stillpoint.elf" -c "$2" ||
		die 126 "the ISO could not be made"
}

# with_modules COMMAND...: runs it with "-m FILE NAME" for every line of $boot_modules.
with_modules()
{
	while IFS= read -r path; do
		[ -z "$path" ] || set -- "$@" -m "$path" "$(basename -- "$path")"
	done <<END
$boot_modules
END
	"$@"
}

write_bochsrc()
{
	# Bochs keeps at most 2048 MB in its own memory and the rest in a file.
	resident=$((host_mem < 2048 ? host_mem : 2048))
	# Unknown MSRs must fault, as on hardware; only OVMF and Linux cannot live with that.
	bad_msrs=0
	case $firmware,$command in
	uefi,* | *,linux) bad_msrs=1 ;;
	esac
	cat <<END
# $machine_text
config_interface: textconfig
display_library: rfb, options="timeout=0"
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=1, mode=none
cpu: model=$model, count=$host_cpus, ips=10000000, reset_on_triple_fault=0, ignore_bad_msrs=$bad_msrs
memory: guest=$host_mem, host=$resident
vgaromimage: file=$BOCHS_SHARE/VGABIOS-lgpl-latest
port_e9_hack: enabled=1
clock: sync=none, time0=0
log: $1/emulator.log
panic: action=fatal
info: action=ignore
END
	case $firmware in
	bios) echo "romimage: file=$BOCHS_SHARE/BIOS-bochs-latest, options=fastboot" ;;
	uefi)
		echo "romimage: file=$OVMF"
		# Where OVMF reports exceptions of its own.
		echo "com1: enabled=1, mode=file, dev=$1/firmware.txt"
		;;
	esac
	[ "$command" != linux ] || echo "com1: enabled=1, mode=file, dev=$1/kernel.txt"
	case $boot in
	fast)
		cat <<END
optromimage1: file=$BUILD/orom.bin, address=$OPTION_ROM_ADDRESS
optramimage1: file=$1/ram.bin, address=$IMAGE_ADDRESS
END
		;;
	iso)
		cat <<END
ata0-master: type=cdrom, path=$1/stillpoint.iso, status=inserted
boot: cdrom
END
		;;
	esac
	if [ "$exits" = yes ]; then
		printf 'debug: action=ignore'
		cpu=0
		while [ $cpu -lt "$host_cpus" ]; do
			printf ', cpu%d=report' $cpu
			cpu=$((cpu + 1))
		done
		echo
	fi
}

# touch_memory DIR: the debugger's command that reads the loaded memory once, in order.
#
# Bochs backs guest memory with blocks of 128 KB that it hands out at first use, and copies an image
# to where its first block lies: what is longer is in place only when the next blocks are used in
# order, and nothing else before.
touch_memory()
{
	[ "$boot" = fast ] || return 0
	printf 'writemem "/dev/null" %s %s\n' "$IMAGE_ADDRESS" "$(wc -c <"$1/ram.bin")"
}

# write_debugger_commands DIR: run; and when the run has stopped or was stopped, tell where each CPU
# is and how it came there. The number announces whose frames follow; tools/watch.py reads this.
write_debugger_commands()
{
	touch_memory "$1"
	echo c
	cpu=0
	while [ $cpu -lt "$host_cpus" ]; do
		printf "set \$cpu=%d\\ncalc %d\\nbt 12\\n" $cpu $((1000000 + cpu))
		cpu=$((cpu + 1))
	done
	echo q
}

# qemu_words DIR CMDLINE: sets $qemu_command, quoted for eval. $qemu_monitor is where its monitor is
# instead of DIR/monitor.
qemu_monitor=''
qemu_words()
{
	dir=$1
	cmdline=$2
	case $machine in
	qemu-tcg) accel=tcg ;;
	*) accel=kvm ;;
	esac
	set -- qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
		-machine q35 -accel $accel -cpu "$model" -smp "$host_cpus" -m "$host_mem" \
		-chardev stdio,id=console,signal=off \
		-device isa-debugcon,iobase=0xe9,chardev=console \
		-device isa-debug-exit,iobase=0x501,iosize=2 \
		-monitor "${qemu_monitor:-unix:$dir/monitor,server=on,wait=off}" \
		-d guest_errors,cpu_reset -D "$dir/emulator.log"
	case $boot in
	iso) set -- "$@" -cdrom "$dir/stillpoint.iso" ;;
	pvh)
		set -- "$@" -kernel "$elf_image" -append "$cmdline"
		if [ "$command" = linux ]; then
			set -- "$@" -initrd "$initramfs" -serial "file:$dir/kernel.txt"
		elif [ -n "$boot_modules" ]; then
			set -- "$@" -initrd "$dir/blob.bin"
		fi
		;;
	esac
	[ "$firmware" = bios ] || set -- "$@" -bios $OVMF
	# All of its memory from the start: no page fault of Linux' in the middle of a measurement.
	[ $accel != kvm ] || set -- "$@" -mem-prealloc
	qemu_command=
	for word; do
		qemu_command="$qemu_command $(shell_quoted "$word")"
	done
}
