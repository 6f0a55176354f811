/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the entry checks share: the state of one vmcs_check() and how a rule is put. */
#ifndef VMX_CHECK_INTERNAL_H
#define VMX_CHECK_INTERNAL_H

#include "vmx/check.h"
#include "vmx/controls.h"
#include "vmx/vmcs_fields.h"

#define CR4_BIT_CET	BIT(23)
#define CR4_BIT_LAM_SUP BIT(28)

struct vmcs_check {
	const struct vmx_caps *caps;
	const struct vmcs_reader *r;
	vmcs_report *report;
	void *arg;
	unsigned int violations;

	/*
	 * The controls in force: bits this CPU does not have are left out (they are reported once,
	 * as such, and bring no further rules), secondary ones too while they are not activated.
	 */
	u32 ctl[NR_CTL];

	/* Guest state that many rules depend on. */
	u64 cr0, cr4, rflags;
	bool ia32e; /* the entry control says so */
	bool unrestricted;
	bool v8086;
	u32 event; /* VM_ENTRY_INTR_INFO, 0 when nothing is injected */
};

/* A field's value; 0 when this CPU has no such field. */
u64 vmcs_get(const struct vmcs_check *c, u32 field);

/* Report a violation; the value is the field's own, or @value where memory was looked at. */
void vmcs_violated(struct vmcs_check *c, u32 field, const char *rule);
void vmcs_violated_value(struct vmcs_check *c, u32 field, const char *rule, u64 value);

/*
 * Every rule is stated through VMCS_RULE(), with the words a reader gets when it is broken. A
 * hosted build also collects the words in a section, so that the unit test can show that it has
 * broken each rule once.
 */
#if __STDC_HOSTED__
#define VMCS_RULE_WORDS(words)                                                                     \
	do {                                                                                       \
		static const char *const rule_words_ __used __section("vmcs_rules") = words;       \
	} while (0)
#else
#define VMCS_RULE_WORDS(words) ((void)0)
#endif

#define VMCS_RULE(c, ok, field, words)                                                             \
	do {                                                                                       \
		VMCS_RULE_WORDS(words);                                                            \
		if (!(ok))                                                                         \
			vmcs_violated(c, field, words);                                            \
	} while (0)

/* A rule about memory that @field points to. */
#define VMCS_RULE_VALUE(c, ok, field, words, value)                                                \
	do {                                                                                       \
		VMCS_RULE_WORDS(words);                                                            \
		if (!(ok))                                                                         \
			vmcs_violated_value(c, field, words, value);                               \
	} while (0)

static inline bool vmcs_ctl(const struct vmcs_check *c, enum vmx_control_word word, u64 bits)
{
	return (c->ctl[word] & bits) == bits;
}

/* Bits of a physical address that this CPU does not have. */
static inline u64 vmcs_beyond_phys(const struct vmcs_check *c)
{
	return ~(BIT(c->caps->phys_bits) - 1);
}

/* Helpers that state a rule or two about one field. */
void vmcs_rule_page(struct vmcs_check *c, u32 field);
void vmcs_rule_canonical(struct vmcs_check *c, u32 field);
void vmcs_rule_pat(struct vmcs_check *c, u32 field);
void vmcs_rule_efer(struct vmcs_check *c, u32 field);
void vmcs_rule_cr3(struct vmcs_check *c, u32 field);
void vmcs_rule_fixed(struct vmcs_check *c, u32 field, u64 must_be_1, u64 may_be_1);

/* The files. */
void vmcs_check_controls(struct vmcs_check *c);
void vmcs_check_event(struct vmcs_check *c);
void vmcs_check_host(struct vmcs_check *c);
void vmcs_check_guest(struct vmcs_check *c);
void vmcs_check_segments(struct vmcs_check *c);
void vmcs_check_nonregister(struct vmcs_check *c);

#endif
