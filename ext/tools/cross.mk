# ARCH=arm64: the same sources for 64-bit ARM, by Debian's cross compiler with the distribution's
# libraries for it unpacked beside (ROOT; no root, nothing is installed into the machine). Tests run
# under an emulator, qemu-user:
#
#   make test ARCH=arm64 SUITES='unit sql oracle'
#
# On a machine that is one, plain `make` builds for it.

# Asked once, and only where it is needed: aarch64-linux-gnu and its first word.
TRIPLET = $(eval TRIPLET := $(shell dpkg-architecture $(ARCH:%=-a%) -qDEB_HOST_MULTIARCH))$(TRIPLET)
MACHINE = $(firstword $(subst -, ,$(TRIPLET)))
ifneq ($(ARCH),)
# Objects of two architectures in one folder would be taken for each other.
$(if $(findstring $(ARCH),$(BUILD)),,$(error BUILD=$(BUILD) with ARCH=$(ARCH): give a folder with $(ARCH) in its name))
CC := $(TRIPLET)-gcc
CXX := $(TRIPLET)-g++
OBJCOPY := $(TRIPLET)-objcopy
AR := $(TRIPLET)-ar
RANLIB := $(TRIPLET)-ranlib
CODEGEN += --sysroot=$(ROOT)
EMULATOR := qemu-$(MACHINE)-static -L $(ROOT)

# gcc 12 for this target fails on a twin's sum (an error inside its vectoriser).
$(BUILD)/tests/tests/unit/%.o: CODEGEN += -fno-tree-vectorize

# The emulated shell and Python, first in PATH for the tests.
$(BUILD)/bin/%: $(BUILD)/deps.mk ext/tools/cross.mk
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nexport PYTHONPATH=%s\nexec %s %s "$$@"\n' '$(ROOT)/usr/lib/python3/dist-packages' \
	    '$(EMULATOR)' '$(ROOT)/usr/bin/$*' >$@
	@chmod +x $@
EMULATED := $(BUILD)/bin/sqlite3 $(BUILD)/bin/python3
test: export EMULATOR := $(EMULATOR)
test: export PATH := $(abspath $(BUILD)/bin):$(PATH)
test: export PYTHON := $(abspath $(BUILD)/bin/python3)
endif
