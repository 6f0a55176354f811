# SPDX-License-Identifier: GPL-2.0-only
# The kernels of the Linux side: Debian's source, as it is and with our patches. Sourced.
# shellcheck shell=sh
#
# One source tree, $BUILD/linux/tree, which goes from one kernel to the next by the patches between
# them and compiles only what they touch. Whatever is built is kept as $BUILD/linux/kernel/NAME-KEY,
# KEY being a hash of all that makes it: the source package's version, the configuration, the patches,
# the compiler, this recipe.

LINUX_VERSION=6.1
LINUX_PACKAGE=linux-source-$LINUX_VERSION
LINUX_ARCHIVE=/usr/src/$LINUX_PACKAGE.tar.xz
LINUX_RECIPE=1 # changes when the same files have to be built in another way
LINUX_FILES=960 # compiled for a first kernel, about: for the progress shown
LINUX_PATCHES=${LINUX_PATCHES:-linux/patches/$LINUX_VERSION}

# linux_patches [NUMBER]: the series in order, or its first patches.
linux_patches()
{
	for patch in "$LINUX_PATCHES"/*.patch; do
		[ ! -f "$patch" ] || echo "$patch"
	done | head -n "${1:-1000}"
}

# kernel_patches WHICH: the patches of the kernel "stock", "patched", or the first so many.
kernel_patches()
{
	case $1 in
	stock) ;;
	patched) linux_patches ;;
	*) linux_patches "$1" ;;
	esac
}

# kernel_key WHICH: hash of all that makes this kernel.
kernel_key()
{
	{
		echo "$LINUX_RECIPE $linux_source"
		gcc --version | head -n 1
		ld --version | head -n 1
		cat linux/config
		kernel_patches "$1" | while IFS= read -r patch; do
			cat "$patch"
		done
	} | sha256sum | cut -c 1-16
}

# build_kernel WHICH: sets $vmlinux and $kernel_text; builds what is not there.
build_kernel()
{
	need_kernel_source
	vmlinux=$BUILD/linux/kernel/vmlinux-$(kernel_key "$1")
	count=$(kernel_patches "$1" | wc -l)
	case $1 in
	stock) kernel_text="Linux $linux_source" ;;
	*) kernel_text="Linux $linux_source with $count patch$([ "$count" = 1 ] || echo es)" ;;
	esac
	[ ! -f "$vmlinux" ] || return 0
	mkdir -p "$BUILD/linux/kernel" || die 126 "cannot write to $BUILD"
	linux_log=$BUILD/linux/build.log
	{
		flock -n 7 || {
			say "waiting for the other build of the kernel"
			flock 7
		}
		# Another run may have built it meanwhile.
		[ -f "$vmlinux" ] || make_kernel "$1"
	} 7>"$BUILD/linux/.lock"
}

# need_kernel_source: sets $linux_source, the package's version.
need_kernel_source()
{
	need gcc libc make binutils linux-source flex bison bc libelf patch xz
	linux_source=$(package_version "$LINUX_PACKAGE")
	# Not Debian's package, but the same archive in the same place: its contents are the version.
	[ -n "$linux_source" ] || linux_source=$(sha256sum "$LINUX_ARCHIVE" | cut -c 1-12)
}

# make_kernel WHICH: under the lock. An interruption leaves nothing that looks finished.
make_kernel()
{
	started=$(date +%s)
	: >"$linux_log"
	unpack_kernel
	set_patches "$(kernel_patches "$1" | wc -l)"
	compile_kernel "$vmlinux" "$1"
}

# unpack_kernel: the tree for this source package.
unpack_kernel()
{
	tree=$BUILD/linux/tree
	[ "$(cat "$tree/.stillpoint/source" 2>/dev/null)" != "$linux_source" ] || return 0
	say "unpacking $LINUX_PACKAGE $linux_source"
	rm -rf "$tree" "$tree.new"
	mkdir -p "$tree.new/.stillpoint/patches"
	kernel_leaves_out >"$tree.new/.stillpoint/leave-out"
	kernel_leaves_out_folders >"$tree.new/.stillpoint/leave-out-folders"
	tar -x -f "$LINUX_ARCHIVE" -I 'xz -T0' -C "$tree.new" --strip-components=1 \
		--wildcards --exclude-from="$tree.new/.stillpoint/leave-out" --no-wildcards-match-slash \
		--exclude-from="$tree.new/.stillpoint/leave-out-folders" >>"$linux_log" 2>&1 ||
		die 126 "$LINUX_ARCHIVE: $(tail -n 1 "$linux_log")"
	echo "$linux_source" >"$tree.new/.stillpoint/source"
	mv "$tree.new" "$tree"
}

# Other architectures, but for their Kconfig and their KVM: the series changes that too.
kernel_leaves_out_folders()
{
	for arch in '[a-wyz]*' xtensa; do
		for folder in boot configs drivers kernel lib 'mach*' math-emu mm net nwfpe pci 'plat*' \
			power sysdev tools vfp xen; do
			printf '%s\n' "$LINUX_PACKAGE/arch/$arch/$folder"
		done
	done
}

# What else an x86 kernel without devices is not made of: most drivers and file systems (their Kconfig
# and Makefile stay), most of the documentation.
kernel_leaves_out()
{
	for drivers in ata bluetooth bus clk comedi crypto dma edac gpio gpu hid hwmon i2c iio infiniband \
		input isdn md media memory message mfd misc mmc mtd 'net/*' nfc ntb nvme parport phy \
		pinctrl platform power pwm regulator remoteproc s390 scsi sh siox slimbus soc soundwire \
		spi staging target usb vdpa vfio video w1; do
		echo "$LINUX_PACKAGE/drivers/$drivers/*.[chS]"
	done
	for fs in afs btrfs ceph cifs ext2 ext4 f2fs gfs2 jfs jffs2 ksmbd nfs nfsd ntfs ntfs3 ocfs2 reiserfs \
		smb ubifs udf xfs; do
		echo "$LINUX_PACKAGE/fs/$fs/*.[ch]"
	done
	for net in 9p batman-adv bluetooth bridge can ceph dccp mac80211 netfilter openvswitch rds rxrpc \
		sctp smc sunrpc tipc wireless; do
		echo "$LINUX_PACKAGE/net/$net/*.[ch]"
	done
	echo "$LINUX_PACKAGE/sound/*.[ch]"
	for documentation in ABI RCU accounting admin-guide arm64 core-api devicetree driver-api \
		filesystems gpu hwmon input leds media mm networking scheduler sound trace \
		translations userspace-api; do
		echo "$LINUX_PACKAGE/Documentation/$documentation/*"
	done
	for tools in bpf perf testing/selftests/bpf testing/selftests/net testing/selftests/tc-testing; do
		echo "$LINUX_PACKAGE/tools/$tools/*"
	done
}

# set_patches NUMBER: the tree has exactly the first so many of the series. Those of an earlier series
# are taken back from the copies that were kept of them.
set_patches()
{
	applied=$tree/.stillpoint/patches
	wanted=$(linux_patches "$1" | head -n "$1")
	# How many of them are in already, unchanged?
	same=0
	for patch in $wanted; do
		cmp -s "$patch" "$applied/$((same + 1))" || break
		same=$((same + 1))
	done
	have=$(find "$applied" -type f | wc -l)
	while [ "$have" -gt $same ]; do
		patch_tree "$applied/$have" -R
		rm "$applied/$have"
		have=$((have - 1))
	done
	for patch in $wanted; do
		same=$((same - 1))
		[ $same -lt 0 ] || continue
		patch_tree "$patch"
		have=$((have + 1))
		cp "$patch" "$applied/$have"
	done
}

# patch_tree FILE [-R]: all of it or nothing.
patch_tree()
{
	for rehearsal in --dry-run ''; do
		# shellcheck disable=SC2086 # options
		patch -d "$tree" -p 1 --fuzz=0 --force --no-backup-if-mismatch $rehearsal ${2:-} \
			-i "$(absolute_here "$1")" >"$tree/.stillpoint/patch.log" 2>&1 && continue
		cat "$tree/.stillpoint/patch.log" >>"$linux_log"
		die 126 "$(basename "$1") does not apply to $LINUX_PACKAGE $linux_source:" \
			"$(grep -m 1 -E 'FAILED|malformed|No such|can.t find' "$tree/.stillpoint/patch.log" ||
				tail -n 1 "$tree/.stillpoint/patch.log")"
	done
	cat "$tree/.stillpoint/patch.log" >>"$linux_log"
}

absolute_here()
{
	case $1 in
	/*) printf '%s\n' "$1" ;;
	*) printf '%s/%s\n' "$PWD" "$1" ;;
	esac
}

# kernel_make ARGUMENT...: make in the tree; nothing of this machine, user or day goes in.
kernel_make()
{
	env -u MAKEFLAGS LC_ALL=C LOCALVERSION='' KBUILD_BUILD_TIMESTAMP='2024-01-01' \
		KBUILD_BUILD_USER=stillpoint KBUILD_BUILD_HOST=stillpoint KBUILD_BUILD_VERSION=1 \
		make -C "$tree" --no-print-directory "$@"
}

configure_kernel()
{
	if cmp -s linux/config "$tree/.stillpoint/config" && [ -f "$tree/.config" ]; then
		return
	fi
	cp linux/config "$tree/.stillpoint/wanted"
	{
		kernel_make tinyconfig &&
			(cd "$tree" && scripts/kconfig/merge_config.sh -m .config .stillpoint/wanted) &&
			kernel_make olddefconfig
	} >>"$linux_log" 2>&1 ||
		die 126 "the kernel could not be configured (all of it: $linux_log)"
	lost=$(grep -E '^CONFIG_[A-Z0-9_]*=' linux/config | grep -v -x -F -f "$tree/.config" | head -n 1)
	[ -z "$lost" ] || die 126 "linux/config: $lost has no effect in $LINUX_PACKAGE $linux_source"
	mv "$tree/.stillpoint/wanted" "$tree/.stillpoint/config"
}

# compile_kernel FILE WHICH: the tree's kernel as FILE.
compile_kernel()
{
	configure_kernel
	{
		kernel_make -j"$(nproc)" vmlinux 2>&1
		echo "exit $?"
	} | tee -a "$linux_log" | kernel_progress "$2"
	if [ "$(tail -n 1 "$linux_log")" != "exit 0" ]; then
		sed '$d' "$linux_log" | grep -E -m 1 -A 15 '(error|Error|undefined reference)' >&2 ||
			sed '$d' "$linux_log" | tail -n 20 >&2
		die 126 "the kernel does not compile (all of it: $linux_log)"
	fi
	cp "$tree/vmlinux" "$1.new" || die 126 "cannot write $1.new"
	mv "$1.new" "$1"
}

# kernel_progress WHICH: one line that moves on a terminal; elsewhere one now and then.
kernel_progress()
{
	files=0
	told=0
	while IFS= read -r line; do
		case $line in
		'  CC  '* | '  AS  '*) files=$((files + 1)) ;;
		*) continue ;;
		esac
		if [ -t 2 ]; then
			printf '\r\033[K%.79s' "kernel ($1): $files files of about $LINUX_FILES  ${line##* }" >&2
		elif [ "$files" -ge "$told" ]; then
			say "compiling the kernel ($1): $files files, $(($(date +%s) - started)) s"
			told=$((files + 200))
		fi
	done
	if [ "$files" != 0 ]; then
		[ ! -t 2 ] || printf '\r\033[K' >&2
		say "the kernel ($1) is ready: $files files, $(($(date +%s) - started)) s"
	fi
}

# build_selftests: sets $selftests to a folder with the list and its programs, static, from the tree
# with all patches.
build_selftests()
{
	need_kernel_source
	key=$({ kernel_key patched && cat linux/selftests; } | sha256sum | cut -c 1-16)
	selftests=$BUILD/linux/kernel/selftests-$key
	[ ! -d "$selftests" ] || return 0
	mkdir -p "$BUILD/linux/kernel" || die 126 "cannot write to $BUILD"
	linux_log=$BUILD/linux/build.log
	{
		flock 7
		[ -d "$selftests" ] || make_selftests
	} 7>"$BUILD/linux/.lock"
}

# selftest_programs: the programs of the list, each once.
selftest_programs()
{
	sed 's/#.*//' linux/selftests | while read -r _ _ path _; do
		[ -z "$path" ] || echo "$path"
	done | sort -u
}

# there_in FOLDER SUFFIX: passes on the paths that exist. What the series does not have (yet) is
# not built, and fails when it is to be run.
there_in()
{
	while IFS= read -r path; do
		[ ! -f "$1/$path$2" ] || echo "$path"
	done
}

make_selftests()
{
	: >"$linux_log"
	say "compiling the selftests"
	unpack_kernel
	set_patches "$(linux_patches | wc -l)"
	configure_kernel
	rm -rf "$tree/.stillpoint/selftests" "$selftests.new"
	mkdir -p "$tree/.stillpoint/selftests" "$selftests.new"
	output=$(absolute_here "$tree/.stillpoint/selftests")
	selftests_source=$(absolute_here "$tree/tools/testing/selftests/kvm")
	# 6.1.y has taken over a use of TEST_ASSERT_EQ (dirty_log_test) without the macro.
	{
		# shellcheck disable=SC2046 # a list of words
		kernel_make -j"$(nproc)" headers &&
			LDFLAGS=-static kernel_make -j"$(nproc)" -C "$selftests_source" \
				"OUTPUT=$output" EXTRA_CFLAGS=-DTEST_ASSERT_EQ=ASSERT_EQ \
				$(selftest_programs | there_in "$selftests_source" .c | sed "s|^|$output/|")
	} >>"$linux_log" 2>&1 || {
		grep -E -m 1 -A 15 '(error|Error|undefined reference)' "$linux_log" >&2
		die 126 "the selftests do not compile (all of it: $linux_log)"
	}
	cp linux/selftests "$selftests.new/list"
	for path in $(selftest_programs | there_in "$selftests_source" .c); do
		mkdir -p "$(dirname "$selftests.new/$path")"
		strip -o "$selftests.new/$path" "$output/$path" || die 126 "$path: not built"
	done
	mv "$selftests.new" "$selftests"
}

# build_kernels: ./stillpoint linux build.
build_kernels()
{
	if [ "$steps" = no ]; then
		build_kernel stock
		say "$kernel_text: $vmlinux"
		build_kernel patched
		say "$kernel_text: $vmlinux"
		return
	fi
	# In order: every step compiles only what its patch touches.
	step=0
	build_kernel stock
	for patch in $(linux_patches); do
		step=$((step + 1))
		build_kernel "$step"
		say "$(basename "$patch" .patch): applies, builds: $vmlinux"
	done
}
