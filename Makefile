# gfapi-fd: `make` builds into build/, `make demo` shows a backup and a restore, `make unit` and `make test` run the tests, `make soak`
# runs every test case, `make bench` measures, `make fuzz` runs fuzzers on the parsers.
# The first run of each installs missing packages (scripts/setup lists them). docs/testing.md describes the tests.

PREFIX ?= /usr
# The folder from which Bareos's file daemon loads plugins; empty: do not install the module there. BACULA_PLUGINS: the same for Bacula.
BAREOS_PLUGINS ?= $(PREFIX)/lib/bareos/plugins
BACULA_PLUGINS ?=
# The folder of Bareos's configuration. It gets the examples as *.conf.example, which no daemon reads; empty: do not install them.
BAREOS_CONFIG ?= /etc/bareos
# The folder of the daemons' scripts.
SCRIPTS ?= $(PREFIX)/lib/bareos/scripts
DESTDIR ?=

SWIFT ?= swift
BUILD = build
PROGRAMS = gfapi-fd bareos-glusterfind-wrapper bareos-gluster-storage

# make test SANITIZE=address, thread or undefined: builds everything with that sanitizer and runs the tests with it.
# undefined: only for C code; Swift itself ends a program on overflow. thread: see Sources/Locks.
# address: its runtime intercepts calls of libtirpc, and must find that library when a program starts, not when libgfchangelog is loaded.
SANITIZE =
SANITIZE_address = --sanitize=address -Xlinker --no-as-needed -Xlinker -l:libtirpc.so.3
SANITIZE_thread = --sanitize=thread -Xswiftc -DGFAPI_FD_THREAD_SANITIZER -Xlinker --export-dynamic
SANITIZE_undefined = -Xcc -fsanitize=undefined -Xcc -fsanitize-trap=undefined
# Tests to skip. address: a daemon starts the wrapper, which has its own runtime. thread: libgfchangelog crashes with its runtime.
SKIP_address = BaculaTests/listed
SKIP_thread = GlusterfindTests|/listed
ifneq ($(SANITIZE),)
ifeq ($(SANITIZE_$(SANITIZE)),)
$(error SANITIZE=$(SANITIZE): address, thread or undefined)
endif
endif
ifeq ($(SANITIZE),)
# No program searches for libraries in its own folder, and none binds symbols late.
# Optimized across the rooms of the module, as far as the compiler can.
RELEASE = $(SWIFT) build -c release --static-swift-stdlib --disable-local-rpath -Xswiftc -cross-module-optimization \
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
# Bacula's daemon is not built with the sanitizer, so it preloads the runtime. libglusterfs leaks memory and switches stacks.
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

# The demo uses Bacula's daemons; with HOST=tool it uses the tool, which contains a small file daemon.
# HOST is not taken from the environment, where some shells keep the host's name.
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

# Runs the tests that need neither root nor a volume, in about a minute.
unit: setup
	$(STEP) "build of the tests" $(SWIFT) build --build-tests
	@scripts/run-tests unit

# Runs a step and records its time for the report of the next run.
STEP = @scripts/run-tests step
# Prepares the tests of volumes and daemons.
define prepare
$(STEP) "set-up" scripts/setup build scratch bacula deb lint
$(STEP) "build of the module and the programs" $(MAKE) --no-print-directory built
$(STEP) "build of the tests" $(SWIFT) build $(TEST_OPTIONS) --build-tests
endef

# The number of test groups that run at the same time.
JOBS = 5
RUN = scripts/run-tests --jobs $(JOBS) --program $(PROGRAM)

# The gate: all tests, in a quarter of an hour. FILTER='FaultTests|ListTests': only tests whose name matches, with what they need.
FILTER =
ifeq ($(FILTER)$(SANITIZE),)
test:
	$(prepare)
	@$(RUN) gate
else ifeq ($(SANITIZE),)
# A debug build, because a release build takes longer.
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

# Runs every test case. PART=faults: only one part. FILTER=FaultTests: only tests whose name matches. `scripts/run-tests list` lists all.
PART =
soak:
	$(prepare)
	@$(RUN) soak '$(PART)' '$(FILTER)'

# Measures time and memory in comparison with other programs. Takes three quarters of an hour, and needs a machine without other load.
# CASES="10,000 peak dispersed,": only cases whose name contains one of these words. BENCH_OPTIONS: see scripts/bench.
CASES =
bench: all
	@scripts/setup scratch bench
	$(RELEASE) --product gfapi-fd-bench
	@install -m 755 .build/release/gfapi-fd-bench $(BUILD)/
	@strip --strip-unneeded $(BUILD)/gfapi-fd-bench
	scripts/in-scratch --volumes plain -- scripts/bench $(foreach case,$(CASES),--case $(case)) $(BENCH_OPTIONS)

# Runs libFuzzer on each parser and decoder. FUZZ_OPTIONS: see scripts/fuzz.
FUZZ_OPTIONS =
fuzz: setup
	scripts/fuzz $(FUZZ_OPTIONS)

# Makes the man pages and the shell completions from the programs' help.
manual: all
	scripts/setup manual
	scripts/manual $(BUILD) $(BUILD)/share

SHARE = $(DESTDIR)$(PREFIX)/share
install: manual
	$(MAKE) install-built

# Installs what is already built, with the manual pages of `make manual`.
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
	# xxHash, whose header is compiled in, wants its licence with each program.
	sed '/\*\//q' "$$(pkg-config --variable=includedir libxxhash)/xxhash.h" >$(SHARE)/doc/gfapi-fd/xxhash.txt
	cp -R docs examples $(SHARE)/doc/gfapi-fd/
	$(if $(BAREOS_CONFIG),cd examples/bareos && for file in bareos-dir.d/*/*.conf bareos-sd.d/*/*.conf; do \
	  install -D -m 644 $$file $(DESTDIR)$(BAREOS_CONFIG)/$$file.example; done)
	install -d $(DESTDIR)$(SCRIPTS)
	install -m 755 $(BUILD)/bareos-glusterfind-wrapper $(BUILD)/bareos-gluster-storage $(DESTDIR)$(SCRIPTS)/
	$(if $(BAREOS_PLUGINS),install -d $(DESTDIR)$(BAREOS_PLUGINS) && install -m 644 $(BUILD)/gfapi-fd.so $(DESTDIR)$(BAREOS_PLUGINS)/)
	$(if $(BACULA_PLUGINS),install -d $(DESTDIR)$(BACULA_PLUGINS) && install -m 644 $(BUILD)/gfapi-fd.so $(DESTDIR)$(BACULA_PLUGINS)/)

# Makes Debian packages in build/deb.
deb: all
	scripts/setup deb
	$(MAKE) deb-built

# Packages what `make` has already built, so that programs are not replaced while tests run them.
deb-built:
	scripts/manual $(BUILD) $(BUILD)/share
	scripts/package $(BUILD)

# Makes RPM packages of the last commit in build/rpm. On Debian this only checks that the spec builds.
rpm: manual
	scripts/setup rpm
	scripts/rpm $(BUILD)

clean:
	rm -rf $(BUILD) .build
