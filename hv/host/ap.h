/* SPDX-License-Identifier: GPL-2.0-only */
/* What smp.c and the first instructions of another CPU (ap.S) tell each other. */
#ifndef HV_HOST_AP_H
#define HV_HOST_AP_H

/* Offsets in struct ap_slot and struct ap_control, for ap.S; smp.c asserts them. */
#define AP_SLOT_ALIVE	4
#define AP_SLOT_GO	8
#define AP_SLOT_STACK	16
#define AP_SLOT_CPU	24
#define AP_SLOT_SIZE	32
#define AP_CTL_CR0	0
#define AP_CTL_CR3	8
#define AP_CTL_CR4	16
#define AP_CTL_EFER	24
#define AP_CTL_NR	32
#define AP_CTL_DISCOVER 36

/* struct ap_slot.go */
#define AP_WAIT	   0
#define AP_GO	   1
#define AP_DISMISS 2

#endif
