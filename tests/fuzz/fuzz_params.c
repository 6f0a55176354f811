/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line parser against any text: it refuses with one printable line, or every group and
 * pair it found is a proper one and reading the groups refuses or stays within the declared ranges.
 */
/* link: lab/params.c lab/paramread.c */
/* link: hv/host/print.c hv/host/string.c */
/* link: tests/unit/fake_host.c */
/* fuzz: -max_len=1200 */
#include "lab/params.h"
#include "tests/fuzz/input.h"

static const struct param_spec specs[] = {
	PARAM_U64("n", 1, 1000, 10, "iterations"),
	PARAM_ENUM("w", 0, "way", "live", "paused"),
	PARAM_BOOL("f", 0, "flag"),
	PARAM_TEXT("a", 1, 20, "x", "text"),
};

static struct params p;

static void check_line(const struct param_error *err)
{
	MUST(err->text[0] && memchr(err->text, 0, sizeof(err->text)));
	for (const char *s = err->text; *s; s++)
		MUST(*s >= ' ' && *s <= '~');
}

static void check_text(const char *s)
{
	MUST(s >= p.text && s < p.text + sizeof(p.text));
	MUST(memchr(s, 0, p.text + sizeof(p.text) - s));
}

static void check_structure(void)
{
	unsigned int pairs = 0;

	MUST(p.nr_groups >= 1 && p.nr_groups <= PARAMS_MAX_GROUPS && !p.group[0].name);
	for (unsigned int i = 0; i < p.nr_groups; i++) {
		MUST(p.group[i].first == pairs);
		pairs += p.group[i].count;
		if (i) {
			check_text(p.group[i].name);
			MUST(*p.group[i].name);
		}
	}
	MUST(pairs == p.nr_pairs && pairs <= PARAMS_MAX_PAIRS);
	for (unsigned int i = 0; i < pairs; i++) {
		check_text(p.pair[i].key);
		MUST(*p.pair[i].key);
		if (p.pair[i].value)
			check_text(p.pair[i].value);
		else
			MUST(i < p.group[0].count);
	}
}

static void check_values(unsigned int group)
{
	struct param_values v;
	struct param_error err = { "" };

	if (params_read(&p, group, specs, ARRAY_SIZE(specs), &v, &err)) {
		check_line(&err);
		return;
	}
	MUST(param_number(&v, "n") >= 1 && param_number(&v, "n") <= 1000);
	MUST(param_number(&v, "w") <= 1 && param_number(&v, "f") <= 1);
	MUST(!strcmp(param_text(&v, "w"), param_number(&v, "w") ? "paused" : "live"));
	MUST(strlen(param_text(&v, "a")) >= 1 && strlen(param_text(&v, "a")) <= 20);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct param_error err = { "" };
	char *cmdline = malloc(size + 1); /* exactly: the sanitizer sees a read beyond it */

	MUST(cmdline);
	memcpy(cmdline, data, size);
	cmdline[size] = '\0';
	if (params_parse(&p, cmdline, specs, ARRAY_SIZE(specs), &err)) {
		check_line(&err);
	} else {
		free(cmdline); /* nothing may point into it */
		cmdline = NULL;
		check_structure();
		for (unsigned int i = 0; i < p.nr_groups; i++)
			check_values(i);
	}
	free(cmdline);
	return 0;
}
