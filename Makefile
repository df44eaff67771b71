# make serve: Apache on 127.0.0.1:8000 with the examples. make test: all tests. Both install what is missing (Debian 12 and 13).

# Pythons to build a runtime for.
PYTHONS ?= /usr/bin/python3
PORT ?= 8000
APXS ?= apxs
PREFIX ?=
DESTDIR ?=
# target/, if Apache's user can read it there.
ifndef CARGO_TARGET_DIR
CARGO_TARGET_DIR := $(shell tools/target-dir.sh)
endif
export APXS CARGO_TARGET_DIR

.PHONY: all setup build build-debug serve test test-long test-pythons fuzz check install clean

all: build

setup:
	tools/setup.sh

build: setup
	tools/build.sh release $(PYTHONS)

build-debug: setup
	tools/build.sh debug $(PYTHONS)

serve: build
	PORT=$(PORT) tools/serve.sh

test: build-debug
	tools/test.sh $(PYTHONS)

# The same with 30 seconds of load where `make test` has a few, requests of up to 8 seconds while processes are replaced,
# and 500 graceful restarts in search of leaks.
test-long: build-debug
	WSGI_LONG=1 WSGI_LOAD_SECONDS=30 tools/test.sh $(PYTHONS)

# Several Pythons in one Apache, in a tree of Debian sid under target/sid. As root.
test-pythons:
	tools/test-pythons.sh

# Every decoder and parser with inputs made up by libFuzzer, FUZZ_SECONDS (60) for each target; FUZZ_TARGETS names some of them.
fuzz: setup
	tools/fuzz.sh $(FUZZ_TARGETS)

check: setup
	tools/check.sh $(PYTHONS)

# What `make build` built: often as root, who has no cargo.
install:
	DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) tools/install.sh

clean:
	rm -rf $(CARGO_TARGET_DIR) examples/.run
