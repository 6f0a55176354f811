/* SPDX-License-Identifier: GPL-2.0-only */
/* Formatted output into buffers, and printk() on top of it. */
#include "hv/host/print.h"

#include "hv/host/console.h"
#include "hv/host/string.h"

#define PRINTK_MAX 1024 /* bytes of one call, the terminator included */

struct out {
	char *buf;
	size_t size;
	size_t len; /* of the whole text, whether it fits or not */
};

enum flag {
	FLAG_LEFT = 1,
	FLAG_ZERO = 2,
	FLAG_ALT = 4,
	FLAG_PLUS = 8,
	FLAG_SPACE = 16,
};

enum length { LEN_CHAR, LEN_SHORT, LEN_INT, LEN_LONG }; /* LEN_LONG: all the 64-bit ones */

struct spec {
	unsigned int flags; /* enum flag */
	int width;
	int precision; /* -1: none given */
	enum length length;
	char conv;
};

/* Room left for text, the terminator set aside. */
static size_t out_room(const struct out *o)
{
	return o->len + 1 < o->size ? o->size - 1 - o->len : 0;
}

static void put(struct out *o, const char *s, size_t n)
{
	size_t room = out_room(o);

	if (room)
		memcpy(o->buf + o->len, s, n < room ? n : room);
	o->len += n;
}

static void pad(struct out *o, char c, int n)
{
	size_t room = out_room(o);

	if (n <= 0)
		return;
	if (room)
		memset(o->buf + o->len, c, (size_t)n < room ? (size_t)n : room);
	o->len += (size_t)n;
}

/* A decimal number in a format string; __INT_MAX__ when it is larger. */
static int parse_number(const char **fmt)
{
	int n = 0;

	for (; **fmt >= '0' && **fmt <= '9'; (*fmt)++)
		n = n > (__INT_MAX__ - 9) / 10 ? __INT_MAX__ : n * 10 + (**fmt - '0');
	return n;
}

static unsigned int parse_flags(const char **fmt)
{
	static const char chars[] = "-0#+ "; /* in the order of enum flag */
	unsigned int flags = 0;
	const char *c;

	while (**fmt && (c = strchr(chars, **fmt))) {
		flags |= 1u << (c - chars);
		(*fmt)++;
	}
	return flags;
}

static enum length parse_length(const char **fmt)
{
	char c = **fmt;

	switch (c) {
	case 'h':
	case 'l':
		(*fmt)++;
		if (**fmt != c)
			return c == 'h' ? LEN_SHORT : LEN_LONG;
		(*fmt)++;
		return c == 'h' ? LEN_CHAR : LEN_LONG;
	case 'z':
	case 't':
	case 'j': (*fmt)++; return LEN_LONG;
	default: return LEN_INT;
	}
}

/* va_list may be an array type, so it travels inside a struct. */
struct args {
	va_list ap;
};

/* Parse what follows a '%'; *fmt ends behind the conversion character (or at the terminator). */
static void parse_spec(struct spec *s, const char **fmt, struct args *args)
{
	s->flags = parse_flags(fmt);
	if (**fmt == '*') {
		(*fmt)++;
		s->width = va_arg(args->ap, int);
		if (s->width < 0) {
			s->flags |= FLAG_LEFT;
			s->width = s->width == (-__INT_MAX__ - 1) ? __INT_MAX__ : -s->width;
		}
	} else {
		s->width = parse_number(fmt);
	}
	s->precision = -1;
	if (**fmt == '.') {
		(*fmt)++;
		if (**fmt == '*') {
			(*fmt)++;
			s->precision = va_arg(args->ap, int);
			if (s->precision < 0)
				s->precision = -1;
		} else {
			s->precision = parse_number(fmt);
		}
	}
	s->length = parse_length(fmt);
	s->conv = **fmt;
	if (s->conv)
		(*fmt)++;
}

static void print_text(struct out *o, const struct spec *s, const char *text, size_t n)
{
	int fill = (size_t)s->width > n ? s->width - (int)n : 0;

	if (!(s->flags & FLAG_LEFT))
		pad(o, ' ', fill);
	put(o, text, n);
	if (s->flags & FLAG_LEFT)
		pad(o, ' ', fill);
}

/* Sign or base prefix, then zeroes up to the precision, then digits; the field padded around it. */
static void print_number(struct out *o, const struct spec *s, const char *prefix, u64 v,
			 unsigned int base)
{
	const char *set = s->conv == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	char digits[20];
	char *p = digits + sizeof(digits);
	int n, zeroes, nprefix = (int)strlen(prefix), fill;

	for (; v; v /= base)
		*--p = set[v % base];
	n = (int)(digits + sizeof(digits) - p);
	zeroes = (s->precision < 0 ? 1 : s->precision) - n;
	if (zeroes < 0)
		zeroes = 0;
	fill = s->width - nprefix - n;
	fill = fill > zeroes ? fill - zeroes : 0;
	if ((s->flags & FLAG_ZERO) && !(s->flags & FLAG_LEFT) && s->precision < 0) {
		zeroes += fill;
		fill = 0;
	}

	if (!(s->flags & FLAG_LEFT))
		pad(o, ' ', fill);
	put(o, prefix, (size_t)nprefix);
	pad(o, '0', zeroes);
	put(o, p, (size_t)n);
	if (s->flags & FLAG_LEFT)
		pad(o, ' ', fill);
}

static void print_signed(struct out *o, const struct spec *s, struct args *args)
{
	s64 v;
	const char *sign = s->flags & FLAG_PLUS ? "+" : s->flags & FLAG_SPACE ? " " : "";

	if (s->length == LEN_LONG)
		v = va_arg(args->ap, s64);
	else
		v = va_arg(args->ap, int);
	if (s->length == LEN_SHORT)
		v = (s16)v;
	else if (s->length == LEN_CHAR)
		v = (s8)v;
	print_number(o, s, v < 0 ? "-" : sign, v < 0 ? 0 - (u64)v : (u64)v, 10);
}

static void print_unsigned(struct out *o, const struct spec *s, struct args *args)
{
	const char *prefix = "";
	u64 v;

	if (s->length == LEN_LONG)
		v = va_arg(args->ap, u64);
	else
		v = va_arg(args->ap, unsigned int);
	if (s->length == LEN_SHORT)
		v = (u16)v;
	else if (s->length == LEN_CHAR)
		v = (u8)v;
	if ((s->flags & FLAG_ALT) && v && s->conv != 'u')
		prefix = s->conv == 'X' ? "0X" : "0x";
	print_number(o, s, prefix, v, s->conv == 'u' ? 10 : 16);
}

static void print_string(struct out *o, const struct spec *s, struct args *args)
{
	const char *text = va_arg(args->ap, const char *);

	if (!text)
		text = "(null)";
	print_text(o, s, text, s->precision < 0 ? strlen(text) : strnlen(text, s->precision));
}

/* One conversion. False when it is unknown: then no argument was taken. */
static bool print_one(struct out *o, const struct spec *s, struct args *args)
{
	char c;

	switch (s->conv) {
	case 'd':
	case 'i': print_signed(o, s, args); return true;
	case 'u':
	case 'x':
	case 'X': print_unsigned(o, s, args); return true;
	case 'p': print_number(o, s, "0x", (uintptr_t)va_arg(args->ap, void *), 16); return true;
	case 'c':
		c = (char)va_arg(args->ap, int);
		print_text(o, s, &c, 1);
		return true;
	case 's': print_string(o, s, args); return true;
	case '%': put(o, "%", 1); return true;
	default: return false;
	}
}

int fmt_vprint(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = { .buf = buf, .size = size };
	struct args args;

	va_copy(args.ap, ap);
	while (*fmt) {
		const char *start = fmt;
		struct spec s;

		while (*fmt && *fmt != '%')
			fmt++;
		put(&o, start, (size_t)(fmt - start));
		if (!*fmt)
			break;
		start = fmt++;
		parse_spec(&s, &fmt, &args);
		if (!print_one(&o, &s, &args)) {
			/* Which argument comes next is unknown from here on: take none. */
			put(&o, start, strlen(start));
			break;
		}
	}
	va_end(args.ap);

	if (size)
		buf[o.len < size ? o.len : size - 1] = '\0';
	return o.len > __INT_MAX__ ? __INT_MAX__ : (int)o.len;
}

int fmt_print(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_vprint(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

void vprintk(const char *fmt, va_list ap)
{
	static const char cut[] = "...\n";
	char buf[PRINTK_MAX];
	size_t n = (size_t)fmt_vprint(buf, sizeof(buf), fmt, ap);

	if (n >= sizeof(buf)) {
		n = sizeof(buf) - 1;
		memcpy(buf + n - (sizeof(cut) - 1), cut, sizeof(cut) - 1);
	}
	console_write(buf, n);
}

void printk(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintk(fmt, ap);
	va_end(ap);
}

void fmt_vline(char *buf, size_t size, const char *fmt, va_list ap)
{
	if (fmt_vprint(buf, size, fmt, ap) >= (int)size)
		memcpy(buf + size - 4, "...", 4);
	for (; *buf; buf++)
		if ((u8)*buf < ' ' || (u8)*buf > '~')
			*buf = '?';
}
