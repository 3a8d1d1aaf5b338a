# make help tells what there is.

CARGO ?= cargo
INSTALL ?= install
NAME = libmod_progress.so
TARGET = $(or $(CARGO_TARGET_DIR),target)
BUILT = $(TARGET)/release/$(NAME)
# A name that only this module exports, to tell it from the C module.
MARK = MOD_PROGRESS_IN_RUST
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: all demo fuzz mutants verify install uninstall manual deb dist distcheck check test bench bench-quick soak client screenshots help

all: ## build the module: target/release/libmod_progress.so
	@NEED=ask scripts/need cc libclang
	$(CARGO) build --release --locked

$(BUILT):
	@echo "there is no $(BUILT) yet: run make first" >&2; exit 1

# The C module, if it is there, is kept beside ours, and comes back with `make uninstall`.
install: $(BUILT) ## install it where lighttpd2 loads modules from (or in MODULE_DIR=; DESTDIR= is put in front)
	@set -eu; dir="$${MODULE_DIR:-$$(scripts/module-dir)}"; to="$(DESTDIR)$$dir"; \
	$(INSTALL) -d "$$to"; \
	if [ -e "$$to/$(NAME)" ] && ! grep -q "$(MARK)" "$$to/$(NAME)"; then mv "$$to/$(NAME)" "$$to/$(NAME).orig"; fi; \
	$(INSTALL) -m 644 $(BUILT) "$$to/$(NAME)"; \
	echo "installed $$to/$(NAME)"

uninstall: ## remove it again, and bring back what was there before
	@set -eu; dir="$${MODULE_DIR:-$$(scripts/module-dir)}"; at="$(DESTDIR)$$dir/$(NAME)"; \
	if grep -qs "$(MARK)" "$$at"; then rm "$$at"; echo "removed $$at"; \
	elif [ -e "$$at" ] || [ ! -e "$$at.orig" ]; then echo "this module is not in $(DESTDIR)$$dir" >&2; exit 1; fi; \
	if [ -e "$$at.orig" ]; then mv "$$at.orig" "$$at"; echo "restored $$at"; fi

# README's sections, in the frame that docs/manual.md is.
manual: ## write the manual page, mod_progress(5): target/mod_progress.5
	@NEED=ask scripts/need pandoc
	@mkdir -p $(TARGET)
	@pandoc --standalone --to man --lua-filter docs/manual.lua --metadata footer="mod_progress $(VERSION)" \
		--output $(TARGET)/mod_progress.5 docs/manual.md

# By debhelper: it is in Debian, and knows what Debian's packages have to be like; cargo-deb would have to be built first.
deb: ## build a Debian package for a packaged lighttpd2 in target/deb/ (its modules are in MODULE_DIR)
	@NEED=ask scripts/need cc libclang debhelper pandoc
	@DEB_RULES_REQUIRES_ROOT=no DEB_DIRECTORY=$(TARGET)/deb debian/rules clean binary
	@debian/rules clean > /dev/null
	@echo "built $(TARGET)/deb/$$(sed -n 's/^Package: //p' debian/control)_$(VERSION)_$$(dpkg --print-architecture).deb"

dist: ## write the source archive of the commit, with the crates it needs, in target/dist/
	@scripts/dist $(TARGET)/dist

distcheck: ## write it, and build the module from it, without network
	@set -eu; archive="$$(scripts/dist $(TARGET)/dist)"; \
	scripts/test-dist "$$archive" sh -c 'make CARGO="cargo --offline --frozen" && grep -q $(MARK) target/release/$(NAME)'; \
	echo "$$archive builds without network"

check: ## format, lints and tests
	@NEED=ask scripts/need cc libclang
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --workspace --locked

# A browser and what packages need are only wanted; without them the tests that need them are skipped.
test: ## install what is missing, then run every check and test there is, and count them
	@scripts/need cc libclang lints
	@scripts/need chromium || echo "no browser: its tests will be skipped"
	@scripts/need debhelper pandoc || echo "no debhelper or pandoc: the package and the manual page will not be tested"
	@scripts/need valgrind || echo "no valgrind: one test of memory will be skipped"
	@NEED=$(if $(CI),install,ask) scripts/need engines || echo "no Redis or memcached: what hosts share by them will not be tested"
	@scripts/test

# What runs the module: the stand-in is built only where it is the host, by the choice of testkit/src/host.rs.
STAND_IN = $(if $(HOST),$(filter standin,$(HOST)),$(if $(LIGHTTPD2_WORKER),,$(shell scripts/module-dir > /dev/null 2>&1 || echo standin)))
# Built at once, the module's dependencies would have more features than `make` gives them, and be built once more.
BUILD_HOSTED = $(CARGO) build --release --locked && $(CARGO) build --release --locked $(addprefix -p ,$(STAND_IN))

verify: ## run for longer what the tests run for moments, for less than two hours; prints a table (docs/reliability.md)
	@scripts/verify

fuzz: ## give readers of what others write inputs for SECONDS= each (60), by what these reach; TARGETS= are all
	@scripts/fuzz $(or $(SECONDS),60) $(TARGETS)

mutants: ## change the core in a thousand places, one at a time, and see that its tests notice; takes an hour
	@scripts/mutants

demo: ## install what is missing, build, and serve a page with progress bars; prints its address
	@scripts/need cc libclang
	@echo "building the module and the demo; the first time takes a minute or two"
	@$(BUILD_HOSTED) -p demo
	@PORT="$(or $(PORT),0)" $(if $(RATE),RATE="$(RATE)") $(if $(ENGINE),ENGINE="$(ENGINE)") $(TARGET)/release/demo

# They are made by a test; this keeps them for the documentation.
SCREENSHOTS = $(TARGET)/tmp/screenshots
screenshots: ## make docs/screenshots/ anew
	@$(CARGO) test --locked -p demo --test suite -- screenshots::
	@mkdir -p docs/screenshots && cp $(SCREENSHOTS)/*.png docs/screenshots/
	@if command -v pngquant > /dev/null; then pngquant --force --ext .png --strip 128 docs/screenshots/*.png; \
	else echo "pngquant would make them less than half as large" >&2; fi

# Ends with the table alone, which needs no host.
bench: bench-hosts ## measure the module beside what else there is, for half an hour; report in target/bench/
	@$(TARGET)/release/comparison
	@$(CARGO) bench --locked -p progress --bench table

bench-quick: bench-hosts ## the same in three minutes, not for quoting
	@$(TARGET)/release/comparison --quick

soak: bench-hosts ## put a host under mixed load for MINUTES= (60): what it takes has to stay as it is; report in target/soak/
	@$(TARGET)/release/comparison --soak $(or $(MINUTES),60)

.PHONY: bench-hosts
bench-hosts:
	@scripts/need cc libclang
	@$(BUILD_HOSTED) -p comparison

# The module's text in a function that returns what it exports.
CLIENT = examples/upload/client/progress
client: ## write the plain script of the browser's client anew from the module
	@{ echo '// progress.mjs as a plain script, which defines modProgress; `make client` writes it.'; \
	echo 'var modProgress = (() => {'; echo '"use strict";'; sed 's/^export {/return {/' $(CLIENT).mjs; echo '})();'; } > $(CLIENT).js

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name what; do printf '%-16s %s\n' "make $$name" "$$what"; done
	@echo "variables: MODULE_DIR DESTDIR LIGHTTPD2_WORKER LIGHTTPD2_SOURCE LIGHTTPD2_BUILD HOST PORT RATE ENGINE SECONDS TARGETS MINUTES"
