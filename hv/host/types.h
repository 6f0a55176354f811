/* SPDX-License-Identifier: GPL-2.0-only */
/* The basic types and small macros that every room of the house uses. */
#ifndef HV_HOST_TYPES_H
#define HV_HOST_TYPES_H

#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef u64 hpa_t; /* host-physical address */
typedef u64 gpa_t; /* guest-physical address */
typedef u64 gva_t; /* guest-virtual (linear) address */
typedef u64 gfn_t; /* guest frame number: gpa >> PAGE_SHIFT */
typedef u64 hfn_t; /* host frame number: hpa >> PAGE_SHIFT */

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1ul << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define KIB(n) ((u64)(n) << 10)
#define MIB(n) ((u64)(n) << 20)
#define GIB(n) ((u64)(n) << 30)

#define BIT(n)		      (1ull << (n))
#define ARRAY_SIZE(a)	      (sizeof(a) / sizeof((a)[0]))
#define ALIGN_DOWN(x, a)      ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)	      ALIGN_DOWN((x) + ((__typeof__(x))(a)-1), a)
#define IS_ALIGNED(x, a)      (((x) & ((__typeof__(x))(a)-1)) == 0)
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The compiler must not assume anything about @v's value here, such as what it has computed from
 * it. */
#define OPTIMIZER_HIDE_VAR(v) __asm__ volatile("" : "+r"(v))

#define __printf(f, a) __attribute__((format(printf, f, a)))
#define __packed       __attribute__((packed))
#define noinline       __attribute__((noinline))
#define __used	       __attribute__((used))
#define __section(s)   __attribute__((section(s)))
#define __aligned(n)   __attribute__((aligned(n)))
#ifndef __always_inline /* libc has its own on a hosted build */
#define __always_inline inline __attribute__((always_inline))
#endif
#define __must_check __attribute__((warn_unused_result))

static inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 max_u64(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* How many bits are set: by pairs, nibbles and bytes. */
static inline u32 count_bits(u64 x)
{
	x -= x >> 1 & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (u32)(x * 0x0101010101010101ull >> 56);
}

#endif
