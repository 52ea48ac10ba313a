"""The table of back ends."""

import pytest

from avatar_forcing_ros.errors import InputError, missing_package
from avatar_forcing_ros.generators import BACK_ENDS, back_end, make_generator


def test_every_entry_tells_what_its_generator_is():
    assert list(BACK_ENDS) == ["embedded", "reflex", "published"]
    for name in ("embedded", "reflex"):
        generator = make_generator(name)
        assert (generator.name, generator.space) == (name, back_end(name).space)
        assert not back_end(name).needs_weights
    assert back_end("published").needs_weights and back_end("published").space == "lia512"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="generator 'magic' is unknown; use one of embedded, reflex, published"):
        make_generator("magic")


def test_a_package_that_is_missing_is_told_with_its_extra():
    told = missing_package(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert isinstance(told, InputError) and "needs torch" in str(told) and "published" in str(told)
    other = ModuleNotFoundError("No module named 'numpi'", name="numpi")
    assert missing_package(other) is other
