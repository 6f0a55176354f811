/* SPDX-License-Identifier: GPL-2.0-only */
/* Test results as KTAP. */
#include "hv/host/ktap.h"

#include "hv/host/print.h"
#include "hv/host/string.h"

#define TEXT_MAX 400 /* of a name or description; longer ones end in "..." */

static unsigned int suite_number; /* in the outer list */
static bool in_suite;
static const char *suite_name;
static unsigned int suite_results, suite_failures;
static unsigned int passed, failed, skipped;

struct text {
	char s[TEXT_MAX];
};

/* A line break would end the line and "#" begin a directive: make them a blank and "\\#". */
static void clean(struct text *t, const char *src)
{
	static const char cut[] = "...";
	size_t n = 0;

	for (; *src; src++) {
		if (n + sizeof(cut) + 2 > sizeof(t->s)) {
			memcpy(t->s + n, cut, sizeof(cut));
			return;
		}
		if (*src == '#')
			t->s[n++] = '\\';
		t->s[n++] = *src == '\n' || *src == '\r' ? ' ' : *src;
	}
	t->s[n] = '\0';
}

static void clean_format(struct text *t, const char *fmt, va_list ap) __printf(2, 0);
static void clean_format(struct text *t, const char *fmt, va_list ap)
{
	struct text raw;

	fmt_vprint(raw.s, sizeof(raw.s), fmt, ap);
	clean(t, raw.s);
}

void ktap_begin(unsigned int suites)
{
	printk("KTAP version 1\n1..%u\n", suites);
}

void ktap_suite_begin(const char *name)
{
	struct text title;

	BUG_ON(in_suite);
	in_suite = true;
	suite_name = name;
	suite_results = suite_failures = 0;
	clean(&title, name);
	printk("  KTAP version 1\n  # Subtest: %s\n", title.s);
}

void ktap_suite_end(void)
{
	struct text name;

	BUG_ON(!in_suite);
	/* Silence is no success. */
	if (!suite_results)
		ktap_result(false, "the experiment reports a result");
	printk("  1..%u\n", suite_results);
	in_suite = false;
	clean(&name, suite_name);
	printk("%s %u %s\n", suite_failures ? "not ok" : "ok", ++suite_number, name.s);
}

void ktap_suite_skip(const char *name, const char *why)
{
	struct text what, reason;

	BUG_ON(in_suite);
	clean(&what, name);
	clean(&reason, why);
	skipped++;
	printk("ok %u %s # SKIP %s\n", ++suite_number, what.s, reason.s);
}

void ktap_result(bool ok, const char *fmt, ...)
{
	struct text what;
	va_list ap;

	BUG_ON(!in_suite);
	va_start(ap, fmt);
	clean_format(&what, fmt, ap);
	va_end(ap);
	if (ok) {
		passed++;
	} else {
		failed++;
		suite_failures++;
	}
	printk("  %s %u %s\n", ok ? "ok" : "not ok", ++suite_results, what.s);
}

void ktap_skip(const char *why, const char *fmt, ...)
{
	struct text what, reason;
	va_list ap;

	BUG_ON(!in_suite);
	va_start(ap, fmt);
	clean_format(&what, fmt, ap);
	va_end(ap);
	clean(&reason, why);
	skipped++;
	printk("  ok %u %s # SKIP %s\n", ++suite_results, what.s, reason.s);
}

void ktap_note(const char *fmt, ...)
{
	char text[2 * TEXT_MAX];
	const char *line = text;
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (;;) {
		const char *end = strchr(line, '\n');
		int n = end ? (int)(end - line) : (int)strlen(line);

		printk("%s# %.*s\n", in_suite ? "  " : "", n, line);
		if (!end || !end[1])
			return;
		line = end + 1;
	}
}

unsigned int ktap_passed(void)
{
	return passed;
}

unsigned int ktap_failed(void)
{
	return failed;
}

unsigned int ktap_skipped(void)
{
	return skipped;
}
