/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of the errors this project uses. */
#include "hv/host/errno.h"

#include "hv/host/types.h"

#define NAME(e)                                                                                    \
	{                                                                                          \
		e, #e                                                                              \
	}

static const struct {
	int err;
	const char *name;
} names[] = {
	NAME(EPERM),	  NAME(ENOENT),	   NAME(EINTR),	    NAME(EIO),	     NAME(E2BIG),
	NAME(ENOEXEC),	  NAME(EAGAIN),	   NAME(ENOMEM),    NAME(EACCES),    NAME(EFAULT),
	NAME(EBUSY),	  NAME(EEXIST),	   NAME(ENODEV),    NAME(EINVAL),    NAME(ENOSPC),
	NAME(ERANGE),	  NAME(ENOSYS),	   NAME(ENODATA),   NAME(EPROTO),    NAME(EOVERFLOW),
	NAME(EOPNOTSUPP), NAME(ESHUTDOWN), NAME(ETIMEDOUT), NAME(ECANCELED), NAME(EPIPE),
};

const char *errno_name(int err)
{
	/* Widened first: the negative of INT_MIN is no int. */
	long e = err < 0 ? -(long)err : err;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].err == e)
			return names[i].name;
	}
	return "E?";
}
