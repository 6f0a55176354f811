/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of /init share. */
#ifndef LINUX_INIT_H
#define LINUX_INIT_H

#include <stddef.h>
#include <sys/types.h>

/** console_printf - formatted text, at most 1023 characters of it, to port 0xE9. */
__attribute__((format(printf, 1, 2))) void console_printf(const char *fmt, ...);

/** end_run - print "stillpoint: end @status TEXT" and end the emulator. */
_Noreturn __attribute__((format(printf, 2, 3))) void end_run(int status, const char *fmt, ...);

/**
 * start_program - fork and execute
 * @argv: program, looked for in /bin, and arguments; NULL at the end
 * @output: set to the end of a pipe that gives what it prints, standard error too
 *
 * The child leads a session of its own. A program that cannot be executed prints why, as the end
 * line of a run, and exits with 2. Ends the run when there is no process or pipe to be had.
 */
pid_t start_program(char *const *argv, int *output);

/**
 * show_lines - hand on a program's output line by line until it ends
 * @show: gets a line with its newline; the last may have had none, and gets one
 */
void show_lines(int fd, void (*show)(const char *line, size_t n));

/**
 * run_selftests - run what /selftests/list names, print KTAP, end the run
 * @names: only these, in the list's order; all without any
 */
_Noreturn void run_selftests(int count, char **names);

#endif
