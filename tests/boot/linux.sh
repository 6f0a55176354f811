#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The Linux side: the series, KVM's selftests with and without it, and our experiments on it.
. tests/boot/lib.sh

# The first test that needs a kernel builds it, the others wait: that is no hang.
SERIES=linux/patches/6.1

# A program for one purpose, static.
program()
{
	cc=${CC:-gcc}
	cat >"$TEST_DIR/$1.c"
	"$cc" -static -O1 -Wall -Werror -o "$TEST_DIR/$1" "$TEST_DIR/$1.c" || fail "$1 does not compile"
}

hello()
{
	program hello <<-'END'
		#include <stdio.h>
		#include <sys/utsname.h>
		int main(int argc, char **argv)
		{
			struct utsname u;

			uname(&u);
			printf("hello from %s with %d words\n", u.release, argc - 1);
			return argc - 1;
		}
	END
}

# with_capabilities ARGUMENT...: a run on the patched kernel, which lacks no capability of the series.
with_capabilities()
{
	stillpoint 0 linux "$@"
	! grep -q 'SKIP no KVM_CAP' "$run/console.txt" || fail "the patched kernel lacks a capability"
}

# patches: how many there are.
patches()
{
	find $SERIES -name '*.patch' 2>/dev/null | wc -l
}

# build_linux ARGUMENT...: ./stillpoint linux build.
build_linux()
{
	./stillpoint linux build --no-install "$@" >"$TEST_DIR/build.txt" 2>&1
	got=$?
	cat "$TEST_DIR/build.txt"
	return $got
}

# checkpatch: upstream's own opinion of every patch (on its standard input: a file that git knows is a
# source for it), but for what is meant to be as it is:
#   FILE_PATH_CHANGES	   MAINTAINERS covers the folder of the new selftests as a whole
#   VOLATILE		   selftests: variables that a guest writes and its host watches
#   EMBEDDED_FUNCTION_NAME  a selftest's words about /proc/sys/vm/compact_memory
#   MACRO_ARG_REUSE	   a condition that is waited for has to be evaluated again
checkpatch()
{
	bad=0
	for patch in "$SERIES"/*.patch; do
		perl "$BUILD/linux/tree/scripts/checkpatch.pl" --strict --no-tree --terse \
			--ignore FILE_PATH_CHANGES,VOLATILE,EMBEDDED_FUNCTION_NAME,MACRO_ARG_REUSE \
			- <"$patch" ||
			bad=$((bad + 1))
	done
	[ $bad = 0 ] || fail "checkpatch --strict objects to $bad of $(patches) patches"
}

# A bad series is one clear line, and the tree that was good stays good.
broken_series()
{
	mkdir -p "$TEST_DIR/series"
	cat >"$TEST_DIR/series/0001-no-such-context.patch" <<-'END'
		--- a/virt/kvm/kvm_main.c
		+++ b/virt/kvm/kvm_main.c
		@@ -1,3 +1,4 @@
		 this line is not in the file
		+nor is this
		 neither this
		 nor that
	END
	LINUX_PATCHES=$TEST_DIR/series build_linux && fail "a patch that does not apply was taken"
	grep -q '^stillpoint: 0001-no-such-context.patch does not apply to linux-source-6.1 .*FAILED' \
		"$TEST_DIR/build.txt" || fail "it does not say which patch does not apply"
}

# steps: the series one patch after the other: each applies, builds and boots.
each_step()
{
	hello
	[ "$(patches)" != 0 ] || skip "no patches in $SERIES"
	build_linux --steps || fail "a step of the series does not build"
	step=0
	while [ $step -lt "$(patches)" ]; do
		step=$((step + 1))
		stillpoint 0 linux --kernel $step --program "$TEST_DIR/hello"
		says '^hello from 6\.1\..* with 0 words'
	done
}

case ${1:-} in
list)
	# Not "steps", which compiles as many kernels as there are patches.
	printf '%s\n' build boot endings refusals broken checkpatch vmm vmm-stock vmm-qemu guests \
		missing pause wait apic selftests apic-selftest selftests-qemu selftests-stock compare
	;;
build)
	build_linux || fail "the kernels do not build"
	grep '^stillpoint: Linux 6\.1\..*vmlinux-' "$TEST_DIR/build.txt" || fail "it does not say where"
	# The second time it is there.
	build_linux || fail "the second time"
	! grep -q 'compiling\|unpacking' "$TEST_DIR/build.txt" || fail "it was built twice"
	;;
boot)
	hello
	for machine in bochs qemu-tcg; do
		for cpus in 1 2; do
			stillpoint 2 linux --machine $machine --cpus $cpus --kernel stock \
				--program "$TEST_DIR/hello" one=1 'text=two words'
			says '^hello from 6\.1\..* with 2 words'
			says '^stillpoint: end 2 '
		done
	done
	stillpoint 2 linux --cpus 8 --mem 1024 --program "$TEST_DIR/hello" one two
	says '^hello from 6\.1\..* with 2 words'
	;;
endings)
	program fault <<-'END'
		int main(void)
		{
			*(volatile int *)8 = 0;
		}
	END
	stillpoint 122 linux --machine qemu-tcg --program "$TEST_DIR/fault"
	says '^stillpoint: end 122 .* killed by signal 11 \(Segmentation fault\)'
	program endless <<-'END'
		#include <unistd.h>
		int main(void)
		{
			for (;;)
				pause();
		}
	END
	stillpoint 124 linux --timeout 40 --program "$TEST_DIR/endless"
	# A kernel that dies says so, and ends the run.
	hello
	stillpoint 122 linux --append rdinit=/nothing --program "$TEST_DIR/hello"
	tells 'kernel panic: No working init found'
	says '^kernel: Kernel panic - not syncing'
	stillpoint 2 linux selftests no_such_test
	says "there is no test 'no_such_test'"
	;;
broken) broken_series ;;
checkpatch)
	[ "$(patches)" != 0 ] || skip "no patches in $SERIES"
	build_linux || fail "the kernels do not build"
	checkpatch
	;;
steps) each_step ;;
refusals)
	for words in nonsense 'exits n=3' 'exits n=16 n=17'; do
		# shellcheck disable=SC2086 # the experiment and its parameters
		stillpoint 2 linux --machine qemu-tcg --kernel stock $words
		one_clear_line
	done
	stillpoint 0 linux --machine qemu-tcg --kernel stock list
	tells '^exits .*'
	;;
selftests)
	stillpoint 0 linux --timeout 1500 selftests
	# Nothing is missing in Bochs, nor in the second boot, with APICv.
	! grep -a '# SKIP' "$run/console.txt" "$run-apicv/console.txt" || fail "a test was skipped"
	grep -a -q '^ *ok 1 apic_access_reload$' "$run-apicv/console.txt" || fail "no boot with APICv"
	;;
selftests-stock)
	# Not in Bochs, which needs the heartbeat of the series for them. What only the series has is skipped.
	stillpoint 0 linux --machine qemu-tcg --kernel stock --timeout 1500 selftests
	says '^ *ok [0-9]+ exit_on_missing # SKIP'
	;;
selftests-qemu)
	# Not kick_all, which the emulation of SVM can end, see linux/README.md.
	# shellcheck disable=SC2046 # a list of words
	stillpoint 0 linux --machine qemu-tcg --timeout 1500 selftests \
		$(sed 's/#.*//' linux/selftests | awk 'NF && $1 != "kick_all" { print $1 }')
	;;
apic-selftest)
	stillpoint 0 linux selftests apic_access_reload
	says '^ *ok 1 apic_access_reload$'
	stillpoint 1 linux --append kvm_intel.break_apic_retry=1 selftests apic_access_reload
	says '^ *not ok 1 apic_access_reload'
	;;
vmm) stillpoint 0 linux exits n=160 batches=20 kick samples=20 requests=50 ;;
vmm-stock)
	stillpoint 0 linux --kernel stock exits n=160 batches=20 kick samples=20 requests=50 \
		missing do=check
	says 'SKIP no KVM_CAP_EXIT_ON_MISSING'
	;;
vmm-qemu)
	with_capabilities --machine qemu-tcg kick samples=20 requests=50 pause do=check wait \
		missing do=check
	;;
guests) stillpoint 0 linux guests ;;
missing | wait) with_capabilities "$1" ;;
pause) with_capabilities pause do=check ;;
apic) stillpoint 0 linux apic ;;
compare)
	stillpoint 0 compare exits
	[ -s "$run/index.html" ] || fail "no page"
	;;
*) unknown_case "$1" ;;
esac
