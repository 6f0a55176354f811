# SPDX-License-Identifier: GPL-2.0-only
# Builds the image, the guests, the boot media and the host tests. Users call ./stillpoint.
#
#   make                     build/stillpoint.elf and everything that boots it
#   make CC=clang BUILD=...  the same with clang, elsewhere
#   make unit fuzz lint      what ./stillpoint check runs
#   make V=1                 show the commands

CC	?= gcc
ifeq ($(origin CC),default)
CC	:= gcc
endif
BUILD	?= build
V	?= 0
Q	:= $(if $(filter 1,$(V)),,@)

OBJCOPY	?= objcopy
NM	?= nm
PYTHON	?= python3

# A flag is used only when the compiler knows it, so that a newer or older one still builds.
probe	= $(shell $(CC) -Werror $(1) -x c -c -o /dev/null /dev/null 2>/dev/null && echo $(1))

WARN	:= -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	   -Wold-style-definition -Wundef -Wpointer-arith -Wwrite-strings -Wno-unused-parameter \
	   -Wvla -Wimplicit-fallthrough
WARN	+= $(call probe,-Wlogical-op) $(call probe,-Wduplicated-cond) \
	   $(call probe,-Wno-address-of-packed-member)

FREESTANDING := -std=gnu11 -ffreestanding -fno-common -fno-strict-aliasing -fno-pic -fno-pie \
	   -fno-stack-protector -fno-asynchronous-unwind-tables -fno-omit-frame-pointer \
	   -mno-sse -mno-mmx -mno-80387 -msoft-float -mgeneral-regs-only -mno-red-zone
FREESTANDING += $(call probe,-momit-leaf-frame-pointer) $(call probe,-fcf-protection=none) $(call probe,-fno-tree-vectorize) \
	   $(call probe,-mno-avx) $(call probe,-falign-functions=16)

# A section for each function and object: the link leaves out what nobody uses.
CFLAGS	:= -m64 -g -ffunction-sections -fdata-sections $(FREESTANDING) -mcmodel=kernel $(WARN) -I. -I$(BUILD)/gen
ASFLAGS	:= -m64 -g -I. -I$(BUILD)/gen -D__ASSEMBLY__
LDFLAGS	:= -m64 -Wl,--gc-sections -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack \
	   -Wl,-z,max-page-size=64 $(call probe,-Wl,--no-warn-rwx-segments)

.DELETE_ON_ERROR:
.SECONDEXPANSION:
.PHONY: all clean
all: $(BUILD)/stillpoint.elf

include boot/Makefile
include guest/Makefile
include linux/Makefile
include tests/Makefile

# --- the image -----------------------------------------------------------------------------------

DIRS	:= boot hv/host hv/vm hv/dev vmx lab
SRCS	:= $(filter-out $(BOOT_SEPARATE) vmx/offsets.c,$(wildcard $(addsuffix /*.c,$(DIRS)) \
	   $(addsuffix /*.S,$(DIRS))))
SRCS	+= guest/embed.c guest/embed.S
OBJS	:= $(patsubst %,$(BUILD)/%.o,$(SRCS))

# What vCPUs and those who wait for them go through is compiled for speed; all else, which is most of
# the image, for size.
FAST	:= $(addprefix hv/vm/,apic_page backing backing_access backing_fill block fault inject invalidate io kick known \
	   lapic lapic_ipi lapic_regs missing msr pause readers run slot_set slots slots_change \
	   slots_step wait walk) \
	   $(addprefix vmx/,enter ept ept_pages ept_range ept_unlink event floor lazy load skip) \
	   $(addprefix hv/host/,apic mutex thread trace wait) $(addprefix hv/dev/,board bus serial) lab/exits_guest lab/missing_vmm lab/missing_memory
optimize = $(if $(filter $(FAST),$(1)),-O2 $(UNPADDED),$(SMALL))
SMALL	:= -Os $(call probe,-Oz) -fno-align-functions $(call probe,-mpreferred-stack-boundary=3)
UNPADDED := $(call probe,-fno-align-jumps) $(call probe,-fno-align-loops) $(call probe,-fno-align-labels)

# Offsets that assembly needs come from the compiler, never typed by hand.
$(BUILD)/gen/offsets.h: vmx/offsets.c
	@mkdir -p $(@D)
	@echo "  GEN     $@"
	$(Q)$(CC) $(CFLAGS) -MMD -MP -MT $@ -MF $(BUILD)/gen/offsets.d -S -o $(BUILD)/gen/offsets.s $<
	$(Q)sed -n 's/.*->\([A-Z0-9_]*\) \$$*\([-0-9]*\).*/#define \1 \2/p' $(BUILD)/gen/offsets.s > $@

$(BUILD)/%.c.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CFLAGS) $(call optimize,$*) -MMD -MP -c -o $@ $<

$(BUILD)/%.S.o: %.S Makefile | $(BUILD)/gen/offsets.h
	@mkdir -p $(@D)
	@echo "  AS      $<"
	$(Q)$(CC) $(ASFLAGS) -MMD -MP -c -o $@ $<

# Linked twice: the first link gives the addresses for the symbol table of the second.
$(BUILD)/stillpoint.elf: linker.ld $(OBJS) tools/ksyms.sh
	@echo "  LD      $@"
	$(Q)sh tools/ksyms.sh /dev/null > $(BUILD)/ksyms0.S
	$(Q)$(CC) $(ASFLAGS) -c -o $(BUILD)/ksyms0.o $(BUILD)/ksyms0.S
	$(Q)$(CC) $(LDFLAGS) -T linker.ld -o $(BUILD)/stillpoint.pass1 $(OBJS) $(BUILD)/ksyms0.o
	$(Q)$(NM) -n $(BUILD)/stillpoint.pass1 > $(BUILD)/ksyms.nm
	$(Q)sh tools/ksyms.sh $(BUILD)/ksyms.nm > $(BUILD)/ksyms.S
	$(Q)$(CC) $(ASFLAGS) -c -o $(BUILD)/ksyms.o $(BUILD)/ksyms.S
	$(Q)$(CC) $(LDFLAGS) -Wl,-Map=$(BUILD)/stillpoint.map -T linker.ld -o $@ $(OBJS) $(BUILD)/ksyms.o

clean:
	rm -rf $(BUILD)

-include $(OBJS:.o=.d) $(BUILD)/gen/offsets.d
