/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory for a vCPU whose instructions are emulated: it reads the same few pages again and
 * again, those of its page tables and its code. Where one was found the last time is good for as
 * long as nothing has been invalidated since, which is the question that every access asks under
 * the same lock (hv/vm/access.c). For reading only: what was found may be read-only, or keep a
 * dirty log. It is in a read section all the same: nobody reads while the VM is held.
 */
#include "hv/host/mem.h"
#include "hv/vm/internal.h"

/* Under the table lock. Any invalidation will do, also one of another page. */
static inline bool is_good(struct vm *vm, const struct known_page *known)
{
	return !vm->invalidation.in_progress &&
	       atomic_load_explicit(&vm->invalidation.seq, memory_order_relaxed) == known->seq;
}

int vcpu_read_known(struct vcpu *vcpu, enum known_use use, gpa_t gpa, void *buf, size_t len)
{
	struct known_page *known = &vcpu->known[use];
	struct vm *vm = vcpu->vm;
	unsigned int phase;
	bool good;

	if (known->gpa == (ALIGN_DOWN(gpa, PAGE_SIZE) | KNOWN_PAGE) && slots_read_try(vm, &phase)) {
		spin_lock(&vm->vmx.lock);
		good = is_good(vm, known);
		if (likely(good))
			access_read_bytes((u8 *)phys_to_virt(known->hpa) + gpa % PAGE_SIZE, buf,
					  len);
		spin_unlock(&vm->vmx.lock);
		slots_read_end(vm, phase);
		if (likely(good))
			return 0;
	}
	return vcpu_read_noting(vcpu, gpa, buf, len, known);
}
