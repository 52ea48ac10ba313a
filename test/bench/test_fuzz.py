"""No input, however broken, does anything but be used or be refused in one line."""

import logging
from pathlib import Path

import numpy as np
import pytest

from avatar_forcing_ros.bench.fuzz import TARGETS, Target, fuzz, in_processes, mutate
from avatar_forcing_ros.errors import InputError

COUNT_OF_EACH = 2_000  # the benchmark feeds 100,000


@pytest.fixture
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_mutated_inputs(target, quiet):
    import av

    if target.name.startswith("weights"):
        pytest.importorskip("torch", reason="weights files are read with PyTorch, the extra [train]")
    av.logging.set_level(None)  # a level would take the GIL in decoders' threads, which deadlocks when one is freed
    outcome = fuzz(target, COUNT_OF_EACH, seed=20)
    faults = {k: n for k, n in outcome.faults.items() if not k.startswith("slower")}  # a machine may be busy
    assert not faults, (faults, outcome.first)
    assert outcome.used > 0 and outcome.worst_s < 30


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_good_inputs_are_used(target):
    """Else the fuzzer would only see the door."""
    rng = np.random.default_rng(0)
    used = 0
    for data in target.good():
        for _ in range(30):
            try:
                target.feed(data, rng)
                used += 1
                break
            except InputError:
                continue
    assert used >= max(1, len(target.good()) // 2)


def test_a_decoder_that_fails_is_found():
    def feed(data: bytes, rng) -> None:
        if len(data) % 7 == 0:
            raise ValueError("no")
        if len(data) % 5 == 0:
            raise InputError("two\nlines")

    outcome = fuzz(Target("bad", lambda: [bytes(range(200))], feed), 300)
    assert outcome.faults["ValueError: no"] > 0 and outcome.faults["an error of more than one line"] > 0
    assert outcome.first.startswith("seed 0")
    again = fuzz(Target("bad", lambda: [bytes(range(200))], feed), 300)
    assert again.faults == outcome.faults


def test_an_input_that_ends_or_stops_a_process_is_counted_and_passed_over(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)  # another process imports it
    from deadly import COUNT, SEED, crashes, deadly, good, hangs

    made: list[bytes] = []
    fuzz(Target("same", good, lambda data, rng: made.append(data)), COUNT, SEED)
    assert sum(map(crashes, made)) == sum(map(hangs, made)) == 1
    outcome = in_processes(deadly, COUNT, SEED, hang_s=8.0)
    assert outcome.faults == {"crash (-11)": 1, "hang": 1} and outcome.count == COUNT
    assert outcome.first.startswith(f"seed {SEED}, input ")


def test_mutations_change_something():
    data = bytes(range(256))
    made = [mutate(data, np.random.default_rng(k), [data]) for k in range(200)]
    assert sum(m != data for m in made) > 190 and len(set(map(len, made))) > 20
