/* SPDX-License-Identifier: GPL-2.0-only */
/* The string functions of the freestanding image; libc's own on a hosted build. */
#ifndef HV_HOST_STRING_H
#define HV_HOST_STRING_H

#include "hv/host/types.h"

#if __STDC_HOSTED__
#include <string.h>
#else
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strstr(const char *hay, const char *needle);
#endif

/**
 * str_copy - copy a string into a fixed buffer, always terminated
 * @dst: destination
 * @src: source string
 * @size: size of @dst in bytes, at least 1
 *
 * Returns the length copied, or -E2BIG when @src was cut off.
 */
int str_copy(char *dst, const char *src, size_t size);

/**
 * str_has_word - whether a text of words separated by spaces holds @word
 * @s: text, such as the command line
 * @word: at least one character
 */
bool str_has_word(const char *s, const char *word);

/**
 * parse_u64 - read a whole word as an unsigned number
 * @s: word: decimal, or hexadecimal with 0x; an optional suffix K, M or G multiplies by 2^10/20/30
 * @out: the number
 *
 * Returns 0, -EINVAL when @s is empty or holds anything else, -ERANGE when it exceeds 64 bits; @out
 * is only written on success.
 */
int parse_u64(const char *s, u64 *out);

#endif
