/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest's text on our console, line by line. */
#include "hv/dev/lines.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

void lines_init(struct lines *l, const char *prefix)
{
	*l = (struct lines){ .len = 0 };
	str_copy(l->prefix, prefix, sizeof(l->prefix));
}

static void print_line(struct lines *l, const char *end)
{
	printk("%s%.*s%s\n", l->prefix, (int)l->len, l->text, end);
	l->len = 0;
}

static void append(struct lines *l, const char *s, unsigned int n)
{
	if (l->len + n > sizeof(l->text))
		print_line(l, "\\");
	memcpy(l->text + l->len, s, n);
	l->len += n;
}

void lines_put(struct lines *l, u8 byte)
{
	static const char hex[] = "0123456789abcdef";
	char escaped[4] = { '\\', 'x', hex[byte >> 4], hex[byte & 15] };
	char c = byte;

	if (byte == '\n')
		print_line(l, "");
	else if ((byte >= 0x20 && byte < 0x7f) || byte == '\t')
		append(l, &c, 1);
	else if (byte != '\r')
		append(l, escaped, sizeof(escaped));
}

void lines_flush(struct lines *l)
{
	if (l->len)
		print_line(l, "");
}
