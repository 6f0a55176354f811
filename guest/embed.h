/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest programs that are linked into the image. */
#ifndef GUEST_EMBED_H
#define GUEST_EMBED_H

#include "hv/host/types.h"

struct guest_image {
	const char *name;	 /* "hello" */
	const void *start, *end; /* its multiboot1 ELF file */
};

extern const struct guest_image guest_images[];
extern const u64 guest_nr_images;

/** guest_image_find - the program called @name, or NULL. */
const struct guest_image *guest_image_find(const char *name);

#endif
