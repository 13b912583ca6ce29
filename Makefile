# gfapi-fd: `make` builds into build/, `make demo` shows it at work, `make unit` and `make test` test it, `make soak` runs every
# test there is, `make bench` measures, `make fuzz` feeds the parsers with nonsense.
# The first run of any of them installs what is missing (scripts/setup says what). docs/testing.md tells of the tests.

PREFIX ?= /usr
# Where the daemons look for their plugins; empty: not installed there.
BAREOS_PLUGINS ?= $(PREFIX)/lib/bareos/plugins
BACULA_PLUGINS ?=
# Where the daemons' scripts are.
SCRIPTS ?= $(PREFIX)/lib/bareos/scripts
DESTDIR ?=

SWIFT ?= swift
BUILD = build
PROGRAMS = gfapi-fd bareos-glusterfind-wrapper bareos-gluster-storage

# make test SANITIZE=address, thread or undefined: all of it built with that sanitizer, and the tests run with it.
# undefined: of what is C; Swift itself ends a program that overflows. thread: see Sources/Locks.
# address: its runtime has calls of libtirpc's go by itself, and must find that when a program starts, not when libgfchangelog
# is loaded.
SANITIZE =
SANITIZE_address = --sanitize=address -Xlinker --no-as-needed -Xlinker -l:libtirpc.so.3
SANITIZE_thread = --sanitize=thread -Xswiftc -DGFAPI_FD_THREAD_SANITIZER -Xlinker --export-dynamic
SANITIZE_undefined = -Xcc -fsanitize=undefined -Xcc -fsanitize-trap=undefined
# address: there a daemon starts the wrapper, which has a runtime of its own. thread: libgfchangelog does not survive its runtime.
SKIP_address = BaculaTests/listed
SKIP_thread = GlusterfindTests|/listed
ifneq ($(SANITIZE),)
ifeq ($(SANITIZE_$(SANITIZE)),)
$(error SANITIZE=$(SANITIZE): address, thread or undefined)
endif
endif
ifeq ($(SANITIZE),)
# No program looks for libraries beside itself, and none binds them late.
RELEASE = $(SWIFT) build -c release --static-swift-stdlib --disable-local-rpath \
  -Xlinker -z -Xlinker relro -Xlinker -z -Xlinker now
PRODUCTS = .build/release
STRIP = strip --strip-unneeded
PROGRAM = .build/debug/gfapi-fdPackageTests.xctest
TEST_OPTIONS =
else
TEST_OPTIONS = $(SANITIZE_$(SANITIZE)) --scratch-path .build/$(SANITIZE)
RELEASE = $(SWIFT) build $(TEST_OPTIONS)
PRODUCTS = .build/$(SANITIZE)/debug
PROGRAM = $(PRODUCTS)/gfapi-fdPackageTests.xctest
STRIP = true
# Bacula's daemon is not built with it: it loads the sanitizer's runtime first. libglusterfs leaks, and switches stacks.
export GFAPI_FD_SANITIZE = $(SANITIZE)
export SWIFT_BACKTRACE = enable=no
export ASAN_OPTIONS = detect_leaks=0:handle_sigill=1:handle_sigtrap=1
export TSAN_OPTIONS = report_thread_leaks=0:exitcode=66:suppressions=$(CURDIR)/scripts/thread-sanitizer.supp
endif

.PHONY: all built setup demo unit test soak bench fuzz manual install install-built deb deb-built rpm clean

all: setup built

built:
	$(RELEASE) --product gfapi-fd-module
	$(foreach program,$(PROGRAMS),$(RELEASE) --product $(program) &&) true
	@mkdir -p $(BUILD)
	@install -m 755 $(PRODUCTS)/libgfapi-fd-module.so $(BUILD)/gfapi-fd.so
	@install -m 755 $(PROGRAMS:%=$(PRODUCTS)/%) $(BUILD)/
	@$(STRIP) $(BUILD)/gfapi-fd.so $(PROGRAMS:%=$(BUILD)/%)
	@echo "built: $(BUILD)/gfapi-fd.so $(PROGRAMS:%=$(BUILD)/%)"

setup:
	@scripts/setup build

# Through Bacula's daemons; HOST=tool: through the tool, which is a small file daemon itself.
# Not from the environment: some shells have their host's name there.
ifneq ($(origin HOST), command line)
HOST = bacula
endif

demo: all
	@scripts/setup scratch
	@host=$(HOST); \
	if [ "$$host" = bacula ] && ! scripts/setup bacula; then \
	  echo "demo: Bacula's packages cannot be installed here: the tool takes the daemon's place"; host=tool; \
	fi; \
	scripts/in-scratch --volumes plain -- scripts/demo "$$host"

# The tests that need neither root nor a volume: a minute.
unit: setup
	$(STEP) "build of the tests" $(SWIFT) build --build-tests
	@scripts/run-tests unit

# A step whose time the next run reports.
STEP = @scripts/run-tests step
# What the tests of volumes and daemons need.
define prepare
$(STEP) "set-up" scripts/setup build scratch bacula deb lint
$(STEP) "build of the module and the programs" $(MAKE) --no-print-directory built
$(STEP) "build of the tests" $(SWIFT) build $(TEST_OPTIONS) --build-tests
endef

# How many groups of tests run at once.
JOBS = 5
RUN = scripts/run-tests --jobs $(JOBS) --program $(PROGRAM)

# The gate: all of it in a quarter of an hour. With FILTER='FaultTests|ListTests' the tests whose name matches, with what they need.
FILTER =
ifeq ($(FILTER)$(SANITIZE),)
test:
	$(prepare)
	@$(RUN) gate
else ifeq ($(SANITIZE),)
# As it is built for debugging: without the time that a release build takes.
DEBUG = build/debug
test:
	$(STEP) "set-up" scripts/setup build scratch bacula
	$(STEP) "build of the tests" $(SWIFT) build --build-tests
	@mkdir -p $(DEBUG)
	@install -m 755 .build/debug/libgfapi-fd-module.so $(DEBUG)/gfapi-fd.so
	@install -m 755 $(PROGRAMS:%=.build/debug/%) $(DEBUG)/
	@GFAPI_FD_PRODUCTS=$(DEBUG) $(RUN) filter "$(FILTER)"
else
test:
	$(prepare)
	@$(RUN) $(if $(SKIP_$(SANITIZE)),--skip '$(SKIP_$(SANITIZE))') filter "$(or $(FILTER),.)"
endif

# Every case there is; PART=faults: of one part; FILTER=FaultTests: of the tests whose name matches. `scripts/run-tests list` names all.
PART =
soak:
	$(prepare)
	@$(RUN) soak '$(PART)' '$(FILTER)'

# Times and memory beside others, on a quiet machine: half an hour. CASES="10,000 peak": only cases with one of these words.
# BENCH_OPTIONS: see scripts/bench.
CASES =
bench: all
	@scripts/setup scratch
	$(RELEASE) --product gfapi-fd-bench
	@install -m 755 .build/release/gfapi-fd-bench $(BUILD)/
	@strip --strip-unneeded $(BUILD)/gfapi-fd-bench
	scripts/in-scratch --volumes plain -- scripts/bench $(foreach case,$(CASES),--case $(case)) $(BENCH_OPTIONS)

# What libFuzzer makes up for each parser and decoder. FUZZ_OPTIONS: see scripts/fuzz.
FUZZ_OPTIONS =
fuzz: setup
	scripts/fuzz $(FUZZ_OPTIONS)

# Man pages and completions, from what the programs say of themselves.
manual: all
	scripts/setup manual
	scripts/manual $(BUILD) $(BUILD)/share

SHARE = $(DESTDIR)$(PREFIX)/share
install: manual
	$(MAKE) install-built

# What `make manual` has made.
install-built:
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/gfapi-fd $(DESTDIR)$(PREFIX)/bin/gfapi-fd
	install -d $(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man8 $(SHARE)/doc/gfapi-fd
	install -m 644 $(BUILD)/share/man1/* $(SHARE)/man/man1/
	install -m 644 $(BUILD)/share/man5/* $(SHARE)/man/man5/
	install -m 644 $(BUILD)/share/man8/* $(SHARE)/man/man8/
	install -D -m 644 $(BUILD)/share/bash/gfapi-fd $(SHARE)/bash-completion/completions/gfapi-fd
	install -D -m 644 $(BUILD)/share/zsh/gfapi-fd $(SHARE)/zsh/vendor-completions/_gfapi-fd
	install -D -m 644 $(BUILD)/share/fish/gfapi-fd $(SHARE)/fish/vendor_completions.d/gfapi-fd.fish
	install -m 644 README.md CHANGELOG.md $(SHARE)/doc/gfapi-fd/
	cp -R docs examples $(SHARE)/doc/gfapi-fd/
	install -d $(DESTDIR)$(SCRIPTS)
	install -m 755 $(BUILD)/bareos-glusterfind-wrapper $(BUILD)/bareos-gluster-storage $(DESTDIR)$(SCRIPTS)/
	$(if $(BAREOS_PLUGINS),install -d $(DESTDIR)$(BAREOS_PLUGINS) && install -m 644 $(BUILD)/gfapi-fd.so $(DESTDIR)$(BAREOS_PLUGINS)/)
	$(if $(BACULA_PLUGINS),install -d $(DESTDIR)$(BACULA_PLUGINS) && install -m 644 $(BUILD)/gfapi-fd.so $(DESTDIR)$(BACULA_PLUGINS)/)

# Debian packages, into build/deb.
deb: all
	scripts/setup deb
	$(MAKE) deb-built

# Of what `make` has built: programs that tests run are not replaced under them.
deb-built:
	scripts/manual $(BUILD) $(BUILD)/share
	scripts/package $(BUILD)

# RPM packages of what is committed, into build/rpm. On Debian only to see that the spec builds.
rpm: manual
	scripts/setup rpm
	scripts/rpm $(BUILD)

clean:
	rm -rf $(BUILD) .build
