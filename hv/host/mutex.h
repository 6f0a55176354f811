/* SPDX-License-Identifier: GPL-2.0-only */
/* A lock that sleeps: for work that waits for other CPUs while it holds it. */
#ifndef HV_HOST_MUTEX_H
#define HV_HOST_MUTEX_H

#include "hv/host/thread.h"

struct mutex {
	_Atomic(struct thread *) owner;
	struct wait_queue wq;
};

void mutex_init(struct mutex *m);

/** mutex_lock - take it, sleeping while another thread has it. Thread context, no spinlock held.
 * Not recursive: panics when the caller has it already. */
void mutex_lock(struct mutex *m);

/** mutex_unlock - by the thread that has it. */
void mutex_unlock(struct mutex *m);

#endif
