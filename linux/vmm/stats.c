/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's binary statistics of a VM or a vCPU (KVM_GET_STATS_FD), by name. */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "linux/vmm/internal.h"

/* The file: a header, descriptors, and where they point into the values. */
struct stats {
	int fd;
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
};

static bool read_at(int fd, void *buf, size_t size, u64 offset)
{
	return pread(fd, buf, size, (off_t)offset) == (ssize_t)size;
}

static u64 value_of(struct stats *s, const char *name)
{
	size_t each = sizeof(*s->desc) + s->header.name_size;
	u64 value = 0;

	s->desc = malloc(each);
	for (u32 i = 0; s->desc && i < s->header.num_desc; i++) {
		if (!read_at(s->fd, s->desc, each, s->header.desc_offset + i * each))
			break;
		if (strncmp(s->desc->name, name, s->header.name_size))
			continue;
		if (!read_at(s->fd, &value, sizeof(value), s->header.data_offset + s->desc->offset))
			value = 0;
		break;
	}
	free(s->desc);
	return value;
}

int stats_open(int of)
{
	return ioctl(of, KVM_GET_STATS_FD, NULL);
}

static u64 stat(int fd, const char *name)
{
	struct stats s = { .fd = fd };

	return read_at(fd, &s.header, sizeof(s.header), 0) ? value_of(&s, name) : 0;
}

u64 vm_stat(struct vm *vm, const char *name)
{
	return stat(kvm_vm(vm)->stats_fd, name);
}

u64 vcpu_stat(struct vcpu *vcpu, const char *name)
{
	return stat(kvm_vcpu(vcpu)->stats_fd, name);
}
