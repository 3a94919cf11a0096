"""Settings: what is refused and how it is told, overrides, and every recipe."""

from __future__ import annotations

import re

import pytest

from facewise.errors import SettingError
from facewise.nn.backbones import BACKBONES
from facewise.nn.losses import LOSSES
from facewise.recipes import recipe_names, recipe_settings, recipe_text
from facewise.training import load_recipe
from facewise.training.attributes.config import attributes_config
from facewise.training.config import make_config, parse_overrides, read_config
from facewise.training.run import build


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"epoch": 3}, r"no setting epoch; did you mean epochs\?$"),
        ({"data": {"batchsize": 3}}, r"no setting data\.batchsize; did you mean batch_size"),
        ({"early_stopping": {"patienc": 3}}, r"no setting early_stopping\.patienc; did you mean patience"),
        ({"epochs": 0}, "epochs: .*greater than or equal to 1.*given 0"),
        ({"optimizer": {"name": "sdg"}}, r"optimizer\.name: .*'sgd', 'adam' or 'adamw'"),
        ({"ema": 1.0}, "ema: .*less than 1"),
        ({"data": {"sampler": "people", "batch_size": 63}}, "63 is no multiple of photos_per_person 4"),
        ({"accumulate": 64}, "fewer than 2 photos"),
        ({"best_by": "accuracy"}, r"needs data\.held_out_photos"),
        ({"backbone": {"embedding_size": 3}}, r"backbone\.name: Field required"),
        ({"name": "A name"}, "name: "),
    ],
)
def test_wrong_settings_are_told_plainly(settings, told):
    with pytest.raises(SettingError, match=told):
        make_config({"name": "x"} | settings)


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(SettingError, match=r"epochs.*given 0\)\. seed: .*given -1\)\.$"):
        make_config({"name": "x", "epochs": 0, "seed": -1})


def test_overrides():
    words = ["epochs=20", "optimizer.rate=1e-3", "loss=cosface", "ema=0", "data.only_people=some.txt"]
    config = load_recipe("arcface-mobilefacenet", parse_overrides(words))
    assert (config.epochs, config.optimizer.rate, config.ema) == (20, 1e-3, 0)
    assert config.loss.name == "cosface"
    assert config.loss.options == {}  # those of arcface are gone
    assert config.data.only_people == "some.txt"
    deeper = load_recipe("arcface-mobilefacenet", {"loss.margin": 0.4})
    assert deeper.loss.options == {"scale": 32, "margin": 0.4}


@pytest.mark.parametrize("word", ["epochs", "=3", "epochs=[1"])
def test_no_setting(word):
    with pytest.raises(SettingError):
        parse_overrides([word])


def test_a_configuration_is_read_back_the_same(tmp_path):
    config = load_recipe("siamese-resnet18")
    path = tmp_path / "config.yaml"
    path.write_text(config.dump())
    assert read_config(path) == config


@pytest.mark.parametrize("text", ["", "- 1", "{", "\x00", "a: *b"])
def test_files_that_are_no_configuration(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(SettingError):
        read_config(path)
    with pytest.raises(SettingError, match="There is no configuration"):
        read_config(tmp_path / "missing.yaml")


@pytest.mark.parametrize("name", sorted({*recipe_names()} - {"attributes"}))
def test_every_recipe_is_whole(name):
    config = load_recipe(name)
    assert config.name == name
    assert config.about
    assert config.backbone.name in BACKBONES.names()
    assert LOSSES.get(config.loss.name)
    head = recipe_text(name).split("name:")[0]
    assert "Measured" in head or "Not measured" in head, "the header tells what it measured"
    small = {"arcface-mobilefacenet", "softmax-mobilefacenet", "siamese-resnet18"}
    if name in small:
        build(config, 7)


def test_the_recipe_of_attributes_is_whole_and_of_no_recogniser():
    config = attributes_config(recipe_settings("attributes"))
    assert config.name == "attributes"
    assert config.about
    assert "Not measured" in recipe_text("attributes").split("name:")[0]
    with pytest.raises(SettingError, match="no recipe of a recogniser"):
        load_recipe("attributes")


def test_an_unknown_recipe():
    with pytest.raises(SettingError, match="did you mean arcface-mobilefacenet"):
        load_recipe("arcface-mobilfacenet")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("fast_layers", ["foo"], "auto, true or false, or a list of prelu, strided, global, not ['foo']."),
        ("channels_last", "maybe", "auto, true or false, not 'maybe'."),
    ],
)
def test_a_setting_of_several_kinds_is_told_in_one_sentence(key, value, told):
    with pytest.raises(SettingError, match=f"^{re.escape(f'{key}: must be {told}')}$"):
        make_config({"name": "a"}, {key: value})
