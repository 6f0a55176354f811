/* SPDX-License-Identifier: GPL-2.0-only */
/* Printing a whole VMCS by field name. */
#include "hv/host/print.h"
#include "vmx/check.h"
#include "vmx/vmcs_fields.h"

#define LINE_MAX_COLUMNS 100
#define COLUMN_WIDTH	 50

struct dump {
	const struct vmx_caps *caps;
	const struct vmcs_reader *r;
	void (*line)(void *arg, const char *text);
	void *arg;
	char text[LINE_MAX_COLUMNS + 1]; /* the line so far */
	size_t len;
};

static void flush(struct dump *d)
{
	while (d->len && d->text[d->len - 1] == ' ')
		d->text[--d->len] = '\0';
	if (d->len)
		d->line(d->arg, d->text);
	d->len = 0;
}

static int hex_digits(u32 field)
{
	switch (vmcs_field_width(field)) {
	case VMCS_WIDTH_16: return 4;
	case VMCS_WIDTH_32: return 8;
	default: return 16;
	}
}

/* The longest name (29 columns) and the widest value (16) leave five to the next column. */
static void column(struct dump *d, const char *name, u32 field)
{
	char value[17];

	fmt_print(value, sizeof(value), "%0*llx", hex_digits(field),
		  (unsigned long long)d->r->read(d->r->ctx, field));
	if (d->len + COLUMN_WIDTH > LINE_MAX_COLUMNS)
		flush(d);
	d->len += (size_t)fmt_print(d->text + d->len, sizeof(d->text) - d->len, "%-29s %-20s", name,
				    value);
}

static bool is_segment_field(u32 field)
{
	static const u32 first[] = { GUEST_ES_SELECTOR, GUEST_ES_BASE, GUEST_ES_LIMIT,
				     GUEST_ES_AR_BYTES };

	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		if (field >= first[i] && field <= SEG_FIELD(first[i], NR_SEG - 1))
			return true;
	}
	return false;
}

static u64 get(struct dump *d, u32 es_field, unsigned int seg)
{
	return d->r->read(d->r->ctx, SEG_FIELD(es_field, seg));
}

static void segments(struct dump *d)
{
	static const char *const names[NR_SEG] = {
		"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"
	};

	for (unsigned int i = 0; i < NR_SEG; i++) {
		d->len = (size_t)fmt_print(d->text, sizeof(d->text),
					   "GUEST_%-4s SELECTOR %04llx  BASE %016llx  LIMIT %08llx"
					   "  AR_BYTES %08llx",
					   names[i],
					   (unsigned long long)get(d, GUEST_ES_SELECTOR, i),
					   (unsigned long long)get(d, GUEST_ES_BASE, i),
					   (unsigned long long)get(d, GUEST_ES_LIMIT, i),
					   (unsigned long long)get(d, GUEST_ES_AR_BYTES, i));
		flush(d);
	}
}

static void group(struct dump *d, enum vmcs_field_type type, const char *title)
{
	d->len = (size_t)fmt_print(d->text, sizeof(d->text), "--- %s ---", title);
	flush(d);
	if (type == VMCS_TYPE_GUEST)
		segments(d);
	for (size_t i = 0; i < NR_VMCS_FIELDS; i++) {
		u32 field = vmcs_field_list[i].field;

		if (vmcs_field_type(field) != type || is_segment_field(field))
			continue;
		if (vmcs_field_exists(d->caps, field))
			column(d, vmcs_field_list[i].name, field);
	}
	flush(d);
}

void vmcs_dump(const struct vmx_caps *caps, const struct vmcs_reader *r,
	       void (*line)(void *arg, const char *text), void *arg)
{
	struct dump d = { .caps = caps, .r = r, .line = line, .arg = arg };

	group(&d, VMCS_TYPE_CONTROL, "controls");
	group(&d, VMCS_TYPE_EXIT_INFO, "exit information");
	group(&d, VMCS_TYPE_GUEST, "guest state");
	group(&d, VMCS_TYPE_HOST, "host state");
}
