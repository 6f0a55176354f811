/* SPDX-License-Identifier: GPL-2.0-only */
/* A boot blob that a loader brought as a module (QEMU -initrd): its modules become ours. */
#include "boot/blob.h"
#include "boot/multiboot2.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"

int blob_unpack(struct boot_info *out, const void *blob, u64 len, hpa_t pa)
{
	static struct boot_info in;
	const struct blob_header *h = blob;
	unsigned int i;
	int err;

	if (len < sizeof(*h) || h->magic != BLOB_MAGIC)
		return -ENOENT;
	if (h->size > len || h->mbi % 8 || h->mbi < sizeof(*h) || h->mbi > h->size)
		return -EPROTO;
	memset(&in, 0, sizeof(in));
	err = multiboot2_parse(&in, (const char *)blob + h->mbi, h->size - h->mbi, pa + h->mbi);
	if (err)
		return err;
	for (i = 0; i < in.nr_modules; i++) {
		struct boot_module *m = &in.module[i];

		if (m->base < h->address || m->base - h->address > h->size ||
		    m->len > h->size - (m->base - h->address))
			return -EPROTO;
		m->base += pa - h->address;
	}
	memcpy(out->module, in.module, sizeof(in.module));
	out->nr_modules = in.nr_modules;
	if (!out->cmdline[0])
		memcpy(out->cmdline, in.cmdline, sizeof(in.cmdline));
	return 0;
}
