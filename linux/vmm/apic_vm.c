/* SPDX-License-Identifier: GPL-2.0-only */
/* What KVM makes of experiment `apic`'s VM, see lab/apic.h; and its APIC-access page. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/host/errno.h"
#include "linux/vmm/apic.h"

#define MAX_MAPPINGS 16
#define KNOB_RETRY   "kvm_intel.break_apic_retry"
#define KNOB_FLUSH   "kvm_intel.break_apic_flush"

/* --- what the kernel does --------------------------------------------------------------------- */

static bool is_on(const char *param)
{
	u64 value;

	return !kvm_param_get(param, &value) && value;
}

/*
 * APICv is all or nothing for KVM, and every CPU that has it virtualizes x2APIC mode as well. With
 * less KVM leaves CR8 to the CPU, and decodes every other access: it does not map the page.
 */
u32 apic_rung(void)
{
	if (is_on("kvm_intel.enable_apicv"))
		return VMX_APIC_X2APIC;
	return is_on("kvm_intel.flexpriority") ? VMX_APIC_TPR : VMX_APIC_EMULATE;
}

bool apic_knobs(void)
{
	u64 value;

	return !kvm_param_get(KNOB_RETRY, &value);
}

bool apic_needs_page(const char *name)
{
	if (apic_rung() >= VMX_APIC_ACCESS)
		return true;
	ktap_skip("KVM maps the APIC-access page only with APICv", "%s", name);
	return false;
}

bool apic_needs_knobs(const char *name)
{
	if (apic_knobs())
		return true;
	ktap_skip("no " KNOB_RETRY, "%s", name);
	return false;
}

bool apic_has_flush(enum apic_flush flush)
{
	return apic_knobs() ? flush != FLUSH_RELOAD : flush == FLUSH_BOTH;
}

void apic_switch_knobs(const struct apic_config *c)
{
	if (!apic_knobs())
		return;
	kvm_param_set(KNOB_RETRY, c && c->reload == RELOAD_NORETRY);
	kvm_param_set(KNOB_FLUSH, c && c->flush == FLUSH_BOTH);
}

u64 apic_stat(struct apic_vm *a, const char *name)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->config.vcpus; i++)
		sum += vcpu_stat(a->v[i].vcpu, name);
	return sum;
}

/* --- the page --------------------------------------------------------------------------------- */

static struct {
	void *before[MAX_MAPPINGS]; /* such mappings that were there before */
	unsigned int nr_before;
	u8 *hva; /* NULL: not found, or not looked for yet */
} page;

/* Single pages of shared anonymous memory. */
static unsigned int find_mappings(void **found)
{
	unsigned long start, end;
	unsigned int n = 0;
	char line[256], perms[5];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && n < MAX_MAPPINGS && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3 &&
		    end - start == PAGE_SIZE && !strcmp(perms, "rw-s") && strstr(line, "/dev/zero"))
			found[n++] = (void *)start;
	if (f)
		fclose(f);
	return n;
}

void apic_page_note(void)
{
	page.nr_before = find_mappings(page.before);
	page.hva = NULL;
}

static u8 *page_hva(void)
{
	void *now[MAX_MAPPINGS];
	unsigned int n = page.hva || apic_rung() < VMX_APIC_ACCESS ? 0 : find_mappings(now);

	for (unsigned int i = 0; i < n; i++) {
		unsigned int j = 0;

		while (j < page.nr_before && page.before[j] != now[i])
			j++;
		if (j == page.nr_before)
			page.hva = now[i];
	}
	return page.hva;
}

void apic_fill(struct apic_vm *a)
{
	u8 *hva = page_hva();

	if (hva)
		memset(hva, SENTINEL, PAGE_SIZE);
}

bool apic_written(struct apic_vm *a)
{
	const u8 *hva = page_hva();

	for (u32 i = 0; hva && i < PAGE_SIZE; i++)
		if (hva[i] != SENTINEL)
			return true;
	return false;
}

/* A hole in the memory behind the mapping: the next access allocates another page. */
int vm_move_apic_page(struct vm *vm, int fill)
{
	u8 *hva = page_hva();

	if (!hva)
		return -ENOENT;
	if (madvise(hva, PAGE_SIZE, MADV_REMOVE))
		return -ENOMEM;
	if (fill >= 0)
		memset(hva, fill, PAGE_SIZE);
	return 0;
}

/* --- the VM ----------------------------------------------------------------------------------- */

static u32 version; /* the same for all */

u32 apic_version(struct apic_vm *a, u32 i)
{
	struct kvm_lapic_state state;

	/* A vCPU that runs cannot be asked. */
	if (!version && !vcpu_ioctl(a->v[i].vcpu, KVM_GET_LAPIC, &state))
		version = *(const u32 *)(const void *)(state.regs + LAPIC_VERSION);
	return version;
}

int apic_vm_setup(struct apic_vm *a)
{
	apic_switch_knobs(&a->config);
	apic_page_note();
	return tiny_map_ram(&a->tiny, &a->ram);
}

void apic_left(struct apic_vcpu *v)
{
	atomic_fetch_add(&v->left, 1);
}

void apic_take_counters(struct apic_vm *a, struct apic_storm *s)
{
	s->flushes = apic_stat(a, "tlb_flush") - s->flushes;
}
