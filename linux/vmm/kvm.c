/* SPDX-License-Identifier: GPL-2.0-only */
/* /dev/kvm itself: is it there, and what can it do. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "linux/vmm/vmm.h"

#define API_VERSION 12

#define MIN_TIMER_PERIOD "kvm.min_timer_period_us"
#define MIN_TIMER_TICKS	 20000

#define KVM_CAP_LATER	     231 /* KVM_CAP_USER_MEMORY2, 6.8 */
#define KVM_CAP_SERIES_FIRST KVM_CAP_EXIT_ON_MISSING
#define KVM_CAP_SERIES_LAST  KVM_CAP_MP_STATE_HALTED_USERSPACE

static int kvm_fd = -1;
static const char *why;
static bool pretend_off; /* vmx=locked-off */

static const char *describe(int err)
{
	switch (err) {
	case ENOENT:
	case ENODEV:
	case ENXIO: return "no /dev/kvm: the CPU lacks VMX or SVM, or firmware has locked it off";
	case EACCES:
	case EPERM: return "no right to open /dev/kvm";
	default: return "/dev/kvm cannot be opened";
	}
}

/* Without these there is no guest of ours. */
static const char *lacking(void)
{
	static const struct {
		int cap;
		const char *why;
	} needed[] = {
		{ KVM_CAP_USER_MEMORY, "/dev/kvm lacks KVM_CAP_USER_MEMORY" },
		{ KVM_CAP_EXT_CPUID, "/dev/kvm lacks KVM_CAP_EXT_CPUID" },
		{ KVM_CAP_IMMEDIATE_EXIT, "/dev/kvm lacks KVM_CAP_IMMEDIATE_EXIT" },
		{ KVM_CAP_MP_STATE, "/dev/kvm lacks KVM_CAP_MP_STATE" },
		{ KVM_CAP_SPLIT_IRQCHIP, "/dev/kvm lacks KVM_CAP_SPLIT_IRQCHIP" },
		{ KVM_CAP_SIGNAL_MSI, "/dev/kvm lacks KVM_CAP_SIGNAL_MSI" },
	};

	if (ioctl(kvm_fd, KVM_GET_API_VERSION, 0) != API_VERSION)
		return "/dev/kvm has another API than version 12";
	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++)
		if (kvm_has(needed[i].cap) <= 0)
			return needed[i].why;
	return NULL;
}

int kvm_open(void)
{
	if (pretend_off) {
		why = "no /dev/kvm: firmware has locked VMX off (vmx=locked-off)";
		return -ENODEV;
	}
	if (kvm_fd >= 0)
		return why ? -EOPNOTSUPP : kvm_fd;
	kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm_fd < 0) {
		why = describe(errno);
		return -errno;
	}
	why = lacking();
	return why ? -EOPNOTSUPP : kvm_fd;
}

const char *kvm_why(void)
{
	return why;
}

static int check_extension(int cap)
{
	int n = ioctl(kvm_fd, KVM_CHECK_EXTENSION, (long)cap);

	return n < 0 ? 0 : n;
}

/*
 * The series is for Linux 6.1. Later kernels give its numbers to other capabilities, beginning with
 * one of a lower number that 6.1 does not have.
 */
int kvm_has(int cap)
{
	if (cap >= KVM_CAP_SERIES_FIRST && cap <= KVM_CAP_SERIES_LAST &&
	    check_extension(KVM_CAP_LATER))
		return 0;
	return check_extension(cap);
}

bool kvm_is_patched(void)
{
	return kvm_open() >= 0 &&
	       (kvm_has(KVM_CAP_EXIT_ON_MISSING) || kvm_has(KVM_CAP_KICK_ALL_VCPUS) ||
		kvm_has(KVM_CAP_VCPU_POLL) || kvm_has(KVM_CAP_MP_STATE_HALTED_USERSPACE));
}

bool needs_cap_named(int cap, const char *cap_name, const char *name)
{
	char reason[64];

	if (kvm_has(cap))
		return true;
	fmt_print(reason, sizeof(reason), "no %s", cap_name);
	ktap_skip(reason, "%s", name);
	return false;
}

/* --- parameters of the modules ---------------------------------------------------------------- */

/* "kvm.halt_poll_ns" is /sys/module/kvm/parameters/halt_poll_ns. */
static int open_param(const char *name, int flags)
{
	const char *dot = strchr(name, '.');
	char path[160];
	int fd;

	if (!dot)
		return -EINVAL;
	fmt_print(path, sizeof(path), "/sys/module/%.*s/parameters/%s", (int)(dot - name), name,
		  dot + 1);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int kvm_param_get(const char *name, u64 *value)
{
	int fd = open_param(name, O_RDONLY);
	char text[32] = "";
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	if (strchr(text, '\n'))
		*strchr(text, '\n') = '\0';
	if (!strcmp(text, "Y") || !strcmp(text, "N")) {
		*value = text[0] == 'Y';
		return 0;
	}
	return parse_u64(text, value);
}

int kvm_param_set(const char *name, u64 value)
{
	int fd = open_param(name, O_WRONLY), err = 0;
	char text[32];
	int n;

	if (fd < 0)
		return fd;
	n = fmt_print(text, sizeof(text), "%llu", (unsigned long long)value);
	if (write(fd, text, (size_t)n) != n)
		err = -errno;
	close(fd);
	return err;
}

/* --- for lab/main.c --------------------------------------------------------------------------- */

static void raise_timer_period(void)
{
	u64 us = ticks_to_us(MIN_TIMER_TICKS), now;

	if (!kvm_param_get(MIN_TIMER_PERIOD, &now) && now < us &&
	    !kvm_param_set(MIN_TIMER_PERIOD, us))
		printk("# %s raised to %llu\n", MIN_TIMER_PERIOD, (unsigned long long)us);
}

/* "always madvise [never]": what is chosen is in brackets. */
static void allow_huge_pages(void)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	static const char choice[] = "madvise";
	char text[64] = "";
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && strstr(text, "[never]") &&
	    write(fd, choice, sizeof(choice) - 1) > 0)
		printk("# huge pages on request switched on\n");
	close(fd);
}

/*
 * What a machine of 10 MHz and a few hundred megabytes needs, where the user may change it. The
 * kernel lets a guest's periodic timer fire every 200 us, which is a fraction of what one interrupt
 * costs there: such a guest would do nothing else. And it switches huge pages off below 512 MB.
 */
static void adapt_kernel(void)
{
	raise_timer_period();
	allow_huge_pages();
}

int hv_init(const char **missing)
{
	int fd = kvm_open();

	*missing = kvm_why();
	if (fd < 0)
		return fd;
	adapt_kernel();
	return 0;
}

void vmx_pretend_locked_off(void)
{
	pretend_off = true;
}

/* How much of an APIC the CPU virtualizes is a parameter of the kernel's module here. */
int vm_default_apic(unsigned int rung)
{
	return -EOPNOTSUPP;
}

int vm_set_apic(struct vm *vm, unsigned int rung)
{
	return -EOPNOTSUPP;
}

const char *vmx_apic_rung_name(unsigned int rung)
{
	static const char *const names[] = { "emulate",	 "tpr",	     "access",
					     "register", "delivery", "x2apic" };

	return rung < ARRAY_SIZE(names) ? names[rung] : "?";
}

const char *vmx_apic_missing(unsigned int rung)
{
	return "choice of its own: KVM's module parameters have it";
}
