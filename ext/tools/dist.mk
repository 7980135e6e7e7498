# What is handed out: build/dist with the wheel, the source distribution and the Debian package.

DIST := $(BUILD)/dist
PYTHON_SOURCES := $(wildcard ext/python/* ext/python/sqlite_recommend/* ext/python/*/django/*)
WHEEL_TOOLS := auditwheel==6.6.0 packaging==25.0 setuptools==80.9.0 wheel==0.45.1

# The wheel as it is built, for this machine: $(DIST)/raw/.
$(DIST)/raw/built: $(PORTABLE)/recommend.so $(PYTHON_SOURCES) sql/shop.sql VERSION
	@ext/tools/deps.sh packages dist
	@rm -rf $(DIST)/raw $(DIST)/stage && mkdir -p $(DIST)/raw $(DIST)/stage
	@cp -r ext/python $(DIST)/stage/python
	@$(if $(ARCH),_PYTHON_HOST_PLATFORM=linux-$(MACHINE)) \
	    RECOMMEND_SO=$(abspath $(PORTABLE)/recommend.so) RECOMMEND_SOURCE=$(CURDIR) \
	    /usr/bin/python3 -m pip wheel --quiet --no-deps --no-build-isolation --no-index \
	    --wheel-dir $(DIST)/raw $(DIST)/stage/python
	@touch $@

# The same with the tag that auditwheel finds it worth (needs the network once).
$(DIST)/tools/ready: ext/tools/dist.mk
	@rm -rf $(@D)
	@/usr/bin/python3 -m pip install --quiet --root-user-action=ignore --target $(@D) $(WHEEL_TOOLS)
	@touch $@
wheel: $(DIST)/raw/built $(DIST)/tools/ready
	@rm -f $(DIST)/*.whl
	@PYTHONPATH=$(DIST)/tools /usr/bin/python3 -m auditwheel repair --wheel-dir $(DIST) \
	    $(DIST)/raw/*.whl
	@ls $(DIST)/*.whl

# The package with the checkout's files as source/: built where Debian 12 is.
sdist: $(DIST)/tools/ready
	@rm -rf $(DIST)/sdist && mkdir -p $(DIST)/sdist
	@cp -r ext/python $(DIST)/sdist/python
	@mkdir $(DIST)/sdist/python/source
	@git ls-files -z | tar --null -T - -cf - | tar -xf - -C $(DIST)/sdist/python/source
	@cd $(DIST)/sdist/python && PYTHONPATH=$(abspath $(DIST)/tools) /usr/bin/python3 setup.py --quiet \
	    sdist --dist-dir $(abspath $(DIST)) >/dev/null
	@ls $(DIST)/*.tar.gz

# For Debian 12 and its kin, with the distribution's libraries.
deb: $(BUILD)/recommend.so
	@[ -z "$(ARCH)" ] || { echo "deb: the package is built on a machine of its architecture"; exit 1; }
	@ext/tools/deb.sh $(BUILD) $(VERSION)

dist: wheel $(if $(ARCH),,sdist deb)
.PHONY: dist wheel sdist deb
# Both where other packages and other distributions are (needs root and the network).
test-dist: wheel deb
	@tests/python/far.sh $(BUILD)
.PHONY: test-dist
