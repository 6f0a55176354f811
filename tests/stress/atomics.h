/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before everything else when the sources of hv/ and vmx/ are compiled for a stress
 * program: each access to an atomic is a point at which somebody else may go on, and a store that
 * is not sequentially consistent may stay in a store buffer for a while, as a CPU's does. Others
 * see it late, also after later loads of the thread that stored; a read-modify-write, a fence or a
 * sequentially consistent store empties the buffer first. (Stores leave it in order, so this is
 * what x86 does.)
 *
 * The thread sanitizer does not model that, and the build machine's own buffers are emptied by the
 * sanitizer's own locks: without this no run would notice a missing full fence.
 */
#ifndef TESTS_STRESS_ATOMICS_H
#define TESTS_STRESS_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** stress_point - one moment of the calling CPU: others may go on, an NMI may arrive. */
void stress_point(void);

/** buffer_store - put a store into the calling CPU's buffer. @order: relaxed or release. */
void buffer_store(volatile void *p, unsigned int size, uint64_t value, int order);

/** buffer_load - if the calling CPU has a store to @p in its buffer, get that. */
bool buffer_load(const volatile void *p, unsigned int size, void *value);

/** buffer_drain - make all stores visible. */
void buffer_drain(void);

/* The type of the value, without _Atomic. */
#define ATOMIC_VALUE(p) __typeof__(__c11_atomic_load((p), __ATOMIC_RELAXED))

#undef atomic_load_explicit
#undef atomic_load
#undef atomic_store_explicit
#undef atomic_store
#undef atomic_exchange_explicit
#undef atomic_exchange
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_strong
#undef atomic_fetch_add_explicit
#undef atomic_fetch_add
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_or_explicit
#undef atomic_fetch_or
#undef atomic_fetch_xor_explicit
#undef atomic_fetch_xor
#undef atomic_fetch_and_explicit
#undef atomic_fetch_and
#undef atomic_thread_fence

#define atomic_load_explicit(p, order)                                                             \
	({                                                                                         \
		__typeof__(p) ptr_ = (p);                                                          \
		ATOMIC_VALUE(ptr_) value_;                                                         \
		stress_point();                                                                    \
		if (!buffer_load(ptr_, sizeof(value_), &value_))                                   \
			value_ = __c11_atomic_load(ptr_, order);                                   \
		value_;                                                                            \
	})

#define atomic_store_explicit(p, v, order)                                                         \
	({                                                                                         \
		__typeof__(p) ptr_ = (p);                                                          \
		ATOMIC_VALUE(ptr_) value_ = (v);                                                   \
		uint64_t raw_ = 0;                                                                 \
		memcpy(&raw_, &value_, sizeof(value_));                                            \
		stress_point();                                                                    \
		if ((order) == memory_order_seq_cst) {                                             \
			buffer_drain();                                                            \
			__c11_atomic_store(ptr_, value_, __ATOMIC_SEQ_CST);                        \
		} else {                                                                           \
			buffer_store(ptr_, sizeof(value_), raw_, order);                           \
		}                                                                                  \
	})

/* Read-modify-writes: locked instructions, which empty the buffer whatever their order says. */
#define ATOMIC_RMW(op, p, v, order)                                                                \
	({                                                                                         \
		__typeof__(p) ptr_ = (p);                                                          \
		__typeof__(v) value_ = (v);                                                        \
		stress_point();                                                                    \
		buffer_drain();                                                                    \
		op(ptr_, value_, order);                                                           \
	})

#define atomic_exchange_explicit(p, v, o)  ATOMIC_RMW(__c11_atomic_exchange, p, v, o)
#define atomic_fetch_add_explicit(p, v, o) ATOMIC_RMW(__c11_atomic_fetch_add, p, v, o)
#define atomic_fetch_sub_explicit(p, v, o) ATOMIC_RMW(__c11_atomic_fetch_sub, p, v, o)
#define atomic_fetch_or_explicit(p, v, o)  ATOMIC_RMW(__c11_atomic_fetch_or, p, v, o)
#define atomic_fetch_xor_explicit(p, v, o) ATOMIC_RMW(__c11_atomic_fetch_xor, p, v, o)
#define atomic_fetch_and_explicit(p, v, o) ATOMIC_RMW(__c11_atomic_fetch_and, p, v, o)

#define atomic_compare_exchange_strong_explicit(p, e, v, success, failure)                         \
	({                                                                                         \
		__typeof__(p) ptr_ = (p);                                                          \
		__typeof__(e) expected_ = (e);                                                     \
		ATOMIC_VALUE(ptr_) value_ = (v);                                                   \
		stress_point();                                                                    \
		buffer_drain();                                                                    \
		__c11_atomic_compare_exchange_strong(ptr_, expected_, value_, success, failure);   \
	})

#define atomic_load(p)	       atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_store(p, v)     atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange(p, v)  atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_add(p, v) atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_sub(p, v) atomic_fetch_sub_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_or(p, v)  atomic_fetch_or_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_xor(p, v) atomic_fetch_xor_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_and(p, v) atomic_fetch_and_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_strong(p, e, v)                                                    \
	atomic_compare_exchange_strong_explicit(p, e, v, memory_order_seq_cst, memory_order_seq_cst)

/* Not modelled by the sanitizer: it orders stores before loads, and publishes nothing. */
#define atomic_thread_fence(order)                                                                 \
	({                                                                                         \
		stress_point();                                                                    \
		if ((order) == memory_order_seq_cst)                                               \
			buffer_drain();                                                            \
	})

#endif
