/* SPDX-License-Identifier: GPL-2.0-only */
/* What hw.c and hw_memory.c share. */
#ifndef TESTS_STRESS_HW_INTERNAL_H
#define TESTS_STRESS_HW_INTERNAL_H

#include "tests/stress/hw.h"

void hw_log_init(struct hw_vcpu *h);

/* hw.c: forget all translations, and say up to which generation. */
void hw_flush(struct hw_vcpu *h);

/* hw_apic.c: at an entry: whether it is an exit at once, VM_EXIT_TPR; between two steps: the vector
 * that the CPU delivers now, or 0. */
bool hw_apic_entry(struct hw_vcpu *h);
u8 hw_apic_deliver(struct hw_vcpu *h);
/* Whether @hpa is in the page that APIC_ACCESS_ADDR names: then it is an exit, filled in. */
bool hw_apic_access(struct hw_vcpu *h, hpa_t hpa, bool write);

#endif
