/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel command line: [KEY=VALUE | FLAG]... [EXPERIMENT [KEY=VALUE]...]...
 *
 * Words are separated by blanks. Double quotes, anywhere in a word, keep blanks in it (append="a b"
 * or "append=a b"); \" \\ and \' stand for the character itself. What precedes the first experiment
 * is global; only there a word without "=" may be a flag, everywhere else it names an experiment.
 *
 * Two steps: params_parse() finds the groups, params_read() checks one group against the parameters
 * that its owner declares. Both are pure; every mistake gives one line for the user.
 */
#ifndef LAB_PARAMS_H
#define LAB_PARAMS_H

#include "hv/host/types.h"

#define PARAMS_MAX_GROUPS 33 /* the global one and 32 experiments */
#define PARAMS_MAX_PAIRS  128
#define PARAMS_MAX_TEXT	  1024 /* the whole command line with its terminator */
#define PARAMS_MAX_SPECS  16

enum param_type {
	PARAM_TYPE_U64,	 /* decimal or 0x hexadecimal, with K, M or G; min..max */
	PARAM_TYPE_BOOL, /* 0 1 off on no yes; a global one may also stand alone as a flag */
	PARAM_TYPE_ENUM, /* one of choices; its number is the index */
	PARAM_TYPE_TEXT, /* any printable text; min..max is its length in bytes */
};

struct param_spec {
	const char *key;
	enum param_type type;
	u64 min, max; /* PARAM_TYPE_U64, PARAM_TYPE_TEXT */
	u64 def;      /* default: number, 0 or 1, or index */
	const char *help;
	const char *const *choices; /* PARAM_TYPE_ENUM: up to a NULL */
	const char *text;	    /* PARAM_TYPE_TEXT: default */
};

/*
 * How an owner declares its parameters:
 *
 *	static const struct param_spec pause_params[] = {
 *		PARAM_U64("n", 1, 1000000, 10000, "iterations"),
 *		PARAM_ENUM("way", 0, "how the slots change", "live", "paused", "atomic"),
 *	};
 */
#define PARAM_U64(key_, min_, max_, def_, help_)                                                   \
	{                                                                                          \
		.key = key_, .type = PARAM_TYPE_U64, .min = min_, .max = max_, .def = def_,        \
		.help = help_                                                                      \
	}
#define PARAM_BOOL(key_, def_, help_)                                                              \
	{                                                                                          \
		.key = key_, .type = PARAM_TYPE_BOOL, .def = def_, .help = help_                   \
	}
#define PARAM_ENUM(key_, def_, help_, ...)                                                         \
	{                                                                                          \
		.key = key_, .type = PARAM_TYPE_ENUM, .def = def_, .help = help_,                  \
		.choices = (const char *const[])                                                   \
		{                                                                                  \
			__VA_ARGS__, NULL                                                          \
		}                                                                                  \
	}
#define PARAM_TEXT(key_, min_, max_, def_, help_)                                                  \
	{                                                                                          \
		.key = key_, .type = PARAM_TYPE_TEXT, .min = min_, .max = max_, .text = def_,      \
		.help = help_                                                                      \
	}

struct param_error {
	char text[240]; /* printable ASCII, no newline */
};

struct param_pair {
	const char *key;
	const char *value; /* NULL: a flag, the word stood alone */
};

struct param_group {
	const char *name; /* the experiment; NULL for the global group */
	unsigned int first, count;
};

struct params {
	unsigned int nr_groups; /* at least 1: group[0] is the global one */
	struct param_group group[PARAMS_MAX_GROUPS];
	unsigned int nr_pairs;
	struct param_pair pair[PARAMS_MAX_PAIRS];
	char text[PARAMS_MAX_TEXT];
};

struct param_value {
	u64 number;
	const char *text; /* the text, or the word of the choice */
	bool given;	  /* by the user */
};

struct param_values {
	const struct param_spec *spec;
	unsigned int nr;
	struct param_value value[PARAMS_MAX_SPECS];
};

/**
 * params_parse - split a command line into groups of pairs
 * @p: filled in; the strings point into it, so it must stay where it is
 * @cmdline: may hold anything
 * @globals, @nr_globals: the global parameters: a word that is a PARAM_BOOL() of these, before the
 *first experiment, is a flag
 * @err: gets the line for the user
 *
 * Returns 0; -E2BIG when a limit above is exceeded; -EINVAL for an open quote, a control character
 *in quotes, or a word that is neither key=value nor a name (letters, digits, "_", "-", ".").
 */
int params_parse(struct params *p, const char *cmdline, const struct param_spec *globals,
		 unsigned int nr_globals, struct param_error *err);

/**
 * params_read - check one group and convert its values
 * @p, @group: from params_parse(); @group is an index
 * @spec, @nr: what the group's owner declares, at most PARAMS_MAX_SPECS
 * @out: every parameter of @spec, defaults filled in; text points into @p and @spec
 * @err: gets the line for the user, such as "exits: n=0: must be 1..1000000"
 *
 * Returns 0; -ENOENT for a key that is not in @spec; -EEXIST for one that comes twice; -EINVAL for
 * a value of the wrong form; -ERANGE for one out of its range.
 */
int params_read(const struct params *p, unsigned int group, const struct param_spec *spec,
		unsigned int nr, struct param_values *out, struct param_error *err);

/**
 * param_number, param_text, param_given - a value by its key
 *
 * @key must be in the values' spec, which is the caller's own: anything else panics. param_number()
 * is for PARAM_U64, PARAM_BOOL and PARAM_ENUM (the index), param_text() for PARAM_ENUM and
 * PARAM_TEXT.
 */
u64 param_number(const struct param_values *v, const char *key);
const char *param_text(const struct param_values *v, const char *key);
bool param_given(const struct param_values *v, const char *key);

/**
 * param_describe - one line of help: "n=10000 (1..1000000): iterations"
 * @buf, @size: gets the line, cut to fit
 *
 * Returns the length the whole line would have, as fmt_print().
 */
int param_describe(const struct param_spec *spec, char *buf, size_t size);

#endif
