/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /init of the Linux side: runs one program, shows what it prints on the console that the image
 * uses (port 0xE9), and ends the emulator the way the image does.
 *
 * The program and its arguments are what follows "-- run" on the kernel's command line:
 *
 *	vmm exits n=1000	any program of the initramfs
 *	selftests [NAME...]	those of /selftests/list, as KTAP (see selftests.c)
 *
 *	@FILE			the program and its arguments that FILE holds, one a line
 *
 * (Words before that which the kernel does not know become arguments as well.)
 *
 * The run's last line is "stillpoint: end STATUS TEXT". The program may print it; when it does not,
 * this does, with its exit status or what killed it. A program that hangs is the watcher's
 *business: time in an emulator is not the user's.
 */
#define _GNU_SOURCE
#include "linux/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define PORT_E9		     0xe9
#define PORT_QEMU_DEBUG_EXIT 0x501 /* isa-debug-exit,iobase=0x501 */
#define PORT_BOCHS_DEBUG     0x8a00
#define BOCHS_DEBUG_ENABLE   0x8a00
#define BOCHS_DEBUG_RETURN   0x8ae0 /* stop here and return to the debugger */

#define END_MARK "stillpoint: end "

/* The console's statuses that are not the program's own, see hv/host/console.h. */
#define END_PANIC   122
#define END_TROUBLE 126

static char end_line[512]; /* what the program wants to be the last line, if it has said so */

static void put(const char *text, size_t n)
{
	__asm__ volatile("rep outsb"
			 : "+S"(text), "+c"(n)
			 : "d"((unsigned short)PORT_E9)
			 : "memory");
}

void console_printf(const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		put(text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

_Noreturn void end_run(int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	console_printf(END_MARK "%d %s\n", status, text);
	/* Kernel messages travel by the serial port; they have to be on the wire. */
	while (!(inb(0x3f8 + 5) & 0x40))
		;
	if (inb(PORT_E9) == PORT_E9) {
		outw(BOCHS_DEBUG_ENABLE, PORT_BOCHS_DEBUG);
		outw(BOCHS_DEBUG_RETURN, PORT_BOCHS_DEBUG);
		/* On QEMU these two do nothing. */
		outb((unsigned char)status, PORT_QEMU_DEBUG_EXIT);
	}
	for (;;)
		pause();
}

static void mount_on(const char *type, const char *dir)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, 0, NULL) && errno != EBUSY)
		console_printf("# init: no %s on %s: %s\n", type, dir, strerror(errno));
}

/* One complete line of the program: the end line is kept back, all else goes out. */
static void show_line(const char *line, size_t n)
{
	if (n > strlen(END_MARK) && !strncmp(line, END_MARK, strlen(END_MARK)))
		snprintf(end_line, sizeof(end_line), "%.*s", (int)n, line);
	else
		put(line, n);
}

void show_lines(int fd, void (*show)(const char *line, size_t n))
{
	static char buffer[65536];
	size_t have = 0;
	ssize_t got;

	for (;;) {
		char *start = buffer, *newline;

		got = read(fd, buffer + have, sizeof(buffer) - 1 - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		have += (size_t)got;
		while ((newline = memchr(start, '\n', have))) {
			show(start, (size_t)(newline + 1 - start));
			have -= (size_t)(newline + 1 - start);
			start = newline + 1;
		}
		memmove(buffer, start, have);
		if (have == sizeof(buffer) - 1) { /* no line is that long; do not lose it */
			show(buffer, have);
			have = 0;
		}
	}
	if (have) {
		buffer[have++] = '\n';
		show(buffer, have);
	}
}

pid_t start_program(char *const *argv, int *output)
{
	int out[2];
	pid_t child;

	if (pipe(out))
		end_run(END_TROUBLE, "init: no pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		end_run(END_TROUBLE, "init: no process: %s", strerror(errno));
	if (!child) {
		int nothing = open("/dev/null", O_RDONLY);

		setsid();
		dup2(nothing, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(out[0]);
		close(out[1]);
		execvp(argv[0], argv);
		printf(END_MARK "2 %s: %s\n", argv[0], strerror(errno));
		fflush(stdout);
		_exit(2);
	}
	close(out[1]);
	*output = out[0];
	return child;
}

static _Noreturn void run_program(char **argv)
{
	int output, status;
	pid_t child = start_program(argv, &output);

	show_lines(output, show_line);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		end_run(END_PANIC, "%s was killed by signal %d (%s)", argv[0], WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	if (*end_line) {
		char *text;
		long said = strtol(end_line + strlen(END_MARK), &text, 10);

		text += *text == ' ';
		text[strcspn(text, "\n")] = 0;
		end_run((int)said, "%s", text);
	}
	end_run(WEXITSTATUS(status), "%s ended with status %d", argv[0], WEXITSTATUS(status));
}

/* For what the kernel's command line cannot hold. The last line has its newline, too. */
static char **read_arguments(const char *name)
{
	static char text[16384], *argv[256];
	FILE *file = fopen(name, "r");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	unsigned int count = 0;
	char *next = text, *word;

	if (!n || n == sizeof(text) - 1)
		end_run(2, "init: %s does not hold a command", name);
	fclose(file);
	while ((word = strsep(&next, "\n")) && next && count < sizeof(argv) / sizeof(*argv) - 1)
		argv[count++] = word;
	return argv;
}

/* Programs map far more than they touch, and as guest memory at that: do not guess, allow it. */
static void allow_large_mappings(void)
{
	int fd = open("/proc/sys/vm/overcommit_memory", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		console_printf("# init: overcommit_memory: %s\n", strerror(errno));
	close(fd);
}

/*
 * KVM keeps what few VMs need out of the way by jump labels: code that it changes when the first
 * such VM comes and when the last one goes. With two threads, TCG of QEMU 7.2 seems to go on at
 * times with a translation of half of such a change, and the kernel dies of an INT3 that is not
 * there any more. So there, with STILLPOINT_KEEP_VM in the environment, the first VMs stay: one
 * whose vCPU has no local APIC, and one whose vCPU has one (disabled, as it is at first).
 */
static void keep_vms(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	for (int apic = 0; apic < 2; apic++) {
		int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

		if (vm < 0 || (apic && ioctl(vm, KVM_CREATE_IRQCHIP, 0)) ||
		    ioctl(vm, KVM_CREATE_VCPU, 0) < 0) {
			console_printf("# init: no VM to keep: %s\n", strerror(errno));
			return;
		}
	}
}

int main(int argc, char **argv)
{
	if (getpid() != 1) {
		fprintf(stderr, "init: only for the kernel to start\n");
		return 2;
	}
	/* The ports are ours alone: the programs cannot end the run by accident. */
	if (iopl(3))
		return END_TROUBLE;
	mount_on("proc", "/proc");
	mount_on("sysfs", "/sys");
	mount_on("devtmpfs", "/dev");
	mount_on("tmpfs", "/tmp");
	mount_on("tmpfs", "/dev/shm");
	allow_large_mappings();
	if (getenv("STILLPOINT_KEEP_VM"))
		keep_vms();
	setenv("PATH", "/bin", 1);
	setenv("HOME", "/", 1);
	console_printf(
		"# metric {\"name\": \"boot.init\", \"unit\": \"ticks\", \"value\": %llu, "
		"\"params\": {\"cpus\": %ld}}\n",
		__rdtsc(), sysconf(_SC_NPROCESSORS_ONLN));
	while (*argv && strcmp(*argv, "run"))
		argv++;
	if (!*argv || !argv[1])
		end_run(2, "init: no program on the kernel's command line (after -- run)");
	argv++;
	if (**argv == '@')
		argv = read_arguments(*argv + 1);
	if (strcmp(*argv, "selftests"))
		run_program(argv);
	argv++;
	argc = 0;
	while (argv[argc])
		argc++;
	run_selftests(argc, argv);
}
