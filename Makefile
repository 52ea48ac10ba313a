# Two commands for a newcomer: `make demo` shows a face, `make test` passes the tests. Both install what is missing.
USER_VIDEO ?=
AVATAR_AUDIO ?=
PORTRAIT ?=
GENERATOR ?= reflex
AVATAR ?=
WEIGHTS ?=
OUT ?= out/demo.mp4

arguments = --out $(OUT) --generator $(GENERATOR) \
	$(if $(AVATAR),--avatar $(AVATAR)) $(if $(WEIGHTS),--weights '$(WEIGHTS)') \
	$(if $(USER_VIDEO),--user-video '$(USER_VIDEO)') \
	$(if $(AVATAR_AUDIO),--avatar-audio '$(AVATAR_AUDIO)') \
	$(if $(PORTRAIT),--portrait '$(PORTRAIT)')

.PHONY: demo test bench install clean

demo: install
	@mkdir -p $(dir $(OUT))
	.venv/bin/avatar-forcing run $(arguments) --timeline $(dir $(OUT))timeline.png --side-by-side $(dir $(OUT))side_by_side.mp4

test: install
	.venv/bin/pytest test

bench: install
	@mkdir -p out
	.venv/bin/avatar-forcing bench --json out/bench.json

install:
	@command -v python3 >/dev/null || { echo "install: python3 is missing; run: sudo apt-get install -y python3 python3-venv"; exit 1; }
	@python3 fresh_machine/install.py

clean:
	rm -rf .venv out build install log
