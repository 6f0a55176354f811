# SPDX-License-Identifier: GPL-2.0-only
# Which programs a command needs, installing what is missing, and their versions. Sourced.
# shellcheck shell=sh

TESTED_BOCHS=2.7
TESTED_QEMU=7.2
TESTED_GRUB=2.06

tab=$(printf '\t')
BOCHS_SHARE=${BXSHARE:-/usr/share/bochs}

# item, a command or file that proves it is there, Debian's package, what it is for
package_table()
{
	cat <<END
python3	python3	python3	reads the results
gcc	gcc	gcc	compiles the image
make	make	make	builds the image
binutils	ld	binutils	links the image
bochs	bochs	bochs	the emulator with VMX
bochsbios	$BOCHS_SHARE/BIOS-bochs-latest	bochsbios	firmware of Bochs
qemu	qemu-system-x86_64	qemu-system-x86	the other emulator
ovmf	/usr/share/ovmf/OVMF.fd	ovmf	UEFI firmware
gdb	gdb	gdb	the debugger
grub	grub-mkimage	grub-common	boot loader of the ISO
grub-bios	/usr/lib/grub/i386-pc/moddep.lst	grub-pc-bin	the ISO on BIOS
grub-efi	/usr/lib/grub/x86_64-efi/moddep.lst	grub-efi-amd64-bin	the ISO on UEFI
xorriso	xorriso	xorriso	writes the ISO
mtools	mformat	mtools	writes the ISO's EFI partition
libc	/usr/include/stdio.h	libc6-dev	headers of the compiler and of host tests
libbsd	/usr/include/bsd/sys/tree.h	libbsd-dev	trees (a header of macros)
cmocka	/usr/include/cmocka.h	libcmocka-dev	host tests
zydis	/usr/include/Zydis/Zydis.h	libzydis-dev	what the instruction decoder is held against
clang	clang	clang	second compiler
fuzzer	/usr/share/doc/libclang-rt-dev	libclang-rt-dev	fuzzing
clang-format	clang-format	clang-format	checks the style
cppcheck	cppcheck	cppcheck	checks the sources
shellcheck	shellcheck	shellcheck	checks the scripts
spin	spin	spin	searches the models
linux-source	/usr/src/linux-source-6.1.tar.xz	linux-source-6.1	Linux, to be patched and run
flex	flex	flex	configures Linux
bison	bison	bison	configures Linux
bc	bc	bc	builds Linux
libelf	/usr/include/gelf.h	libelf-dev	builds Linux
patch	patch	patch	applies the series
xz	xz	xz-utils	unpacks Linux
END
}

# lacking ITEM...: "PACKAGE<tab>PURPOSE" of these items that are not there.
lacking()
{
	package_table | while IFS=$tab read -r item probe package purpose; do
		case " $* " in
		*" $item "*) ;;
		*) continue ;;
		esac
		case $probe in
		/*) [ -e "$probe" ] ;;
		*) command -v "$probe" >/dev/null ;;
		esac || printf '%s\t%s\n' "$package" "$purpose"
	done
}

# need ITEM...: install the packages of these items that are missing.
need()
{
	missing=$(lacking "$@")
	[ -n "$missing" ] || return 0

	printf '%s\n' "$missing" | while IFS=$tab read -r package purpose; do
		say "missing: package $package ($purpose)"
	done
	# Names only; they hold no spaces.
	packages=$(printf '%s\n' "$missing" | cut -f 1 | tr '\n' ' ')
	packages=${packages% }
	[ "$install" = yes ] || die 2 "install them with: apt-get install $packages"
	command -v apt-get >/dev/null ||
		die 2 "there is no apt-get here; install what is missing by hand ($packages)"
	install_packages
	missing=$(lacking "$@" | cut -f 1 | tr '\n' ' ')
	[ -z "$missing" ] ||
		die 126 "still incomplete; try: apt-get install --reinstall ${missing% }"
}

install_packages()
{
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null ||
			die 2 "run this as root, or once: apt-get install $packages"
		as_root=sudo
	fi
	mkdir -p "$OUT" || die 126 "cannot write to $OUT"
	log=$OUT/apt.log
	say "installing with ${as_root:+$as_root }apt-get: $packages"
	[ -z "$as_root" ] || sudo -v || die 2 "sudo refused; as root: apt-get install $packages"
	apt_install >"$log" 2>&1 && return
	# Fresh machines have no package lists, old ones have stale ones.
	{
		$as_root apt-get update && apt_install
	} >>"$log" 2>&1 && return
	tail -n 5 "$log" >&2
	die 126 "apt-get could not install $packages (all of its words: $log)"
}

apt_install()
{
	# shellcheck disable=SC2086 # a list of names
	$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends $packages
}

bochs_version()
{
	bochs --help 2>&1 | sed -n 's/.*Bochs x86 Emulator \([0-9.]*\).*/\1/p' | head -n 1
}

qemu_version()
{
	qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9.]*\).*/\1/p' | head -n 1
}

grub_version()
{
	grub-mkimage --version 2>/dev/null | sed -n 's/.*GRUB) \([0-9.]*\).*/\1/p'
}

# tested_version NAME FOUND TESTED: NAME with its version; a warning if that is another one.
tested_version()
{
	case $2 in
	"$3" | "$3".*) ;;
	'') say "warning: the version of $1 could not be found out; tested is $3" ;;
	*) say "warning: $1 $2 is not the version this is tested with ($3)" ;;
	esac
	printf '%s %s' "$1" "${2:-?}"
}

# print_versions: every tool, found or not, beside the tested version.
print_versions()
{
	row='%-14s %-34s %s\n'
	# shellcheck disable=SC2059 # one format for all rows
	{
		printf "$row" tool found 'tested with'
		printf "$row" Bochs "$(bochs_version || :)" $TESTED_BOCHS
		printf "$row" QEMU "$(qemu_version)" $TESTED_QEMU
		printf "$row" GRUB "$(grub_version)" $TESTED_GRUB
		printf "$row" OVMF "$(package_version ovmf)" 2022.11
		printf "$row" Linux "$(package_version linux-source-6.1)" 6.1.192
		printf "$row" gcc "$(gcc -dumpfullversion 2>/dev/null)" 12.2
		printf "$row" clang "$(clang -dumpversion 2>/dev/null)" 14.0
		printf "$row" python3 "$(python3 -c 'import platform; print(platform.python_version())' \
			2>/dev/null)" 3.11
	} | sed 's/^\([A-Za-z0-9]*  *\) \{20,\}/\1missing            /'
}

package_version()
{
	dpkg-query -W -f '${Version}' "$1" 2>/dev/null
}
