/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `guest` on KVM: run one program, of the embedded ones or from a file. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/machine.h"
#include "hv/host/string.h"
#include "lab/experiment.h"
#include "lab/vmm.h"

static const struct param_spec guest_spec[] = {
	PARAM_TEXT("program", 1, 255, "hello", "an embedded guest's name, or the path of a file"),
	PARAM_U64("mem", 2, 3072, 128, "guest memory in MiB"),
	PARAM_U64("cpus", 1, VM_MAX_VCPUS, 1, "vCPUs"),
	PARAM_TEXT("append", 0, 512, "", "the guest's command line"),
	PARAM_BOOL("populate", 0, "zero and map all of its memory before it starts"),
	PARAM_BOOL("x2apic", 1, "the guest's local APICs have x2APIC mode"),
	PARAM_U64("seconds", 0, 1000000, 0, "time limit in seconds of the TSC, 0: none"),
};

/* The file stays mapped: the run ends with the guest. */
static int map_file(const char *path, struct multiboot_image *image)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;
	void *p;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		err = -errno;
	} else if (!st.st_size) {
		err = -ENOEXEC;
	} else {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED)
			err = -errno;
		image->file = p;
		image->size = (size_t)st.st_size;
	}
	close(fd);
	return err;
}

static int find_program(struct vmm_config *config, const char *name, const char *append)
{
	int err = vmm_embedded(config, name, append);

	if (err != -ENOENT || !strchr(name, '/'))
		return err;
	config->image.name = name;
	config->image.append = append;
	return map_file(name, &config->image);
}

static void run_guest(const struct param_values *params)
{
	const char *program = param_text(params, "program");
	struct vmm_result result;
	struct vmm_config config;
	int err = find_program(&config, program, param_text(params, "append"));

	if (err)
		machine_exit(RUN_USAGE, "guest: program %s: %s", program, errno_name(err));
	config.ram = MIB(param_number(params, "mem"));
	config.cpus = (u32)param_number(params, "cpus");
	config.populate = param_number(params, "populate");
	config.hide_x2apic = !param_number(params, "x2apic");
	config.seconds = param_number(params, "seconds");
	err = vmm_run(&config, &result);
	if (err)
		machine_exit(RUN_USAGE, "guest: %s", result.why);
	machine_exit(result.status, "guest: %s", result.why);
}

EXPERIMENT(guest)
= {
	.name = "guest",
	.shows = "runs one multiboot1 program, and ends with its status",
	.flags = EXP_NEEDS_VMX | EXP_ON_REQUEST | EXP_ENDS_RUN,
	.spec = guest_spec,
	.nr_spec = ARRAY_SIZE(guest_spec),
	.run = run_guest,
};
