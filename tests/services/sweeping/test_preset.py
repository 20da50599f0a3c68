import pytest

from pipelines.errors import SettingsError
from pipelines.sweeps.plan import NetworkChoice
from pipelines.training.augmentation import Augmentation
from pipelines.training.loop import LoopSettings
from services.sweeping.parts import AugmentationPart, LoopPart, NetworkPart, check_part
from services.sweeping.preset import preset_names, read_preset
from services.verbs.sweep import Settings

SWEEP = """
title = "t"
noise = "sym_pair"
error_rates = [0.2]
seeds = [0]
n_train = 10
n_select = 5
n_clean = 0
variants = [{ method = "ce" }]
[data]
kind = "mosaics"
"""


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_that_comes_along_is_a_plan(name):
    plan = read_preset(name).plan()

    assert plan.variants[0].method == "ce"


def test_a_file_of_ones_own_is_a_preset_too(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SWEEP)

    assert read_preset(str(path)).plan().n_train == 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("n_train = 10", "n_train = 0"), "n_train: input should be greater"),
        (("[data]", "magic = 1\n[data]"), "magic: extra inputs"),
        (("[data]", "[loop]\nspeed = 3\n[data]"), "unknown setting 'speed'"),
        (("[data]", "[augmentation]\nflip = true\n[data]"), "unknown setting 'flip'"),
        (
            ("[data]", "[loop]\nlearning_rate = -1.0\n[data]"),
            "loop: learning_rate: input should be greater than 0, got -1.0",
        ),
        (("[data]", "[loop]\nn_epochs = 0\n[data]"), "loop: n_epochs: .* equal to 1, got 0"),
        (("[data]", "[loop]\nclip_norm = 'x'\n[data]"), "loop: clip_norm: .* number, got 'x'"),
        (("[data]", "[loop]\noptimiser = 'x'\n[data]"), "loop: optimiser: .* got 'x'"),
        (("[data]", "[network]\ndropout = 3.0\n[data]"), "network: dropout: .* got 3.0"),
        (("[data]", "[augmentation]\nzoom = -3.0\n[data]"), "augmentation: zoom: .* got -3.0"),
        (
            ('"ce" }', '"ce", loop = { n_epochs = 2.5 } }'),
            "loop: n_epochs: .* integer, got 2.5",
        ),
        (("seeds = [0]", "seeds = ["), "cannot be read"),
        (("0.2", "1.5"), "error rate must be at least 0 and below 1, got 1.5"),
    ],
)
def test_a_broken_preset_is_refused_in_one_line(tmp_path, change, said):
    path = tmp_path / "mine.toml"
    path.write_text(SWEEP.replace(*change))

    with pytest.raises(SettingsError, match=said):
        read_preset(str(path)).plan()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"preset": "magic"}, "--preset must be one of .*handedness, .* got 'magic'"),
        ({"preset": "mnist"}, "--data must name the folder"),
        ({"method": ("magic",)}, "--method must be one of ce, .* got 'magic'"),
        ({"error_rate": (1.0,)}, "error rate must be at least 0 and below 1, got 1.0"),
        ({"noise": "magic"}, "noise must be one of .* got 'magic'"),
    ],
)
def test_what_cannot_work_is_refused_before_an_archive_is_made(tmp_path, flags, said):
    with pytest.raises(SettingsError, match=said):
        Settings.load("sweep", None, {"archive": tmp_path / "a", **flags})

    assert not (tmp_path / "a").exists()


def test_tables_of_a_preset_know_every_setting_there_is():
    for kind, settings in (
        (LoopPart, LoopSettings),
        (NetworkPart, NetworkChoice),
        (AugmentationPart, Augmentation),
    ):
        assert kind.model_fields.keys() == vars(settings()).keys()
        check_part(kind, vars(settings()))
