/* SPDX-License-Identifier: GPL-2.0-only */
/* Physical memory for parsers that take a read function. */
#include <stdlib.h>

#include "hv/host/string.h"
#include "tests/unit/phys_image.h"

struct copy {
	struct copy *next;
	void *bytes;
};

u8 phys_image[PHYS_IMAGE_SIZE];
static size_t used;
static struct copy *copies;

void phys_image_use(size_t size)
{
	used = size;
	memset(phys_image + size, 0, sizeof(phys_image) - size);
}

const void *phys_image_read(hpa_t pa, u64 len)
{
	struct copy *c;

	if (pa < PHYS_IMAGE_BASE || pa - PHYS_IMAGE_BASE > used ||
	    len > used - (pa - PHYS_IMAGE_BASE))
		return NULL;
	c = malloc(sizeof(*c));
	if (!c)
		abort();
	c->bytes = malloc(len);
	if (!c->bytes && len)
		abort();
	memcpy(c->bytes, phys_image + (pa - PHYS_IMAGE_BASE), len);
	c->next = copies;
	copies = c;
	return c->bytes;
}

void phys_image_forget(void)
{
	while (copies) {
		struct copy *c = copies;

		copies = c->next;
		free(c->bytes);
		free(c);
	}
}

void phys_put(hpa_t pa, const void *data, size_t len)
{
	if (pa < PHYS_IMAGE_BASE || pa - PHYS_IMAGE_BASE > sizeof(phys_image) ||
	    len > sizeof(phys_image) - (pa - PHYS_IMAGE_BASE))
		abort();
	memcpy(phys_image + (pa - PHYS_IMAGE_BASE), data, len);
}
