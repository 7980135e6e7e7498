# build/portable/recommend.so: the extension as one file with everything that it needs inside, for
# every distribution with glibc 2.27 or newer: the same objects, linked with static libraries and an
# older C library (docs/decisions/0019-one-file.md). What the wheel and other languages carry.

PORTABLE := $(BUILD)/portable
# Exists since 2.29 in another version; ext/tools/portable/missing.c has the one before.
PORTABLE_WRAPPED := exp exp2 log log2 pow
PORTABLE_ROOT = $(addprefix $(PORTABLE)/old/libc/,usr/lib/$(TRIPLET) lib/$(TRIPLET))
PORTABLE_STATIC := -lopenblas -ljansson -lmd -lsodium -lutf8proc -lstdc++

$(PORTABLE)/old: ext/tools/deps.sh
	@mkdir -p $(@D)
	@ext/tools/deps.sh packages dist
	@ln -sfn "$$(ext/tools/deps.sh portable)" $@.new && mv -T $@.new $@ && touch -h $@

$(PORTABLE)/%.o: ext/tools/portable/%.c
	@mkdir -p $(@D)
	$(call SHOW,CC)$(CC) $(CSTD) $(CWARN) $(CODEGEN) -c $< -o $@

$(PORTABLE)/recommend.so: $(LOADABLE_OBJECTS) $(FAISS_LIBS) $(PORTABLE)/openmp.o \
    $(PORTABLE)/missing.o ext/tools/exports.map ext/tools/portable.mk | $(PORTABLE)/old
	$(call SHOW,LINK)$(CC) -shared -o $@ $(LOADABLE_OBJECTS) $(FAISS_LIBS) $(PORTABLE)/openmp.o \
	    $(PORTABLE)/missing.o $(CODEGEN) --sysroot=$(PORTABLE)/old/libc \
	    -L$(PORTABLE)/old/lib $(PORTABLE_ROOT:%=-L%) $(ROOT:%=-L%/usr/lib/$(TRIPLET)) -Wl,-Bstatic $(PORTABLE_STATIC) -Wl,-Bdynamic -lm -ldl -pthread \
	    -shared-libgcc $(PORTABLE_WRAPPED:%=-Wl,--wrap=%) \
	    -Wl,--version-script=ext/tools/exports.map -Wl,--exclude-libs,ALL -Wl,-z,nodelete \
	    -Wl,-z,defs -Wl,--gc-sections -s

portable: $(PORTABLE)/recommend.so
.PHONY: portable
