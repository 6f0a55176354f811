/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `migrate`: what a vCPU needs to execute its next instruction, or to take an interrupt
 * instead: the tables that translate RIP and RSP, and the pages of both; those of IDT and GDT. They
 * are sent with the state, or each would cost two latencies before the guest has moved at all.
 */
#include "hv/host/mem.h"
#include "hv/host/x86.h"
#include "lab/migrate.h"

#define PTE_P	      BIT(0)
#define PTE_PS	      BIT(7)
#define PTE_FRAME     (BIT(52) - PAGE_SIZE)
#define LEVEL_SHIFT   9
#define LEVEL_ENTRIES BIT(LEVEL_SHIFT)
#define TOP_SHIFT     (PAGE_SHIFT + 3 * LEVEL_SHIFT)
#define INSN_MAX      15
#define IDT_SIZE      (256 * 16)

static void send_gpa(struct migration *m, gpa_t gpa)
{
	u64 page;

	if (migrate_page_of(m, gpa, &page) && !migrate_bit(m->sent, page) &&
	    migrate_send_page(m, page, true))
		m->result.number[NUMBER_WITH_STATE]++;
}

/* The source is held, and its memory does not move: an entry is read where it lies. */
static u64 entry_at(struct migration *m, gpa_t gpa)
{
	struct backing_page at;
	u64 page;

	if (!migrate_page_of(m, gpa, &page) || !backing_look(m->source.mem, page * PAGE_SIZE, &at))
		return 0;
	return *(const u64 *)phys_to_virt(at.hpa + gpa % PAGE_SIZE);
}

/* The last page, of whatever size, that was walked to: most of what is sent lies in the same one.
 */
struct found {
	u64 cr3, va, size; /* 0: none */
	gpa_t gpa;
};

/* With four levels; others have their pages asked for. Returns whether there is one. */
static bool walk(struct migration *m, struct found *f, u64 cr3, u64 va)
{
	u64 entry = cr3;

	for (unsigned int shift = TOP_SHIFT;; shift -= LEVEL_SHIFT) {
		gpa_t table = entry & PTE_FRAME;

		entry = entry_at(m, table + (va >> shift) % LEVEL_ENTRIES * sizeof(entry));
		send_gpa(m, table);
		if (!(entry & PTE_P))
			return false;
		if (shift > PAGE_SHIFT && (shift == TOP_SHIFT || !(entry & PTE_PS)))
			continue;
		*f = (struct found){ cr3, ALIGN_DOWN(va, BIT(shift)), BIT(shift),
				     ALIGN_DOWN(entry & PTE_FRAME, BIT(shift)) };
		return true;
	}
}

static void send_linear(struct migration *m, struct found *f, u64 cr3, u64 va)
{
	if ((cr3 == f->cr3 && va - f->va < f->size) || walk(m, f, cr3, va))
		send_gpa(m, f->gpa + (va - f->va));
}

void migrate_send_hot(struct migration *m)
{
	struct found f = { .size = 0 };

	for (u32 i = 0; i < m->config.vcpus; i++) {
		const struct vmx_state *s = &m->state[i].cpu;

		if (!(s->cr0 & CR0_PG) || !(s->efer & EFER_LMA))
			continue;
		send_linear(m, &f, s->cr3, s->rip);
		if (s->rip % PAGE_SIZE > PAGE_SIZE - INSN_MAX)
			send_linear(m, &f, s->cr3, s->rip + INSN_MAX);
		send_linear(m, &f, s->cr3, s->gpr[GPR_RSP] - sizeof(u64));
		send_linear(m, &f, s->cr3, s->base[TABLE_IDT]);
		send_linear(m, &f, s->cr3, s->base[TABLE_IDT] + IDT_SIZE - 1);
		send_linear(m, &f, s->cr3, s->base[TABLE_GDT]);
	}
}
