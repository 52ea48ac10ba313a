"""A corpus and a network that saw a little of it, once for all tests of training."""

import pytest
from corpora import tiny, train, write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("forcing")
    train(tiny(corpus, training_steps=150), out)
    return str(out / "model.safetensors")


@pytest.fixture
def plots() -> None:
    """For a test that looks at a training's curves."""


@pytest.fixture(autouse=True)
def without_plots(request, monkeypatch):
    """Every save draws the curves, which takes longer than these trainings."""
    if "plots" not in request.fixturenames:
        monkeypatch.setattr("avatar_forcing_ros.learning.training.trainer.plot_log", lambda *given, **options: None)
