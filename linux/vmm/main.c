/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmm: the lab on KVM.
 *
 *	vmm [KEY=VALUE | FLAG]... [EXPERIMENT [KEY=VALUE]...]...
 *
 * What the image takes from the kernel command line are arguments here; lab/main.c does the rest.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/utsname.h>

#include "hv/host/bootinfo.h"
#include "hv/host/errno.h"
#include "hv/host/init.h"
#include "hv/host/machine.h"
#include "hv/host/string.h"
#include "linux/vmm/internal.h"

struct text {
	char *at;
	size_t left; /* the terminator's place included */
};

static void add(struct text *t, char c)
{
	if (t->left <= 1)
		machine_exit(RUN_USAGE, "more than %d bytes of arguments", BOOT_CMDLINE_MAX - 1);
	*t->at++ = c;
	*t->at = '\0';
	t->left--;
}

/* As lab/params.h reads it: in quotes, with what would end them escaped. */
static void add_word(struct text *t, const char *word)
{
	bool quoted = strchr(word, ' ') || strchr(word, '"') || strchr(word, '\\');

	if (quoted)
		add(t, '"');
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			add(t, '\\');
		add(t, *word);
	}
	if (quoted)
		add(t, '"');
}

static void describe_kernel(void)
{
	struct utsname name;

	boot_info.path = "linux";
	if (!uname(&name))
		snprintf(boot_info.loader, sizeof(boot_info.loader), "%.20s %.40s", name.sysname,
			 name.release);
}

int main(int argc, char **argv)
{
	struct text t = { boot_info.cmdline, sizeof(boot_info.cmdline) };

	threads_init();
	time_init_clock();
	describe_kernel();
	for (int i = 1; i < argc; i++) {
		if (i > 1)
			add(&t, ' ');
		add_word(&t, argv[i]);
	}
	image_main(NULL);
}
