/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical memory for parsers that take a read function: an array at a chosen address. Each read
 * gives a copy of exactly the length asked for, so that the sanitizer sees a parser look further.
 */
#ifndef TESTS_UNIT_PHYS_IMAGE_H
#define TESTS_UNIT_PHYS_IMAGE_H

#include "hv/host/types.h"

#define PHYS_IMAGE_BASE 0x10000ul
#define PHYS_IMAGE_SIZE 0x10000ul

extern u8 phys_image[PHYS_IMAGE_SIZE];

/** phys_image_use - the first @size bytes can be read from now on; the others are cleared. */
void phys_image_use(size_t size);

/** phys_image_read - for the parsers. Copies live until phys_image_forget(). */
const void *phys_image_read(hpa_t pa, u64 len);

/** phys_image_forget - free all copies. */
void phys_image_forget(void);

/** phys_put - write @len bytes at physical address @pa, which is inside the image. */
void phys_put(hpa_t pa, const void *data, size_t len);

#endif
