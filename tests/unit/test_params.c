/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel command line: words and quotes, groups, values, and the line that each mistake gives.
 */
/* link: lab/params.c lab/paramread.c */
/* link: hv/host/print.c hv/host/string.c */
/* link: tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "lab/params.h"

static const struct param_spec globals[] = {
	PARAM_U64("seed", 0, UINT64_MAX, 1, "random seed"),
	PARAM_BOOL("x2apic", 0, "use the x2APIC"),
	PARAM_BOOL("serial", 0, "print to COM1 too"),
};

static const struct param_spec specs[] = {
	PARAM_U64("n", 1, 1000000, 10000, "iterations"),
	PARAM_ENUM("way", 1, "how", "live", "paused", "atomic"),
	PARAM_BOOL("check", 1, "verify"),
	PARAM_TEXT("append", 0, 20, "nothing", "text"),
	PARAM_U64("mem", KIB(4), GIB(3), MIB(128), "memory"),
};

static struct params p;
static struct param_values v;
static struct param_error err;

static int parse(const char *cmdline)
{
	err.text[0] = '\0';
	return params_parse(&p, cmdline, globals, ARRAY_SIZE(globals), &err);
}

/* The parse as text: "key=value, flag; experiment: key=value; ...". */
static const char *show(void)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (unsigned int g = 0; g < p.nr_groups; g++) {
		if (g)
			n += snprintf(text + n, sizeof(text) - n, "; %s:", p.group[g].name);
		for (unsigned int i = 0; i < p.group[g].count; i++) {
			const struct param_pair *pair = &p.pair[p.group[g].first + i];

			n += snprintf(text + n, sizeof(text) - n, pair->value ? " %s=[%s]" : " %s",
				      pair->key, pair->value);
		}
	}
	return text;
}

static void test_groups(void **state)
{
	static const struct {
		const char *cmdline, *want;
	} cases[] = {
		{ "", "" },
		{ " \t \n ", "" },
		{ "list", "; list:" },
		{ "seed=7 x2apic", " seed=[7] x2apic" },
		{ "  seed=7\texits  n=10 ", " seed=[7]; exits: n=[10]" },
		{ "x2apic exits x2apic n=1", " x2apic; exits:; x2apic: n=[1]" },
		{ "a b=1 a b=2", "; a: b=[1]; a: b=[2]" },
		{ "seed x2apic", "; seed:; x2apic:" }, /* seed is no flag: an experiment */
		{ "k= j==x", " k=[] j=[=x]" },
		{ "guest append=\"a b\"", "; guest: append=[a b]" },
		{ "guest \"append=a b\"", "; guest: append=[a b]" },
		{ "guest append=a\" \"b\"\" mem=1", "; guest: append=[a b] mem=[1]" },
		{ "guest append=\"\"", "; guest: append=[]" },
		{ "guest append=\"a=\\\"b c\\\" \\\\ \\'d\"", "; guest: append=[a=\"b c\" \\ 'd]" },
		{ "guest append=a\\b\\", "; guest: append=[a\\b\\]" },
		{ "guest append=\\\"", "; guest: append=[\"]" },
		{ "guest append=it's", "; guest: append=[it's]" },
		{ "guest append=\"\303\244\"", "; guest: append=[\303\244]" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		if (parse(cases[i].cmdline))
			fail_msg("\"%s\": %s", cases[i].cmdline, err.text);
		assert_string_equal(show(), cases[i].want);
	}
}

static void test_word_errors(void **state)
{
	static const struct {
		const char *cmdline, *line;
	} cases[] = {
		{ "guest append=\"a b", "command line: the quote in append=a b is not closed" },
		{ "\"", "command line: the quote in  is not closed" },
		{ "=5", "command line: \"=5\" is neither key=value nor a name" },
		{ "\"\"", "command line: \"\" is neither key=value nor a name" },
		{ "a/b", "command line: \"a/b\" is neither key=value nor a name" },
		{ "exits \"a b\"=1", "command line: \"a b=1\" is neither key=value nor a name" },
		{ "\303\244", "command line: \"??\" is neither key=value nor a name" },
		{ "a=\"\n\"", "command line: control character 0xa" },
		{ "a=\177", "command line: control character 0x7f" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].cmdline), -EINVAL);
		assert_string_equal(err.text, cases[i].line);
	}
}

static void test_limits(void **state)
{
	char line[PARAMS_MAX_TEXT + 1];

	memset(line, 'a', sizeof(line));
	line[PARAMS_MAX_TEXT] = '\0';
	assert_int_equal(parse(line), -E2BIG);
	assert_string_equal(err.text, "command line: longer than 1023 bytes");
	line[PARAMS_MAX_TEXT - 1] = '\0';
	assert_int_equal(parse(line), 0);
	assert_int_equal(strlen(p.group[1].name), PARAMS_MAX_TEXT - 1);

	line[0] = '\0';
	for (int i = 0; i < PARAMS_MAX_GROUPS - 1; i++)
		strcat(line, "e ");
	assert_int_equal(parse(line), 0);
	strcat(line, "e");
	assert_int_equal(parse(line), -E2BIG);
	assert_string_equal(err.text, "command line: more than 32 experiments");

	strcpy(line, "e ");
	for (int i = 0; i < PARAMS_MAX_PAIRS; i++)
		strcat(line, "k=1 ");
	assert_int_equal(parse(line), 0);
	strcat(line, "k=1");
	assert_int_equal(parse(line), -E2BIG);
	assert_string_equal(err.text, "command line: more than 128 parameters");
}

/* A message that quotes a long word is cut visibly. */
static void test_long_message(void **state)
{
	char line[600];

	memset(line, '/', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(parse(line), -EINVAL);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_string_equal(err.text + sizeof(err.text) - 5, "/...");
	assert_int_equal(params_parse(&p, line, NULL, 0, NULL), -EINVAL);
}

static int read_exits(const char *cmdline)
{
	assert_int_equal(parse(cmdline), 0);
	return params_read(&p, 1, specs, ARRAY_SIZE(specs), &v, &err);
}

static void test_defaults(void **state)
{
	assert_int_equal(read_exits("exits"), 0);
	assert_int_equal(param_number(&v, "n"), 10000);
	assert_int_equal(param_number(&v, "way"), 1);
	assert_string_equal(param_text(&v, "way"), "paused");
	assert_int_equal(param_number(&v, "check"), 1);
	assert_string_equal(param_text(&v, "append"), "nothing");
	assert_int_equal(param_number(&v, "mem"), MIB(128));
	assert_false(param_given(&v, "n"));
}

static void test_values(void **state)
{
	assert_int_equal(read_exits("exits way=atomic n=0x10 append=\"x y\" mem=1G check=off"), 0);
	assert_int_equal(param_number(&v, "n"), 16);
	assert_true(param_given(&v, "n"));
	assert_int_equal(param_number(&v, "way"), 2);
	assert_string_equal(param_text(&v, "way"), "atomic");
	assert_int_equal(param_number(&v, "check"), 0);
	assert_string_equal(param_text(&v, "append"), "x y");
	assert_int_equal(param_number(&v, "mem"), GIB(1));

	assert_int_equal(read_exits("exits n=1 append= check=yes mem=3G"), 0);
	assert_int_equal(param_number(&v, "n"), 1);
	assert_string_equal(param_text(&v, "append"), "");
	assert_int_equal(param_number(&v, "check"), 1);
	assert_int_equal(read_exits("exits n=1000000"), 0);
	assert_int_equal(param_number(&v, "n"), 1000000);
}

static void test_bools(void **state)
{
	static const char *const words[] = { "0", "off", "no", "1", "on", "yes" };
	char line[40];

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(line, sizeof(line), "exits check=%s", words[i]);
		assert_int_equal(read_exits(line), 0);
		assert_int_equal(param_number(&v, "check"), i >= 3);
	}
}

static void test_globals(void **state)
{
	assert_int_equal(parse("serial seed=0xffffffffffffffff exits n=1"), 0);
	assert_int_equal(params_read(&p, 0, globals, ARRAY_SIZE(globals), &v, &err), 0);
	assert_int_equal(param_number(&v, "seed"), UINT64_MAX);
	assert_int_equal(param_number(&v, "serial"), 1);
	assert_int_equal(param_number(&v, "x2apic"), 0);

	assert_int_equal(parse("speed=1"), 0);
	assert_int_equal(params_read(&p, 0, globals, ARRAY_SIZE(globals), &v, &err), -ENOENT);
	assert_string_equal(err.text,
			    "command line: speed: no such parameter; known: seed, x2apic, serial");
}

static void test_value_errors(void **state)
{
	static const struct {
		const char *cmdline;
		int ret;
		const char *line;
	} cases[] = {
		{ "exits n=0", -ERANGE, "exits: n=0: must be 1..1000000" },
		{ "exits n=1000001", -ERANGE, "exits: n=1000001: must be 1..1000000" },
		{ "exits n=99999999999999999999", -ERANGE,
		  "exits: n=99999999999999999999: must be 1..1000000" },
		{ "exits n=-1", -EINVAL, "exits: n=-1: not a number; must be 1..1000000" },
		{ "exits n=", -EINVAL, "exits: n=: not a number; must be 1..1000000" },
		{ "exits n=1x", -EINVAL, "exits: n=1x: not a number; must be 1..1000000" },
		{ "exits way=Live", -EINVAL,
		  "exits: way=Live: must be one of live, paused, atomic" },
		{ "exits way=", -EINVAL, "exits: way=: must be one of live, paused, atomic" },
		{ "exits check=2", -EINVAL, "exits: check=2: must be 0, 1, off, on, no or yes" },
		{ "exits append=123456789012345678901", -ERANGE,
		  "exits: append=123456789012345678901: 21 bytes; must be 0..20" },
		{ "exits foo=1", -ENOENT,
		  "exits: foo: no such parameter; known: n, way, check, append, mem" },
		{ "exits n=1 way=live n=2", -EEXIST, "exits: n is given twice" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		int ret = read_exits(cases[i].cmdline);

		if (ret != cases[i].ret || strcmp(err.text, cases[i].line))
			fail_msg("\"%s\": %d \"%s\"", cases[i].cmdline, ret, err.text);
	}
}

static void test_no_parameters(void **state)
{
	assert_int_equal(parse("floor"), 0);
	assert_int_equal(params_read(&p, 1, NULL, 0, &v, &err), 0);
	assert_int_equal(parse("floor n=1"), 0);
	assert_int_equal(params_read(&p, 1, NULL, 0, &v, &err), -ENOENT);
	assert_string_equal(err.text, "floor: n: it takes no parameters");
}

/* Many long keys: the list of the known ones is cut visibly. */
static void test_many_keys(void **state)
{
	static struct param_spec many[PARAMS_MAX_SPECS];
	static char names[PARAMS_MAX_SPECS][24];

	for (unsigned int i = 0; i < PARAMS_MAX_SPECS; i++) {
		snprintf(names[i], sizeof(names[i]), "a-rather-long-key-%u", i);
		many[i] = (struct param_spec)PARAM_BOOL(names[i], 0, "");
	}
	assert_int_equal(parse("e a-rather-long-key-15=1"), 0);
	assert_int_equal(params_read(&p, 1, many, PARAMS_MAX_SPECS, &v, &err), 0);
	assert_int_equal(parse("e x=1"), 0);
	assert_int_equal(params_read(&p, 1, many, PARAMS_MAX_SPECS, &v, &err), -ENOENT);
	assert_non_null(strstr(err.text, "e: x: no such parameter; known: a-rather-long-key-0, "));
	assert_string_equal(err.text + strlen(err.text) - 3, "...");
}

static void test_describe(void **state)
{
	static const char *const want[] = {
		"n=10000 (1..1000000): iterations",
		"way=paused (live, paused, atomic): how",
		"check=on (off, on): verify",
		"append=\"nothing\" (0..20 bytes): text",
		"mem=134217728 (4096..3221225472): memory",
	};
	char line[200];

	for (unsigned int i = 0; i < ARRAY_SIZE(specs); i++) {
		assert_int_equal(param_describe(&specs[i], line, sizeof(line)), strlen(want[i]));
		assert_string_equal(line, want[i]);
	}
	assert_int_equal(param_describe(&specs[0], line, 6), strlen(want[0]));
	assert_string_equal(line, "n=100");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),	     cmocka_unit_test(test_word_errors),
		cmocka_unit_test(test_limits),	     cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_values),
		cmocka_unit_test(test_bools),	     cmocka_unit_test(test_globals),
		cmocka_unit_test(test_value_errors), cmocka_unit_test(test_no_parameters),
		cmocka_unit_test(test_many_keys),    cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
