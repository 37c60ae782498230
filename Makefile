# The short way in; the work is done by scripts/ and CMake. `make help` lists what there is.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
export JOBS

# Everything the program is made from. Folders stand for files that went away.
SOURCES := CMakeLists.txt CMakePresets.json scripts/build \
           $(wildcard cmake/* include/* include/*/* src src/* src/*/*.c src/*/*.h src/*/*.def cli cli/*)
PROGRAM := build/release/driftless
DEMO := -n 64 --solver auto --nfe 10 --seed 0

# make install PREFIX=/usr DESTDIR=stage
PREFIX ?= /usr/local

.PHONY: help demo all install test test-quick test-train test-peers bench lint format docs clean \
        setup-demo setup-test

help:
	@echo 'make demo        install what is missing, build, draw 64 pictures to driftless-demo.png'
	@echo 'make all         install what is missing, build library and program in build/release'
	@echo 'make install     library, program, header, manual pages, model; to PREFIX (/usr/local),'
	@echo '                 under DESTDIR if that is set'
	@echo 'make test        every test: two compilers, sanitizers, lint, C and Python tests'
	@echo 'make test-quick  the C and Python tests of the release build'
	@echo 'make test-train  the tests of the training code; installs PyTorch'
	@echo 'make test-peers  against other programs; installs those and PyTorch'
	@echo 'make bench       timings against PyTorch and diffusers to docs/benchmarks.md; a quiet machine'
	@echo 'make lint        formatting, layers and sizes of the sources'
	@echo 'make format      format the C sources'
	@echo 'make docs        write docs/solvers/options.md anew'
	@echo 'make clean       remove build/ (with the private Python environment)'

# Nothing but the program itself runs when all is up to date: scripts/setup is done in milliseconds,
# and make itself sees that the program is newer than its sources.
demo: all
	@$(PROGRAM) sample models/fashion-vp $(DEMO) --model-cache build/model-cache \
	    -o driftless-demo.png

all: setup-demo
	@$(MAKE) -s --no-print-directory build/release/.built

install: all
	@DESTDIR='$(DESTDIR)' cmake --install build/release --prefix '$(PREFIX)'

build/release/.built: build/.setup-demo $(SOURCES)
	@scripts/build release driftless driftless_program
	@touch $@

setup-demo build/.setup-demo:
	@scripts/setup demo

setup-test:
	@scripts/setup test

test: setup-test
	@scripts/test all

test-quick: setup-test
	@scripts/test quick

test-train: setup-demo
	@scripts/setup train
	@scripts/test train

test-peers: setup-demo
	@scripts/setup peers
	@scripts/test peers

bench: setup-demo
	@scripts/setup bench
	@scripts/build release driftless driftless_program bench_steps bench_traffic
	@python3 bench/run.py build/release build/venv-peers docs/benchmarks.md

lint: setup-test
	@scripts/lint

format:
	@clang-format -i include/driftless/*.h src/*/*.[ch] cli/*.[ch] tests/*.[ch] tests/*/*.[ch] \
	    examples/*/*.c bench/*.c

docs: all
	@scripts/listing >build/options.md && mv build/options.md docs/solvers/options.md

clean:
	@rm -rf build
