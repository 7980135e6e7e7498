# Tests, demo, benchmarks, lint: included by the Makefile.

SUITES ?= lint unit sql docs oracle behaviour python hosts cluster fault asan
UNIT_OBJECTS := $(patsubst %.c,$(BUILD)/tests/%.o,$(wildcard tests/unit/*.c))

$(BUILD)/tests/%.o: %.c | $(BUILD)/deps.mk
	@mkdir -p $(@D)
	$(call SHOW,CC)$(CC) $(CSTD) $(CWARN) $(CODEGEN) -DSQLITE_CORE -MMD -MP -c $< -o $@
-include $(UNIT_OBJECTS:.o=.d)

$(BUILD)/tests/unit: $(UNIT_OBJECTS) $(HOUSE_OBJECTS) $(FAISS_LIBS)
	$(call SHOW,LINK)$(CC) $(CODEGEN) -o $@ $^ $(LIBS)

# The plug-in with a device that the CPU plays (tests/device/device.h), beside a copy of the
# extension.
DEVICE_FLAGS = -std=c++17 $(WARN) $(CODEGEN) -Itests/device -isystem $(FAISS_DIR)/include -fopenmp
$(BUILD)/tests/device/plugin.o: ext/ann/gpu_plugin.cpp
$(BUILD)/tests/device/faiss_state.o: ext/ann/faiss_state.cpp
$(BUILD)/tests/device/plugin.o $(BUILD)/tests/device/faiss_state.o: | $(BUILD)/deps.mk
	@mkdir -p $(@D)
	$(call SHOW,CXX)$(CXX) $(DEVICE_FLAGS) -MMD -MP -c $< -o $@
-include $(wildcard $(BUILD)/tests/device/*.d)
$(BUILD)/tests/device/recommend_gpu.so: $(BUILD)/tests/device/plugin.o \
    $(BUILD)/tests/device/faiss_state.o $(BUILD)/faiss/libfaiss.a ext/tools/gpu_exports.map
	$(call SHOW,LINK)$(CXX) -shared -o $@ $(filter %.o %.a,$^) $(CODEGEN) -lopenblas -lgomp \
	    -pthread -Wl,--version-script=ext/tools/gpu_exports.map -Wl,-Bsymbolic -Wl,-z,nodelete \
	    $(if $(SANITIZE),,-Wl,-z,defs)
$(BUILD)/tests/device/recommend.so: $(BUILD)/recommend.so
	@mkdir -p $(@D)
	@cp $< $@
DEVICE = $(BUILD)/tests/device/recommend.so $(BUILD)/tests/device/recommend_gpu.so

# What tests need beside the build: Debian's Python with NumPy and SciPy.
$(BUILD)/test-deps: ext/tools/deps.sh
	@ext/tools/deps.sh packages test
	@touch $@

test: all $(BUILD)/tests/unit $(BUILD)/tests/session $(DEVICE) $(BUILD)/test-deps $(EMULATED)
	@tests/run.sh $(BUILD) $(SUITES)

$(BUILD)/shop.db: sql/shop.sql data/online_retail.csv.gz
	@echo 'loading the sample shop ...'
	@rm -f $@ $@-*
	@mkdir -p $(@D)
	@sqlite3 $@ <sql/shop.sql >/dev/null
demo: all $(BUILD)/shop.db
	@cp $(BUILD)/shop.db $(BUILD)/demo.db
	@sqlite3 $(BUILD)/demo.db <sql/demo.sql

# A small shop in the browser, http://127.0.0.1:8000 (STOREFRONT_BIND=, STOREFRONT_WORKERS=).
$(BUILD)/storefront.db: $(BUILD)/shop.db docs/examples/storefront/prepare.sql \
    docs/examples/storefront/ordering.sql | $(BUILD)/recommend.so
	@rm -f $@ $@-* && cp $(BUILD)/shop.db $@.new
	@sqlite3 -cmd '.load $(BUILD)/recommend' $@.new <docs/examples/storefront/prepare.sql
	@sqlite3 -cmd '.load $(BUILD)/recommend' $@.new <docs/examples/storefront/ordering.sql && mv $@.new $@
storefront: all $(BUILD)/storefront.db
	@ext/tools/deps.sh packages storefront
	@RECOMMEND=$(abspath $(BUILD))/recommend STOREFRONT_DB=$(abspath $(BUILD))/storefront.db \
	    gunicorn --chdir docs/examples/storefront --config docs/examples/storefront/gunicorn.conf.py app:app
.PHONY: storefront

# A node of docs/examples/cluster, three of them with the sample shop, and what is killed.
$(BUILD)/cluster/node: docs/examples/cluster/node.c $(BUILD)/librecommend.a
	@ext/tools/deps.sh packages cluster
	@mkdir -p $(@D)
	$(call SHOW,LINK)$(CC) $(CSTD) $(CWARN) -O2 -o $@ $^ -ldqlite -lsqlite3 $(LIBS)
cluster: $(BUILD)/cluster/node $(BUILD)/shop.db
	@/usr/bin/python3 docs/examples/cluster/cluster.py up $< $(BUILD)/shop.db $(BUILD)/cluster/nodes
KILLS ?= 50
SILENCE ?= 1500
cluster-kills: all $(BUILD)/cluster/node $(BUILD)/shop.db $(BUILD)/test-deps
	@/usr/bin/python3 tests/cluster/kills.py $(BUILD)/cluster/node $(BUILD) $(KILLS) $(SILENCE)
# From the program of another state of the project, FROM=COMMIT, to this one.
cluster-upgrade: all $(BUILD)/cluster/node $(BUILD)/shop.db $(BUILD)/test-deps
	@[ -n "$(FROM)" ] || { echo 'cluster-upgrade needs FROM=COMMIT'; exit 1; }
	@rm -rf $(BUILD)/cluster/from && mkdir -p $(BUILD)/cluster/from
	@git archive $(FROM) | tar -x -C $(BUILD)/cluster/from
	@$(MAKE) --no-print-directory -C $(BUILD)/cluster/from build/librecommend.a >/dev/null
	@$(MAKE) --no-print-directory $(BUILD)/cluster/node-from NODE_OF=$(BUILD)/cluster/from/build/librecommend.a
	@/usr/bin/python3 tests/cluster/upgrade.py $(BUILD)/cluster/node-from $(BUILD)/cluster/node $(BUILD)
$(BUILD)/cluster/node-from: docs/examples/cluster/node.c $(NODE_OF)
	$(call SHOW,LINK)$(CC) $(CSTD) $(CWARN) -O2 -o $@ $^ -ldqlite -lsqlite3 $(LIBS)
.PHONY: cluster cluster-kills cluster-upgrade

# Lists a second by processes, over one file and over copies, beside docs/capacity.py.
bench-load: all $(BUILD)/shop.db $(BUILD)/test-deps
	@/usr/bin/python3 tests/bench/load.py $(BUILD)
.PHONY: bench-load

# tests/golden/spark_als, by Spark itself (needs the network once, and a Java).
golden-spark:
	@/usr/bin/python3 -m venv $(BUILD)/spark && $(BUILD)/spark/bin/pip install --quiet 'pyspark==3.5.*' numpy setuptools
	@$(BUILD)/spark/bin/python tests/golden/make_spark_als.py tests/golden/spark_als
.PHONY: golden-spark

# The storefront behind nginx under load, while versions are trained and go live.
bench-storefront: all $(BUILD)/storefront.db
	@ext/tools/deps.sh packages storefront
	@/usr/bin/python3 tests/bench/storefront.py $(BUILD)
.PHONY: bench-storefront

$(BUILD)/tests/serve: $(BUILD)/tests/tests/bench/serve.o $(CORE_OBJECTS) $(FAISS_LIBS)
	$(call SHOW,LINK)$(CC) $(CODEGEN) -o $@ $^ $(LIBS) -lsqlite3
# Every allocation failing in turn.
$(BUILD)/tests/session: $(BUILD)/tests/tests/fault/session.o $(CORE_OBJECTS) $(FAISS_LIBS)
	$(call SHOW,LINK)$(CC) $(CODEGEN) -o $@ $^ $(LIBS) -lsqlite3
-include $(BUILD)/tests/tests/fault/session.d
bench: all $(BUILD)/tests/serve $(BUILD)/test-deps
	@[ -f $(BUILD)/demo.db ] || $(MAKE) --no-print-directory demo >/dev/null
	@/usr/bin/python3 tests/bench/run.py $(BUILD)
# Vector search against its peers and the linked FAISS: options at the top of tests/bench/index.py.
# The program that asks FAISS itself has FAISS with our kernels but with its own printing, which
# writes its files.
$(BUILD)/tests/libfaiss.a: $(BUILD)/deps.mk
	@mkdir -p $(@D)
	$(call SHOW,FAISS)$(OBJCOPY) $(FAISS_WEAK:%=--weaken-symbol=%) $(FAISS_DIR)/lib/libfaiss.a $@
$(BUILD)/tests/tests/bench/index_raw.o: CSTD += -isystem $(FAISS_DIR)/include -isystem \
    $(FAISS_DIR)/include/faiss/c_api
$(BUILD)/tests/tests/bench/index_raw.o: CODEGEN += -O3
$(BUILD)/tests/index_raw: $(BUILD)/tests/tests/bench/index_raw.o $(HOUSE_OBJECTS) \
    $(BUILD)/faiss/libfaiss_c.a $(BUILD)/tests/libfaiss.a
	$(call SHOW,LINK)$(CC) $(CODEGEN) -o $@ $^ $(LIBS) -lsqlite3
bench-index: all $(BUILD)/tests/index_raw $(BUILD)/test-deps
	@/usr/bin/python3 tests/bench/index.py $(BUILD)
.PHONY: bench-index
# Recommenders beside PyPI's implicit: sections at the top of tests/bench/models.py.
bench-models: all $(BUILD)/test-deps
	@[ -n "$(REC_DATA)" ] || { echo 'bench-models needs REC_DATA=DIR with yelp2018'; exit 1; }
	@/usr/bin/python3 tests/bench/models.py $(BUILD) $(SECTION)
.PHONY: bench-models
# rec_estimate beside the trainings that it foretells.
bench-estimate: all $(BUILD)/shop.db $(BUILD)/test-deps
	@/usr/bin/python3 tests/bench/estimate.py $(BUILD) $(SECTION)
.PHONY: bench-estimate
# A training pass of sequence beside PyTorch, and its lists.
bench-sequence: all $(BUILD)/test-deps
	@[ -n "$(REC_DATA)" ] || { echo 'bench-sequence needs REC_DATA=DIR with amazon-sequences'; exit 1; }
	@/usr/bin/python3 tests/bench/sequence.py $(BUILD) $(SECTION)
.PHONY: bench-sequence
# Texts a second beside the transformers library, where PyTorch is installed (python3-torch).
TEXT_PACKAGES := transformers==4.30.2 numpy==1.26.4
$(BUILD)/text-packages/ready: tests/tests.mk
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --target $(@D) \
	    $(TEXT_PACKAGES)
	@touch $@
bench-texts: all $(BUILD)/shop.db $(BUILD)/encoder/ready $(BUILD)/text-packages/ready
	@PYTHONPATH=$(BUILD)/text-packages /usr/bin/python3 tests/bench/texts.py $(BUILD)
.PHONY: bench-texts
# Predictors beside scikit-learn, LightGBM and XGBoost: sections at the top of
# tests/bench/predictor.py.
PREDICTOR_PACKAGES := scikit-learn lightgbm xgboost-cpu
$(BUILD)/predictor-packages/ready: tests/tests.mk
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --target $(@D) \
	    $(PREDICTOR_PACKAGES)
	@touch $@
bench-predictors: all $(BUILD)/shop.db $(BUILD)/test-deps $(BUILD)/predictor-packages/ready
	@/usr/bin/python3 tests/bench/predictor.py $(BUILD) $(SECTION)
.PHONY: bench-predictors
# Metrics beside scikit-learn, evaluation, tuning: sections at the top of tests/bench/metrics.py.
bench-metrics: all $(BUILD)/test-deps $(BUILD)/golden-packages/ready
	@/usr/bin/python3 tests/bench/metrics.py $(BUILD) $(SECTION)
.PHONY: bench-metrics
# Long runs, not a part of `make test`. COUNT mutations of shadow rows, under AddressSanitizer and
# UBSan.
COUNT ?= 2000
SEED ?= 1
fuzz: $(BUILD)/test-deps
	@ext/tools/deps.sh packages fuzz
	@$(MAKE) --no-print-directory SANITIZE=1 build/asan/recommend.so
	@ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:exitcode=99 \
	    LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so) $$(gcc -print-file-name=libstdc++.so)" /usr/bin/python3 tests/fuzz/shadow_rows.py build/asan $(COUNT) $(SEED)
# The behaviour suite on the newest SQLite, which apsw (PyPI) carries: tests/newest/sqlite3.py.
NEWEST_PACKAGES := apsw==3.54.1.0
$(BUILD)/newest-packages/ready: tests/tests.mk
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --target $(@D) \
	    $(NEWEST_PACKAGES)
	@touch $@
test-newest: all $(DEVICE) $(BUILD)/test-deps $(BUILD)/newest-packages/ready
	@PYTHONPATH=tests/newest:$(BUILD)/newest-packages /usr/bin/python3 tests/behaviour/run.py \
	    $(BUILD) $(PART)
.PHONY: fuzz test-newest
lint: all $(BUILD)/test-deps
	@ext/tools/deps.sh packages lint
	@tests/lint.sh $(BUILD)
format:
	@ext/tools/deps.sh packages lint
	@clang-format -i ext/*/*.[ch] ext/*/*/*.[ch] ext/*/*.cpp tests/*/*.[ch] tests/*/*.cpp
.PHONY: format
fresh:
	@tests/fresh.sh
docs: all $(BUILD)/test-deps
	@/usr/bin/python3 docs/option_tables.py $(BUILD)
