# SPDX-License-Identifier: GPL-2.0-only
# The Linux side: a kernel, an initramfs with our VMM, and a run of it in the same emulators. Sourced.
# shellcheck shell=sh

linux_command()
{
	kernel=${kernel:-patched}
	case ${words%% *} in
	build)
		[ -z "$program$append" ] || die 2 "linux build: --program and --append are for a run"
		[ "$words" = build ] || die 2 "linux build: what is '${words#* }'?"
		. tools/linux-build.sh
		build_kernels
		;;
	*) run_linux ;;
	esac
}

# run_linux: $words are the VMM's, or "selftests" with names, or the arguments of $program.
run_linux()
{
	arguments=${words:-}
	folder=linux-vmm
	if [ -n "$program" ]; then
		folder=linux-$(basename -- "$program" | tr -c 'A-Za-z0-9_.+\n-' _)
		arguments="/bin/program${words:+ $words}"
	else
		case ${words%% *} in
		'') ;;
		*[!A-Za-z0-9_-]*) ;;
		*) folder=linux-${words%% *} ;;
		esac
		[ "${words%% *}" = selftests ] || arguments="vmm ${seed:+seed=$seed }$words"
	fi
	arguments=${arguments% }
	dir=$OUT/${name:-$folder}

	need_machine
	find_kernel
	# Also when the tests say that all is built: not this, which few of them need.
	case ${program:+program},${words%% *} in
	,selftests)
		STILLPOINT_NO_BUILD='' build linux-boot
		. tools/linux-build.sh
		build_selftests
		for path in $(cd "$selftests" && find . -type f | sort); do
			initramfs_extra="$initramfs_extra selftests/${path#./}=$selftests/${path#./}"
		done
		;;
	program,*) STILLPOINT_NO_BUILD='' build linux-boot ;;
	*) STILLPOINT_NO_BUILD='' build linux ;;
	esac
	case $machine,${program:+program},${words%% *} in
	bochs,,apic) apicv=yes ;;
	*,,selftests) run_selftests ;;
	esac
	clear_folder
	boot_linux "$arguments"
}

# Whether KVM is to use APICv although Bochs has no posted interrupts: without it there is no APIC-access
# page that could move.
apicv=no

# run_selftests: those that $words name, or all of linux/selftests. In Bochs the tests that need APICv
# have a boot of their own: the parameter cannot be changed later.
run_selftests()
{
	names=${words#selftests}
	[ -n "$names" ] || names=$(selftest_names)
	with_apicv=''
	without=''
	for test in $names; do
		case $machine,$test in
		bochs,apic_access_reload) with_apicv="$with_apicv $test" ;;
		*) without="$without $test" ;;
		esac
	done
	status=0
	if [ -n "$without" ]; then
		clear_folder
		(boot_linux "selftests$without") || status=$?
		dir=$dir-apicv
	fi
	# Not after a usage error, nor when there was no end.
	if [ -n "$with_apicv" ] && [ $status -lt 2 ]; then
		apicv=yes
		clear_folder
		(boot_linux "selftests$with_apicv") || status=$?
	fi
	exit $status
}

# selftest_names: all of the list, in its order.
selftest_names()
{
	sed 's/#.*//' linux/selftests | while read -r test _; do
		[ -z "$test" ] || echo "$test"
	done
}

# find_kernel: sets $vmlinux (with symbols) and $kernel_text, building the kernel if it must.
find_kernel()
{
	if [ -n "${LINUX_TREE:-}" ]; then
		tree=$(absolute "$LINUX_TREE")
		vmlinux=$tree/vmlinux
		[ -f "$vmlinux" ] || die 2 "LINUX_TREE=$LINUX_TREE: no vmlinux in there; build it first"
		kernel=tree
		kernel_text="Linux of $LINUX_TREE"
		return
	fi
	. tools/linux-build.sh
	build_kernel "$kernel"
}

# boot_linux ARGUMENTS: start $vmlinux with the initramfs and watch it; ends with its status. What is
# run in it may set $view and $image_size (bytes) for the results.
view=''
image_size=''
boot_linux()
{
	machine_text="$kernel_text; $machine_text"
	cmdline="$(kernel_parameters) -- run $1"
	[ ${#cmdline} -lt 1023 ] || die 2 "linux: the command line is longer than a kernel's can be"
	mkdir -p "$dir/linux" || die 126 "cannot write to $dir"
	elf_image=$dir/linux/vmlinux
	objcopy -S "$vmlinux" "$elf_image" || die 126 "$vmlinux: not to be read"
	initramfs=$dir/linux/initramfs
	pack_initramfs
	flat_image=$BUILD/linux/loader.bin
	boot_modules="$elf_image
$initramfs"
	write_machine "$dir" "$cmdline"
	view=${view:-run}
	case $words in
	list) view=list ;;
	guest | 'guest '*) view=guest ;;
	esac
	[ $verbose = no ] || view=verbose
	python3 tools/watch.py --dir "$dir" --image "$vmlinux" \
		--image-bytes "${image_size:-$(wc -c <"$elf_image")}" --emulator "${machine%%-*}" \
		--machine "$machine_text" --cpus "$host_cpus" --timeout "$timeout" --view "$view" \
		--cmdline "$cmdline"
	exit $?
}

# What this kernel needs to know about these machines. Warnings and worse go to the serial port, from
# where they come into the results; whatever kills the kernel ends the run.
kernel_parameters()
{
	parameters='loglevel=5 earlyprintk=serial,ttyS0,115200 console=ttyS0,115200n8 oops=panic panic=-1 reboot=t'
	if [ "$machine" = bochs ]; then
		# Its MWAIT does not wake, and there is no second clock to watch the TSC with.
		parameters="$parameters idle=halt tsc=reliable"
		# It does not interrupt a guest that runs with interrupts off, as those of the
		# selftests do. A parameter of the series, see linux/README.md; others ignore it.
		# And what it logs with PML are addresses, not those of pages: KVM warns.
		parameters="$parameters kvm_intel.heartbeat=100000 kvm_intel.pml=0"
		case $model in
		# CPUID claims 3.5 GHz where the TSC has 10 MHz; XSAVES is announced and incomplete.
		corei7_skylake_x) parameters="$parameters noxsave tsc_early_khz=10000" ;;
		esac
	fi
	# The heartbeat must not come between a virtual interrupt and its delivery.
	[ $apicv = no ] || parameters="$parameters kvm_intel.apicv_without_pi=1 kvm_intel.heartbeat=0"
	# Elsewhere a second is the host's, who may have other things to do. And see linux/init.c.
	[ "$machine" = bochs ] || parameters="$parameters STILLPOINT_PATIENCE=10 STILLPOINT_KEEP_VM=1"
	printf '%s' "$parameters${append:+ $append} STILLPOINT_KERNEL=$kernel"
}

# pack_initramfs: writes $initramfs, with the files $initramfs_extra (words PATH=FILE); or uses the
# archive $initramfs_ready as it is.
initramfs_extra=
initramfs_ready=
pack_initramfs()
{
	rm -f "$initramfs"
	if [ -n "$initramfs_ready" ]; then
		ln -f "$initramfs_ready" "$initramfs" 2>/dev/null || cp "$initramfs_ready" "$initramfs" ||
			die 126 "the initramfs could not be made"
		return
	fi
	set -- "init=$BUILD/linux/init"
	[ ! -f "$BUILD/linux/vmm" ] || set -- "$@" "bin/vmm=$BUILD/linux/vmm"
	[ -z "$program" ] || set -- "$@" "bin/program=$program"
	for guest in "$BUILD"/guest/*.elf; do
		set -- "$@" "guest/$(basename "$guest")=$guest"
	done
	# shellcheck disable=SC2086 # a list of words
	python3 tools/mkinitramfs.py -o "$initramfs" "$@" $initramfs_extra || die 126 "the initramfs could not be made"
}
