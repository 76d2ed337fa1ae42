# Nothing but make and python3 is assumed. Everything else is fetched into the user's cache directory
# or .venv; where root is needed and absent, the exact command is printed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNEL ?= 6.12
TESTS ?=
MEMORY ?= 5120
GUESTS ?= 2
NATIVE ?=
VGPU ?=
BUSY ?=
GUEST ?=
SECONDS ?= 20
N ?= 200
SEED ?=
DRIVER ?=
CASES ?=
SIZE ?=
ADDRESS_SPACE ?=
GGTT ?=
# Tests of `make test` that look at results alone, so that others may run beside them.
BESIDE_OTHERS := $(filter-out tests/fuzz/test_hostile_guest.py, \
	$(wildcard tests/property/test_*.py tests/fuzz/test_*.py tests/integration/test_eu_*.py)) \
	$(foreach room,blitter compute context_pages hostile isolation mixed state work, \
	tests/integration/test_vgpu_$(room).py) tests/integration/test_drm_shim.py tests/unit
BY_THEMSELVES := tests/fuzz/test_hostile_guest.py $(filter-out $(BESIDE_OTHERS),$(wildcard tests/integration/test_*.py))
# What `make check` runs, and what `make test` runs next: whole servers and their clients.
CHECKED_TESTS := $(foreach room,unit property protocol fuzz style,$(wildcard tests/$(room)))
QUICK_PYTEST := $(BIN)/pytest -q -n auto --dist loadfile -m "not modes and not system"
export PYTHONUNBUFFERED := 1
# Hundreds of processes are started: none shall compile what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv check test mutate sanitize demo guest igt compute bench guests clean

help:
	@echo "make venv    prepare .venv with the project installed"
	@echo "make check   format, lint, types, imports, tests of one process (some two minutes)"
	@echo "make test    everything: that, servers and clients, all modes of vGPUs, guests booted in QEMU"
	@echo "make mutate  put faults into copies of the code and list those no quick test notices: [N=200] [SEED=n]"
	@echo "make sanitize  the EU's messages at random, C built with the compiler's checks: [SECONDS=20]"
	@echo "make demo    boot Debian guests that share the software GPU and run GPU work in all: [GUESTS=n] [NATIVE=1]"
	@echo "make guest   boot a Debian guest on a vGPU of a running vgpud: VGPU=NAME [SECONDS=20]"
	@echo "make igt     run Intel's GPU tests: [TESTS='gem_exec_store gem_sync@basic-*'] [KERNEL=6.1|6.12] [MEMORY=MiB]"
	@echo "             on a vGPU: VGPU=1 [BUSY=1: beside a busy guest]"
	@echo "make compute run OpenCL and Vulkan in guests, a guest for each driver: [DRIVER=rusticl|rusticl-forky|neo|anv]"
	@echo "             [SUITE=kernels|vulkan|pyopencl|piglit|clpeak] [CASES='vadd fft'] [KERNEL=6.1|6.12] [VGPU=1] [SIZE=large]"
	@echo "             [LIMIT=3600: seconds for a driver] [HOST=1: on this machine, without a guest]"
	@echo "             demo and igt: [ADDRESS_SPACE=shadow|direct] [GGTT=ballooned|private]"
	@echo "make bench   measure, both sides in one run [GUEST=1: a guest on a vGPU against native, minutes]"
	@echo "make guests  fetch and make QEMU, kernels and the root file system"
	@echo "make clean   remove what the build made (the guests' cache stays)"

venv: $(VENV)/stamp
	@$(PYTHON) -m tests.guests.environment --refresh $(VENV)

NATIVE_ROOMS := mediator/hotpath mediator/softgpu/eu/native

$(VENV)/stamp: pyproject.toml setup.py $(foreach room,$(NATIVE_ROOMS),$(wildcard $(room)/*.c $(room)/*.h $(room)/build*.py)) tests/guests/environment.py tests/guests/libvirt_copy.py
	@$(PYTHON) -m tests.guests.environment $(VENV)
	@touch $@

check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests
	$(BIN)/lint-imports
	$(QUICK_PYTEST) $(CHECKED_TESTS)

guests:
	@$(PYTHON) -m tests.guests.images

test: check guests
	$(QUICK_PYTEST) tests/integration
	$(BIN)/pytest -q -n auto -m modes $(BESIDE_OTHERS)
	$(BIN)/pytest -q -m modes $(BY_THEMSELVES)
	$(BIN)/pytest -v -m system tests/integration tests/system
	@echo "make test: all passed"

mutate: venv
	@$(BIN)/python -m tests.mutation --faults $(N) $(if $(SEED),--seed $(SEED))

sanitize: venv
	@$(BIN)/python -m tests.fuzz.eu_messages --sanitize $(SECONDS)

SHARING := $(if $(ADDRESS_SPACE),--address-space $(ADDRESS_SPACE)) $(if $(GGTT),--ggtt $(GGTT))

demo: venv
	@$(PYTHON) -m tests.guests.demo --kernel $(KERNEL) --memory $(MEMORY) --guests $(GUESTS) \
		$(if $(NATIVE),--native) $(SHARING)

guest: venv
	@$(PYTHON) -m tests.guests.try_vgpu --kernel $(KERNEL) --seconds $(SECONDS) $(VGPU)

igt: venv
	@$(PYTHON) -m tests.guests.igt --kernel $(KERNEL) --memory $(MEMORY) \
		$(if $(VGPU),--vgpu) $(if $(BUSY),--busy) $(SHARING) $(TESTS)

compute: venv
	@$(BIN)/python -m tests.guests.compute --kernel $(KERNEL) --memory $(MEMORY) \
		$(if $(VGPU),--vgpu) $(if $(HOST),--host) $(if $(DRIVER),--driver $(DRIVER)) \
		$(if $(SUITE),--suite $(SUITE)) $(if $(SIZE),--size $(SIZE)) $(if $(LIMIT),--seconds $(LIMIT)) $(CASES)

bench: venv
	@$(BIN)/python -m tests.bench $(if $(GUEST),guest_mediated)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f mediator/hotpath/_hotpath*.so mediator/hotpath/_hotpath.c
	rm -f mediator/softgpu/eu/_native*.so mediator/softgpu/eu/_native.c
