/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control registers and XCR0: the accesses that exit. Most writes of CR0 and CR4 do not; those that
 * change a bit we own arrive here, and then everything the processor would have checked and done
 * for the whole register is ours. Source: Intel SDM, "Control Registers" and MOV to CR in the
 * instruction reference.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

COUNTER(apic_cr8_exits, "apic.cr8_exits", "accesses to CR8");

#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)
#define CR8_DEFINED	   0xfull
#define PDPTE_RESERVED_LOW 0x1e6ull /* bits 8:5 and 2:1 of a present PAE PDPTE */

/* Access rights of segments, as in struct vm_segment */
#define AR_TYPE	      0xfu
#define AR_TYPE_TSS16 0x3u /* busy */
#define AR_L	      BIT(13)

#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))

static bool is_code64(struct vmx_vcpu *v)
{
	struct vm_segment cs;

	vmx_get_segment(v, VSEG_CS, &cs);
	return (vmx_get(v, REG_EFER) & EFER_LMA) && (cs.access & AR_L);
}

/*
 * PAE paging outside long mode keeps four entries in the processor; reload them from memory.
 * -EFAULT for a #GP, other errors as vcpu_read(): callers have changed nothing yet.
 */
static int load_pdptrs(struct vcpu *vcpu, u64 cr3)
{
	u64 pdpte[4], reserved = PDPTE_RESERVED_LOW | ~(BIT(vmx_caps.phys_bits) - 1);
	int err = vcpu_read(vcpu, cr3 & 0xffffffe0ull, pdpte, sizeof(pdpte));

	if (err)
		return err;
	for (unsigned int i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return -EFAULT;
	vmx_set_pdptrs(&vcpu->vmx, pdpte);
	return 0;
}

static bool uses_pdptrs(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* Long mode starts from code that is not 64-bit yet, with PAE and without a 16-bit TSS. */
static bool may_activate_long_mode(struct vmx_vcpu *v, u64 cr4)
{
	struct vm_segment cs, tr;

	vmx_get_segment(v, VSEG_CS, &cs);
	vmx_get_segment(v, VSEG_TR, &tr);
	return (cr4 & CR4_PAE) && !(cs.access & AR_L) && (tr.access & AR_TYPE) != AR_TYPE_TSS16;
}

static int check_cr0(struct vmx_vcpu *v, u64 value, u64 efer, u64 cr4)
{
	if (value >> 32)
		return -EFAULT;
	if ((value & CR0_PG) && !(value & CR0_PE))
		return -EFAULT;
	if ((value & CR0_NW) && !(value & CR0_CD))
		return -EFAULT;
	if (!(value & CR0_PG))
		return is_code64(v) || (cr4 & CR4_PCIDE) ? -EFAULT : 0;
	if ((efer & EFER_LME) && !(efer & EFER_LMA))
		return may_activate_long_mode(v, cr4) ? 0 : -EFAULT;
	return 0;
}

static int write_cr0_guest(struct vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u64 efer = vmx_get(v, REG_EFER), cr4 = vmx_get(v, REG_CR4), old = vmx_get(v, REG_CR0);
	u64 new_efer = efer;
	int err = 0;

	if (check_cr0(v, value, efer, cr4))
		return -EFAULT;
	value = (value & CR0_DEFINED) | CR0_ET;
	if ((value & CR0_PG) && (efer & EFER_LME))
		new_efer |= EFER_LMA;
	if (!(value & CR0_PG))
		new_efer &= ~EFER_LMA;
	if (uses_pdptrs(value, cr4, new_efer) && (old ^ value) & (CR0_PG | CR0_CD | CR0_NW))
		err = load_pdptrs(vcpu, vmx_get(v, REG_CR3));
	if (err)
		return err;
	if (new_efer != efer)
		vmx_set(v, REG_EFER, new_efer);
	vmx_set(v, REG_CR0, value);
	if ((old ^ value) & (CR0_PG | CR0_WP))
		vmx_flush_guest(v);
	return 0;
}

static int write_cr3_guest(struct vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u64 efer = vmx_get(v, REG_EFER), cr4 = vmx_get(v, REG_CR4), cr0 = vmx_get(v, REG_CR0);
	bool keep = (cr4 & CR4_PCIDE) && (value & BIT(63));
	int err = 0;

	if (cr4 & CR4_PCIDE)
		value &= ~BIT(63);
	if ((efer & EFER_LMA) && (value & ~(BIT(vmx_caps.phys_bits) - 1)))
		return -EFAULT;
	if (!(efer & EFER_LMA))
		value = (u32)value;
	if (uses_pdptrs(cr0, cr4, efer))
		err = load_pdptrs(vcpu, value);
	if (err)
		return err;
	vmx_set(v, REG_CR3, value);
	if (!keep)
		vmx_flush_guest(v);
	return 0;
}

static int write_cr4_guest(struct vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u64 efer = vmx_get(v, REG_EFER), old = vmx_get(v, REG_CR4), cr3 = vmx_get(v, REG_CR3);
	int err = 0;

	if (value & ~vcpu->cr4_may)
		return -EFAULT;
	if ((efer & EFER_LMA) && !(value & CR4_PAE))
		return -EFAULT;
	if (!(old & CR4_PCIDE) && (value & CR4_PCIDE) && (!(efer & EFER_LMA) || (cr3 & 0xfff)))
		return -EFAULT;
	if (uses_pdptrs(vmx_get(v, REG_CR0), value, efer) &&
	    (old ^ value) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))
		err = load_pdptrs(vcpu, cr3);
	if (err)
		return err;
	vmx_set(v, REG_CR4, value);
	vcpu_cpuid_update(vcpu, value);
	if ((old ^ value) & ~(CR4_OSXSAVE | CR4_OSFXSR | CR4_OSXMMEXCPT))
		vmx_flush_guest(v);
	return 0;
}

static int write_cr(struct vcpu *vcpu, unsigned int cr, u64 value)
{
	switch (cr) {
	case 0: return write_cr0_guest(vcpu, value);
	case 3: return write_cr3_guest(vcpu, value);
	case 4: return write_cr4_guest(vcpu, value);
	case 8:
		if (value & ~CR8_DEFINED)
			return -EFAULT;
		lapic_set_tpr(vcpu, (u8)(value << 4));
		return 0;
	default: return -EFAULT;
	}
}

static u64 read_cr(struct vcpu *vcpu, unsigned int cr)
{
	return cr == 8 ? lapic_get_tpr(vcpu) >> 4 : vmx_get(&vcpu->vmx, REG_CR3);
}

int vcpu_handle_cr(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	const struct vm_exit *e = &v->exit;
	u64 cr0 = vmx_get(v, REG_CR0), value;
	int err = 0;

	if (e->cr.cr == 8)
		count(&apic_cr8_exits);
	switch (e->cr.kind) {
	case CR_WRITE:
		value = vmx_get_gpr(v, e->cr.gpr);
		err = write_cr(vcpu, e->cr.cr, is_code64(v) ? value : (u32)value);
		break;
	case CR_READ: vmx_set_gpr(v, e->cr.gpr, read_cr(vcpu, e->cr.cr)); break;
	case CR_CLTS: err = write_cr0_guest(vcpu, cr0 & ~CR0_TS); break;
	case CR_LMSW:
		/* PE can be set this way but not cleared. */
		value = (cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (e->cr.lmsw & 0xf);
		err = write_cr0_guest(vcpu, value);
		break;
	}
	if (err == -EFAULT)
		return vcpu_inject_error(vcpu, EXC_GP, 0);
	if (err)
		return vcpu_access_failed(vcpu, err, NULL);
	vmx_skip_instruction(v);
	return RESUME_GUEST;
}

bool vcpu_xcr0_is_valid(u64 value)
{
	if ((value & ~vmx_guest_xcr0_mask()) || !(value & XCR0_X87))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	return !(value & XCR0_AVX512) ||
	       ((value & XCR0_AVX512) == XCR0_AVX512 && (value & XCR0_AVX));
}

int vcpu_handle_xsetbv(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u64 value = v->gpr[GPR_RDX] << 32 | (u32)v->gpr[GPR_RAX];

	if ((u32)v->gpr[GPR_RCX] != 0 || !vcpu_xcr0_is_valid(value))
		return vcpu_inject_error(vcpu, EXC_GP, 0);
	vmx_set_xcr0(v, value);
	vcpu_cpuid_update(vcpu, vmx_get(v, REG_CR4));
	vmx_skip_instruction(v);
	return RESUME_GUEST;
}
