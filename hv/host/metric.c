/* SPDX-License-Identifier: GPL-2.0-only */
/* Measurements as JSON lines. */
#include "hv/host/metric.h"

#include "hv/host/console.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

#define LINE_MAX_BYTES 1024

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void add(struct line *l, const char *fmt, ...) __printf(2, 3);
static void add(struct line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	l->len += (size_t)fmt_vprint(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
	va_end(ap);
	/* Half an object would be lost by every reader: such a name is a mistake in the program. */
	if (l->len >= sizeof(l->text))
		panic("a metric longer than %d bytes: %.80s", LINE_MAX_BYTES, l->text);
}

/* How many characters of @s need no escape. */
static int plain_length(const char *s)
{
	int n = 0;

	while ((u8)s[n] >= ' ' && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

/* A JSON string. */
static void add_string(struct line *l, const char *s)
{
	add(l, "\"");
	for (;;) {
		int n = plain_length(s);

		add(l, "%.*s", n, s);
		s += n;
		if (!*s)
			break;
		if ((u8)*s < ' ')
			add(l, "\\u%04x", (unsigned int)(u8)*s);
		else
			add(l, "\\%c", *s);
		s++;
	}
	add(l, "\"");
}

static void begin(struct line *l, const char *name, const char *unit)
{
	l->len = 0;
	add(l, "# metric {\"name\": ");
	add_string(l, name);
	add(l, ", \"unit\": ");
	add_string(l, unit);
}

static void add_number(struct line *l, const char *key, u64 v)
{
	add(l, ", \"%s\": %lu", key, v);
}

static void end(struct line *l, const struct metric_param *params, unsigned int nr_params)
{
	BUG_ON(nr_params > METRIC_MAX_PARAMS);
	add(l, ", \"params\": {");
	for (unsigned int i = 0; i < nr_params; i++) {
		add(l, i ? ", " : "");
		add_string(l, params[i].key);
		add(l, ": ");
		if (params[i].word)
			add_string(l, params[i].word);
		else
			add(l, "%lu", params[i].value);
	}
	add(l, "}}\n");
	console_write(l->text, l->len);
}

void metric_value(const char *name, const char *unit, u64 value, const struct metric_param *params,
		  unsigned int nr_params)
{
	struct line l;

	begin(&l, name, unit);
	add_number(&l, "value", value);
	end(&l, params, nr_params);
}

/* Restore the heap order below @root, whose children are heaps. */
static void sift_down(u64 *heap, unsigned int root, unsigned int n)
{
	u64 v = heap[root];
	unsigned int child;

	while ((child = 2 * root + 1) < n) {
		if (child + 1 < n && heap[child + 1] > heap[child])
			child++;
		if (heap[child] <= v)
			break;
		heap[root] = heap[child];
		root = child;
	}
	heap[root] = v;
}

/* Heapsort: no recursion, no memory, and quick when most samples are equal, as they are. */
static void sort(u64 *v, unsigned int n)
{
	for (unsigned int i = n / 2; i-- > 0;)
		sift_down(v, i, n);
	while (n-- > 1) {
		u64 largest = v[0];

		v[0] = v[n];
		v[n] = largest;
		sift_down(v, 0, n);
	}
}

/* Nearest rank: the ceil(percent / 100 * n)-th smallest. */
static u64 percentile(const u64 *sorted, unsigned int n, unsigned int percent)
{
	u64 rank = ((u64)n * percent + 99) / 100;

	return sorted[rank - 1];
}

void metric_samples(const char *name, const char *unit, u64 *samples, unsigned int n,
		    const struct metric_param *params, unsigned int nr_params)
{
	struct line l;

	BUG_ON(!n);
	sort(samples, n);
	begin(&l, name, unit);
	add_number(&l, "n", n);
	add_number(&l, "min", samples[0]);
	add_number(&l, "p50", percentile(samples, n, 50));
	add_number(&l, "p99", percentile(samples, n, 99));
	add_number(&l, "max", samples[n - 1]);
	end(&l, params, nr_params);
}
