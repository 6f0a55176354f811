/* SPDX-License-Identifier: GPL-2.0-only */
/* Parsing of a guest's command line. */
#include "guest/rt/exit.h"
#include "guest/rt/multiboot.h"
#include "guest/rt/options.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

#define WORD_MAX 128

/* Addresses and the like, which may be anything of some width, are easier to read in hexadecimal.
 */
static void show_range(const struct option *o)
{
	unsigned long long min = o->min, max = o->max, value = *o->value;

	if (max >= 0xffff && !(max & (max + 1)))
		printk("%#llx..%#llx (%#llx)", min, max, value);
	else
		printk("%llu..%llu (%llu)", min, max, value);
}

static void show(const char *program, const struct option *o)
{
	printk("%s:   %s=", program, o->key);
	for (unsigned int w = 0; o->words && o->words[w]; w++)
		printk("%s%s", w ? "|" : "", o->words[w]);
	if (o->words)
		printk(" (%s)", o->words[*o->value]);
	else
		show_range(o);
	printk(": %s\n", o->help);
}

static noreturn void usage(const char *program, const struct option *options, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		show(program, &options[i]);
	guest_exit(GUEST_USAGE);
}

static bool set_word(const struct option *o, const char *text)
{
	for (unsigned int w = 0; o->words[w]; w++) {
		if (!strcmp(o->words[w], text)) {
			*o->value = w;
			return true;
		}
	}
	return false;
}

static bool set(const struct option *o, const char *text)
{
	u64 v;

	if (o->words)
		return set_word(o, text);
	if (parse_u64(text, &v) || v < o->min || v > o->max)
		return false;
	*o->value = v;
	return true;
}

static void parse_word(const char *program, char *word, const struct option *options,
		       unsigned int nr)
{
	char *text = strchr(word, '=');

	if (!nr) {
		printk("%s: takes no options, not even '%s'\n", program, word);
		guest_exit(GUEST_USAGE);
	}
	if (!text) {
		printk("%s: '%s' is not key=value; the options are (default in brackets):\n",
		       program, word);
		usage(program, options, nr);
	}
	*text++ = '\0';
	for (unsigned int i = 0; i < nr; i++) {
		if (strcmp(options[i].key, word))
			continue;
		if (set(&options[i], text))
			return;
		printk("%s: %s=%s: not a value it can have:\n", program, word, text);
		usage(program, &options[i], 1);
	}
	printk("%s: no option is called '%s'; they are (default in brackets):\n", program, word);
	usage(program, options, nr);
}

/* The first word is the file's name, unless it looks like an option. */
static bool is_file_name(const char *word)
{
	return !strchr(word, '=') || strchr(word, '/');
}

void options_parse(const char *program, const struct option *options, unsigned int nr)
{
	const char *p = boot_cmdline;
	bool first = true;

	for (;;) {
		char word[WORD_MAX];
		size_t n = 0;

		while (*p == ' ')
			p++;
		if (!*p)
			return;
		while (p[n] && p[n] != ' ')
			n++;
		if (first && n >= sizeof(word)) { /* a long path: of no interest */
			first = false;
			p += n;
			continue;
		}
		if (n >= sizeof(word)) {
			printk("%s: a word of the command line has %zu bytes, at most %zu can be\n",
			       program, n, sizeof(word) - 1);
			guest_exit(GUEST_USAGE);
		}
		memcpy(word, p, n);
		word[n] = '\0';
		p += n;
		if (!first || !is_file_name(word))
			parse_word(program, word, options, nr);
		first = false;
	}
}
