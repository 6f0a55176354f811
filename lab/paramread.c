/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel command line, step two: the values of one group, checked against their declarations.
 */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/params.h"
#include "lab/paramerr.h"

int param_fail(struct param_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	fmt_vline(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

/* A list such as "live, paused, atomic" that grows word by word; cut words are seen by the caller's
 * "...". */
struct word_list {
	char text[200];
	int len;
};

static void list_add(struct word_list *l, const char *word)
{
	if (l->len < (int)sizeof(l->text))
		l->len += fmt_print(l->text + l->len, sizeof(l->text) - l->len, "%s%s",
				    l->len ? ", " : "", word);
	if (l->len >= (int)sizeof(l->text))
		memcpy(l->text + sizeof(l->text) - 4, "...", 4);
}

/* One pair being read, with what its messages need. */
struct reading {
	const char *group;
	const struct param_spec *spec;
	const char *value;
	struct param_error *err;
};

static int bad_value(const struct reading *r, int code, const char *fmt, ...) __printf(3, 4);
static int bad_value(const struct reading *r, int code, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(what, sizeof(what), fmt, ap);
	va_end(ap);
	return param_fail(r->err, code, "%s: %s=%.60s: %s", r->group, r->spec->key, r->value, what);
}

static int read_u64(const struct reading *r, struct param_value *out)
{
	const struct param_spec *s = r->spec;
	int ret = parse_u64(r->value, &out->number);

	if (ret == -EINVAL)
		return bad_value(r, ret, "not a number; must be %llu..%llu",
				 (unsigned long long)s->min, (unsigned long long)s->max);
	if (ret || out->number < s->min || out->number > s->max)
		return bad_value(r, -ERANGE, "must be %llu..%llu", (unsigned long long)s->min,
				 (unsigned long long)s->max);
	return 0;
}

static int read_bool(const struct reading *r, struct param_value *out)
{
	static const char *const words[] = { "0", "1", "off", "on", "no", "yes" };

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(r->value, words[i])) {
			out->number = i & 1;
			return 0;
		}
	return bad_value(r, -EINVAL, "must be 0, 1, off, on, no or yes");
}

static int read_enum(const struct reading *r, struct param_value *out)
{
	struct word_list known = { .len = 0 };

	for (unsigned int i = 0; r->spec->choices[i]; i++) {
		if (!strcmp(r->value, r->spec->choices[i])) {
			out->number = i;
			out->text = r->spec->choices[i];
			return 0;
		}
		list_add(&known, r->spec->choices[i]);
	}
	return bad_value(r, -EINVAL, "must be one of %s", known.text);
}

static int read_text(const struct reading *r, struct param_value *out)
{
	const struct param_spec *s = r->spec;
	size_t len = strlen(r->value);

	if (len < s->min || len > s->max)
		return bad_value(r, -ERANGE, "%zu bytes; must be %llu..%llu", len,
				 (unsigned long long)s->min, (unsigned long long)s->max);
	out->text = r->value;
	return 0;
}

static int read_value(const struct reading *r, struct param_value *out)
{
	switch (r->spec->type) {
	case PARAM_TYPE_U64: return read_u64(r, out);
	case PARAM_TYPE_BOOL: return read_bool(r, out);
	case PARAM_TYPE_ENUM: return read_enum(r, out);
	case PARAM_TYPE_TEXT: return read_text(r, out);
	}
	panic("parameter %s has type %d", r->spec->key, r->spec->type);
}

static struct param_value default_value(const struct param_spec *s)
{
	struct param_value v = { .number = s->def };

	if (s->type == PARAM_TYPE_ENUM)
		v.text = s->choices[s->def];
	else if (s->type == PARAM_TYPE_TEXT)
		v.text = s->text;
	return v;
}

static int unknown_key(const char *group, const char *key, const struct param_spec *spec,
		       unsigned int nr, struct param_error *err)
{
	struct word_list known = { .len = 0 };

	for (unsigned int i = 0; i < nr; i++)
		list_add(&known, spec[i].key);
	if (!nr)
		return param_fail(err, -ENOENT, "%s: %.60s: it takes no parameters", group, key);
	return param_fail(err, -ENOENT, "%s: %.60s: no such parameter; known: %s", group, key,
			  known.text);
}

static unsigned int find_key(const struct param_spec *spec, unsigned int nr, const char *key)
{
	unsigned int i = 0;

	while (i < nr && strcmp(spec[i].key, key))
		i++;
	return i;
}

int params_read(const struct params *p, unsigned int group, const struct param_spec *spec,
		unsigned int nr, struct param_values *out, struct param_error *err)
{
	struct reading r = { .group = "command line", .err = err };
	const struct param_group *g = &p->group[group];

	BUG_ON(group >= p->nr_groups || nr > PARAMS_MAX_SPECS);
	if (g->name)
		r.group = g->name;
	*out = (struct param_values){ .spec = spec, .nr = nr };
	for (unsigned int i = 0; i < nr; i++)
		out->value[i] = default_value(&spec[i]);

	for (unsigned int j = g->first; j < g->first + g->count; j++) {
		const struct param_pair *pair = &p->pair[j];
		unsigned int i = find_key(spec, nr, pair->key);
		int ret;

		if (i == nr)
			return unknown_key(r.group, pair->key, spec, nr, err);
		if (out->value[i].given)
			return param_fail(err, -EEXIST, "%s: %s is given twice", r.group,
					  pair->key);
		r.spec = &spec[i];
		r.value = pair->value ? pair->value : "1";
		ret = read_value(&r, &out->value[i]);
		if (ret)
			return ret;
		out->value[i].given = true;
	}
	return 0;
}

static const struct param_value *get(const struct param_values *v, const char *key)
{
	unsigned int i = find_key(v->spec, v->nr, key);

	if (i == v->nr)
		panic("parameter %s is not declared", key);
	return &v->value[i];
}

u64 param_number(const struct param_values *v, const char *key)
{
	return get(v, key)->number;
}

const char *param_text(const struct param_values *v, const char *key)
{
	return get(v, key)->text;
}

bool param_given(const struct param_values *v, const char *key)
{
	return get(v, key)->given;
}

int param_describe(const struct param_spec *s, char *buf, size_t size)
{
	struct word_list choices = { .len = 0 };

	switch (s->type) {
	case PARAM_TYPE_U64:
		return fmt_print(buf, size, "%s=%llu (%llu..%llu): %s", s->key,
				 (unsigned long long)s->def, (unsigned long long)s->min,
				 (unsigned long long)s->max, s->help);
	case PARAM_TYPE_BOOL:
		return fmt_print(buf, size, "%s=%s (off, on): %s", s->key, s->def ? "on" : "off",
				 s->help);
	case PARAM_TYPE_ENUM:
		for (unsigned int i = 0; s->choices[i]; i++)
			list_add(&choices, s->choices[i]);
		return fmt_print(buf, size, "%s=%s (%s): %s", s->key, s->choices[s->def],
				 choices.text, s->help);
	case PARAM_TYPE_TEXT:
		return fmt_print(buf, size, "%s=\"%s\" (%llu..%llu bytes): %s", s->key, s->text,
				 (unsigned long long)s->min, (unsigned long long)s->max, s->help);
	}
	panic("parameter %s has type %d", s->key, s->type);
}
