/* SPDX-License-Identifier: GPL-2.0-only */
/* Further words of a tiny guest's box, for the guests of experiment `pause`: for C and assembly. */
#ifndef LAB_PAUSE_BOX_H
#define LAB_PAUSE_BOX_H

#include "lab/tiny_box.h"

#define PAUSE_BOX_FREE	 24
#define PAUSE_BOX_GO	 28
#define PAUSE_BOX_DONE	 32
#define PAUSE_BOX_ROUNDS 36
#define PAUSE_BOX_CALL	 40
#define PAUSE_BOX_SEED	 44

#endif
