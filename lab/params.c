/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel command line, step one: words, pairs and groups. */
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "lab/params.h"
#include "lab/paramerr.h"

/* Where the parser stands: it copies words from @in to the text buffer, quotes resolved. */
struct cursor {
	const char *in;
	char *out;
	struct param_error *err;
};

static bool is_blank(char c)
{
	return c != '\0' && (u8)c <= ' ';
}

static bool is_control(char c)
{
	return (u8)c < ' ' || (u8)c == 0x7f;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

static bool is_name(const char *s)
{
	if (!*s)
		return false;
	while (*s && is_name_char(*s))
		s++;
	return !*s;
}

static bool is_escape(const char *s)
{
	return s[0] == '\\' && (s[1] == '"' || s[1] == '\\' || s[1] == '\'');
}

/* Copy the next word. Returns it, NULL at the end of the line or after an error (@ret). */
static char *next_word(struct cursor *c, int *ret)
{
	char *word = c->out;
	bool quoted = false;

	*ret = 0;
	while (is_blank(*c->in))
		c->in++;
	if (!*c->in)
		return NULL;

	for (; *c->in && (quoted || !is_blank(*c->in)); c->in++) {
		if (is_escape(c->in)) {
			*c->out++ = *++c->in;
		} else if (*c->in == '"') {
			quoted = !quoted;
		} else if (is_control(*c->in)) {
			*ret = param_fail(c->err, -EINVAL, "command line: control character %#x",
					  (u8)*c->in);
			return NULL;
		} else {
			*c->out++ = *c->in;
		}
	}
	*c->out++ = '\0';
	if (quoted) {
		*ret = param_fail(c->err, -EINVAL, "command line: the quote in %s is not closed",
				  word);
		return NULL;
	}
	return word;
}

static bool is_flag(const char *word, const struct param_spec *globals, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (globals[i].type == PARAM_TYPE_BOOL && !strcmp(globals[i].key, word))
			return true;
	return false;
}

static int add_pair(struct params *p, const char *key, const char *value, struct param_error *err)
{
	if (p->nr_pairs == PARAMS_MAX_PAIRS)
		return param_fail(err, -E2BIG, "command line: more than %d parameters",
				  PARAMS_MAX_PAIRS);
	p->pair[p->nr_pairs++] = (struct param_pair){ key, value };
	p->group[p->nr_groups - 1].count++;
	return 0;
}

static int add_group(struct params *p, const char *name, struct param_error *err)
{
	if (p->nr_groups == PARAMS_MAX_GROUPS)
		return param_fail(err, -E2BIG, "command line: more than %d experiments",
				  PARAMS_MAX_GROUPS - 1);
	p->group[p->nr_groups++] = (struct param_group){ name, p->nr_pairs, 0 };
	return 0;
}

static int add_word(struct params *p, char *word, const struct param_spec *globals,
		    unsigned int nr_globals, struct param_error *err)
{
	char *equals = strchr(word, '=');

	if (equals)
		*equals = '\0';
	if (!is_name(word)) {
		if (equals)
			*equals = '=';
		return param_fail(err, -EINVAL,
				  "command line: \"%s\" is neither key=value nor a name", word);
	}
	if (equals)
		return add_pair(p, word, equals + 1, err);
	if (p->nr_groups == 1 && is_flag(word, globals, nr_globals))
		return add_pair(p, word, NULL, err);
	return add_group(p, word, err);
}

int params_parse(struct params *p, const char *cmdline, const struct param_spec *globals,
		 unsigned int nr_globals, struct param_error *err)
{
	struct cursor c = { .in = cmdline, .out = p->text, .err = err };
	char *word;
	int ret;

	p->nr_pairs = 0;
	p->nr_groups = 1;
	p->group[0] = (struct param_group){ NULL, 0, 0 };

	/* A word takes no more room decoded than it took with the blank or the end behind it. */
	if (strnlen(cmdline, sizeof(p->text)) == sizeof(p->text))
		return param_fail(err, -E2BIG, "command line: longer than %d bytes",
				  PARAMS_MAX_TEXT - 1);
	while ((word = next_word(&c, &ret))) {
		ret = add_word(p, word, globals, nr_globals, err);
		if (ret)
			return ret;
	}
	return ret;
}
