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
#include "lab/guest.h"

static const struct param_spec guest_spec[] = {
	PARAM_TEXT("program", 1, 255, "hello", "an embedded guest's name, or the path of a file"),
	GUEST_PARAMS,
	GUEST_SECONDS,
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
	guest_read_params(params, &config);
	err = vmm_run(&config, &result);
	guest_end(err, &result);
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
