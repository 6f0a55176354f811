# SPDX-License-Identifier: GPL-2.0-only
# A debugger on the image: gdb on QEMU, or the debugger built into Bochs. Sourced.
# shellcheck shell=sh

# Where a newcomer wants to stop first; hardware breakpoints, since paging comes and goes.
BREAKPOINTS='image_main panic machine_exit'

debug_image()
{
	cmdline="${seed:+seed=$seed }$words"
	cmdline=${cmdline% }
	dir=$OUT/${name:-debug}
	need_machine
	build
	mkdir -p "$dir" || die 126 "cannot write to $dir"
	rm -f "$dir/monitor"
	write_machine "$dir" "$cmdline"
	case $machine in
	bochs) debug_bochs ;;
	*) debug_qemu ;;
	esac
}

debug_qemu()
{
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
	# The machine waits at reset for the debugger.
	sed "s|^\(.*\) </dev/null\$|\1 \\\\\\n\t-S -gdb tcp:127.0.0.1:$port </dev/null|" \
		"$dir/command" >"$dir/command.gdb"
	chmod +x "$dir/command.gdb"
	{
		echo "set confirm off"
		echo "set disassemble-next-line auto"
		echo "target remote 127.0.0.1:$port"
		for symbol in $BREAKPOINTS; do
			echo "hbreak $symbol"
		done
	} >"$dir/gdbinit"
	if [ "$print" = yes ]; then
		cat "$dir/command.gdb"
		echo "# in a second terminal:"
		echo "gdb -q -x $dir/gdbinit $BUILD/stillpoint.elf"
		return
	fi
	say "the machine waits at reset; breakpoints are at $BREAKPOINTS: try 'continue'"
	say "VMX is only in Bochs: ./stillpoint debug --machine bochs uses its own debugger"
	"$dir/command.gdb" &
	emulator=$!
	# An interrupt is for gdb.
	trap : INT
	# QEMU opens its port a moment after it starts.
	tries=0
	until python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null; do
		tries=$((tries + 1))
		if [ $tries -gt 50 ] || ! kill -0 $emulator 2>/dev/null; then
			kill $emulator 2>/dev/null
			die 126 "QEMU did not open its debugging port"
		fi
		sleep 0.1
	done
	gdb -q -x "$dir/gdbinit" "$BUILD/stillpoint.elf"
	kill $emulator 2>/dev/null
	wait $emulator
	exit 0
}

debug_bochs()
{
	nm -n "$BUILD/stillpoint.elf" | sed -n 's/^\([0-9a-f]*\) [tT] \(.*\)$/\1 \2/p' >"$dir/symbols"
	{
		touch_memory "$dir"
		echo "ldsym global \"$dir/symbols\""
		for symbol in $BREAKPOINTS; do
			address=$(sed -n "s/^\([0-9a-f]*\) $symbol\$/\1/p" "$dir/symbols")
			[ -z "$address" ] || echo "lb 0x$address"
		done
	} >"$dir/debugger.rc"
	if [ "$print" = yes ]; then
		sed 's/^/# debugger.rc: /' "$dir/debugger.rc"
		echo "bochs -q -f $dir/bochsrc -rc $dir/debugger.rc"
		return
	fi
	[ "$host_cpus" = 1 ] ||
		say "Bochs' breakpoints work with one CPU only, and this machine has $host_cpus"
	say "Bochs' debugger: breakpoints are at $BREAKPOINTS; try 'c', 'vmexitbp', 'print-stack', 'help'"
	exec bochs -q -f "$dir/bochsrc" -rc "$dir/debugger.rc"
}
