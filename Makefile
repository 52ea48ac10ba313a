# Two commands for a newcomer: `make demo` shows a face, `make test` passes the tests. Both install what is missing.
USER_VIDEO ?=
AVATAR_AUDIO ?=
PORTRAIT ?=
GENERATOR ?= embedded
AVATAR ?=
WEIGHTS ?=
OUT ?= out/demo.mp4
KIOSK ?=

arguments = --out $(OUT) --generator $(GENERATOR) \
	$(if $(AVATAR),--avatar $(AVATAR)) $(if $(WEIGHTS),--weights '$(WEIGHTS)') \
	$(if $(USER_VIDEO),--user-video '$(USER_VIDEO)') \
	$(if $(AVATAR_AUDIO),--avatar-audio '$(AVATAR_AUDIO)') \
	$(if $(PORTRAIT),--portrait '$(PORTRAIT)')

help:
	@echo "make demo         install what is missing, run the face on the sample conversation, and film it"
	@echo "make kiosk        the face in a browser; make talk: with somebody in it"
	@echo "make test         all tests; make test-fast: those that take no more than two minutes; make check: format, lint, types"
	@echo "make test-older-processor   what computes, as on a processor without AVX-512"
	@echo "make docs         the documentation site; make wheel: what is handed out; make bench: the tables of docs/benchmarks.md"
	@echo "make train-tiny   the whole path of learning, very small"

.PHONY: help demo kiosk talk check docs test test-fast test-older-processor bench train-tiny install install-tests wheel clean

demo: $(if $(filter published,$(GENERATOR)),install-tests,install)
	@mkdir -p $(dir $(OUT))
	.venv/bin/avatar-forcing run $(arguments) --timeline $(dir $(OUT))timeline.png --side-by-side $(dir $(OUT))side_by_side.mp4

# The face in a browser: opens the page where there is a display, else prints its address. Options: make kiosk KIOSK="--host 0.0.0.0".
kiosk: install
	.venv/bin/avatar-forcing kiosk --browser $(KIOSK)

# The kiosk with somebody in it: a scripted host, offline; or a model of your own: make talk TALK="--brain http://localhost:8080/v1 --model NAME".
TALK ?=
talk: install
	.venv/bin/avatar-forcing kiosk --talk --browser $(TALK)

# Format, lint, types, and the floors of the house (test/test_rooms.py).
check: install-tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/pytest test/test_rooms.py
	@if command -v npm >/dev/null; then tools/workflows/lint; else echo "check: workflows are not linted: npm is missing"; fi

# The pages that are made from the code, then the site in out/site, with strict links.
docs: install-tests
	for page in parameters interfaces command_line; do .venv/bin/python tools/docs/$$page.py || exit 1; done
	.venv/bin/mkdocs build

# One file more at a time than there are cores: tests of the graph wait more than they compute.
files_at_once = $(shell python3 -c 'import os; print(os.cpu_count() + 1)')

# What fails beside other files runs once more, alone, and both outcomes are shown: a fault fails again; what then
# passes, the machine was too busy for.
test: install-tests
	.venv/bin/pytest test -n $(files_at_once) --dist loadfile --no-loadscope-reorder || { \
	echo "make test: what failed runs once more, alone"; \
	.venv/bin/pytest test --last-failed --last-failed-no-failures none; }

# Whatever computes, as on a processor with AVX2 and no more: libraries are told to leave newer instructions alone.
older_processor = ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 OPENBLAS_CORETYPE=Haswell OPENCV_CPU_DISABLE=AVX512_SKX,AVX512_ICL

test-older-processor: install-tests
	$(older_processor) .venv/bin/pytest test -m "not graph" -n $(files_at_once) --dist loadfile --no-loadscope-reorder

# Without what takes long or starts nodes.
test-fast: install-tests
	.venv/bin/pytest test -m "not slow and not graph" -n $(files_at_once) --dist loadfile

# The whole path of learning in two minutes: conversations, both stages, a look at the result. No use as a face.
train-tiny: install-tests
	.venv/bin/avatar-forcing learning make out/train_tiny/corpus --hours 0.16 --seed 1
	.venv/bin/avatar-forcing train config/learning/tiny.yaml --corpus out/train_tiny/corpus --valid out/train_tiny/corpus --out out/train_tiny/forcing
	.venv/bin/avatar-forcing train config/learning/tiny_preference.yaml --corpus out/train_tiny/corpus --out out/train_tiny/preference
	.venv/bin/avatar-forcing train config/learning/tiny_distillation.yaml --corpus out/train_tiny/corpus --out out/train_tiny/distilled
	.venv/bin/avatar-forcing run --generator embedded --weights out/train_tiny/distilled/model.safetensors --offline --duration 4 --out out/train_tiny/avatar.mp4

bench: install-tests
	@mkdir -p out
	.venv/bin/avatar-forcing bench --json out/bench.json --document docs/benchmarks.md

install:
	@command -v python3 >/dev/null || { echo "install: python3 is missing; run: sudo apt-get install -y python3 python3-venv"; exit 1; }
	@python3 fresh_machine/install.py

# With PyTorch, which the tests, learning and the published network need.
install-tests:
	@command -v python3 >/dev/null || { echo "install: python3 is missing; run: sudo apt-get install -y python3 python3-venv"; exit 1; }
	@python3 fresh_machine/install.py --tests

# What is handed out: a wheel and a source archive in out/wheels, with the kiosk's page and its licences.
wheel: install
	.venv/bin/python -m avatar_forcing_ros.web.page_bundle
	.venv/bin/pip wheel -q --no-deps -w out/wheels .
	.venv/bin/python setup.py -q sdist -d out/wheels

clean:
	rm -rf .venv out build install log
