"""Parts by name: what is unknown is told with the nearest known one."""

from __future__ import annotations

import pytest

from facewise.errors import SettingError
from facewise.nn.registry import Registry


@pytest.fixture
def parts():
    registry: Registry[tuple] = Registry("loss")

    @registry.register("arcface")
    def build(size, margin=0.5):
        return (size, margin)

    return registry


def test_parts_are_built_by_name(parts):
    assert parts.names() == ("arcface",)
    assert parts.build("arcface", 3, margin=0.4) == (3, 0.4)
    with pytest.raises(ValueError, match="two parts of the kind loss are called arcface"):
        parts.register("arcface")(tuple)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("arcfac", {}, "There is no loss 'arcfac'; did you mean arcface?"),
        ("xyz", {}, "There is no loss 'xyz'; there are arcface."),
        ("arcface", {"margn": 1}, "The loss arcface has no option 'margn'; did you mean margin?"),
    ],
)
def test_what_is_unknown_is_told_in_one_sentence(parts, name, options, told):
    with pytest.raises(SettingError) as error:
        parts.build(name, 3, **options)
    assert str(error.value) == told
