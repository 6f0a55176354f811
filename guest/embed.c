/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds an embedded guest by its name. */
#include "guest/embed.h"
#include "hv/host/string.h"

const struct guest_image *guest_image_find(const char *name)
{
	for (u64 i = 0; i < guest_nr_images; i++) {
		if (!strcmp(guest_images[i].name, name))
			return &guest_images[i];
	}
	return NULL;
}
