/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Errors are negative errno values, with Linux' numbers so that a reader needs no table.
 * On a hosted build (unit tests, fuzzers) libc's own header gives the same names and numbers.
 */
#ifndef HV_HOST_ERRNO_H
#define HV_HOST_ERRNO_H

#if __STDC_HOSTED__
#include <errno.h>
#else
#define EPERM	   1
#define ENOENT	   2
#define EINTR	   4
#define EIO	   5
#define E2BIG	   7
#define ENOEXEC	   8
#define EAGAIN	   11
#define ENOMEM	   12
#define EACCES	   13
#define EFAULT	   14
#define EBUSY	   16
#define EEXIST	   17
#define ENODEV	   19
#define EINVAL	   22
#define ENOSPC	   28
#define EPIPE	   32
#define ERANGE	   34
#define ENOSYS	   38
#define ENODATA	   61
#define EPROTO	   71
#define EOVERFLOW  75
#define EOPNOTSUPP 95
#define ESHUTDOWN  108
#define ETIMEDOUT  110
#define ECANCELED  125
#endif

/**
 * errno_name - the symbolic name of an error
 * @err: negative or positive errno value
 *
 * Returns a static string ("EINVAL"), or "E?" for a value this project does not use.
 */
const char *errno_name(int err);

#endif
