# Two commands for a newcomer: `make demo` shows a face, `make test` passes the tests. Both install what is missing.
USER_VIDEO ?=
AVATAR_AUDIO ?=
PORTRAIT ?=
GENERATOR ?= embedded
AVATAR ?=
WEIGHTS ?=
OUT ?= out/demo.mp4

arguments = --out $(OUT) --generator $(GENERATOR) \
	$(if $(AVATAR),--avatar $(AVATAR)) $(if $(WEIGHTS),--weights '$(WEIGHTS)') \
	$(if $(USER_VIDEO),--user-video '$(USER_VIDEO)') \
	$(if $(AVATAR_AUDIO),--avatar-audio '$(AVATAR_AUDIO)') \
	$(if $(PORTRAIT),--portrait '$(PORTRAIT)')

.PHONY: demo test bench train-tiny install clean

demo: install
	@mkdir -p $(dir $(OUT))
	.venv/bin/avatar-forcing run $(arguments) --timeline $(dir $(OUT))timeline.png --side-by-side $(dir $(OUT))side_by_side.mp4

test: install
	.venv/bin/pytest test

# The whole path of learning in two minutes: conversations, both stages, a look at the result. No use as a face.
train-tiny: install
	.venv/bin/avatar-forcing learning make out/train_tiny/corpus --hours 0.16 --seed 1
	.venv/bin/avatar-forcing train config/learning/tiny.yaml --corpus out/train_tiny/corpus --valid out/train_tiny/corpus --out out/train_tiny/forcing
	.venv/bin/avatar-forcing train config/learning/tiny_preference.yaml --corpus out/train_tiny/corpus --out out/train_tiny/preference
	.venv/bin/avatar-forcing train config/learning/tiny_distillation.yaml --corpus out/train_tiny/corpus --out out/train_tiny/distilled
	.venv/bin/avatar-forcing run --generator embedded --weights out/train_tiny/distilled/model.safetensors --offline --duration 4 --out out/train_tiny/avatar.mp4

bench: install
	@mkdir -p out
	.venv/bin/avatar-forcing bench --json out/bench.json --document docs/benchmarks.md

install:
	@command -v python3 >/dev/null || { echo "install: python3 is missing; run: sudo apt-get install -y python3 python3-venv"; exit 1; }
	@python3 fresh_machine/install.py

clean:
	rm -rf .venv out build install log
