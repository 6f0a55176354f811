/* SPDX-License-Identifier: GPL-2.0-only */
/* The image's string functions under names of their own, beside libc's. */
#ifndef TESTS_UNIT_OWN_STRING_H
#define TESTS_UNIT_OWN_STRING_H

#define memcpy	own_memcpy
#define memmove own_memmove
#define memset	own_memset
#define memcmp	own_memcmp
#define memchr	own_memchr
#define strlen	own_strlen
#define strnlen own_strnlen
#define strcmp	own_strcmp
#define strncmp own_strncmp
#define strchr	own_strchr
#define strstr	own_strstr

#endif
