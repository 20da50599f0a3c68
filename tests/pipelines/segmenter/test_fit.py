import json

import numpy as np
import pytest
import torch

from pipelines.errors import SettingsError
from pipelines.segmentation.learned.images import Segmenter
from pipelines.segmentation.learned.model_folder import read_card, read_model_folder
from pipelines.segmenter.files import read_history, read_result
from pipelines.segmenter.fit import fit_on_team, split_held_out
from pipelines.segmenter.material import write_source
from pipelines.segmenter.scores import score_pairs
from pipelines.training.team import Team


def weights_of(folder):
    network, _ = read_model_folder(read_result(folder).model)
    return network.state_dict()


def same(one, other):
    return all(torch.equal(values, other[name]) for name, values in one.items())


def test_the_same_plan_gives_the_same_model_and_another_seed_another(disc_sources, tiny, tmp_path):
    plan = tiny(disc_sources)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit_on_team(tiny(disc_sources, seed=seed), tmp_path / name, Team())

    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))
    assert not same(weights_of(tmp_path / "a"), weights_of(tmp_path / "c"))
    assert read_result(tmp_path / "a").digests["plan"] == plan.digest


class Killed(Exception):
    pass


def test_a_fit_that_was_interrupted_goes_on_to_the_same_model(
    disc_sources, tiny, tmp_path, monkeypatch
):
    from pipelines.segmenter import fit

    weak = [
        write_source(tmp_path, "weak", "weak", np.load(s.image), np.load(s.instances))
        for s in disc_sources[:1]
    ]
    # Correcting from the first epoch on is the harder case.
    monkeypatch.setattr(fit, "should_correct", lambda agreement, n_epochs: True)
    plan = tiny([*disc_sources[1:], *weak], n_epochs=3)
    fit_on_team(plan, tmp_path / "whole", Team())

    advance = fit._Fit.advance

    def die_in_the_second(self):
        if len(self.history) == 1:
            raise Killed
        advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(fit._Fit, "advance", die_in_the_second)
        with pytest.raises(Killed):
            fit_on_team(plan, tmp_path / "broken", Team())
    assert len(read_history(tmp_path / "broken", plan)) == 1
    fit_on_team(plan, tmp_path / "broken", Team())

    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken"))
    assert read_result(tmp_path / "whole").history == read_result(tmp_path / "broken").history


def test_another_plan_does_not_go_on_from_the_checkpoint(disc_sources, tiny, tmp_path):
    fit_on_team(tiny(disc_sources), tmp_path / "fit", Team())

    assert read_history(tmp_path / "fit", tiny(disc_sources, seed=9)) == []


def test_a_checkpoint_of_other_pixels_is_not_gone_on_from(disc_sources, tiny, tmp_path):
    plan = tiny(disc_sources)
    fit_on_team(plan, tmp_path / "fit", Team())
    before = weights_of(tmp_path / "fit")
    image = np.load(disc_sources[0].image)
    np.save(disc_sources[0].image, image[::-1])
    np.save(disc_sources[0].instances, np.load(disc_sources[0].instances)[::-1])

    fit_on_team(plan, tmp_path / "fit", Team())

    assert not same(weights_of(tmp_path / "fit"), before)


def test_images_held_out_are_measured_and_not_learned_from(disc_sources, tiny, tmp_path):
    plan = tiny(disc_sources, held_out_share=0.3)
    fit_on_team(plan, tmp_path / "fit", Team())

    result = read_result(tmp_path / "fit")

    assert len(split_held_out(plan)) == 1
    assert {"f1_50", "f1_75", "pq", "f1_50_median"} <= set(result.metrics)
    assert read_card(result.model).more["n_images"]["truth"] == 2


def test_tiles_of_one_group_are_held_out_together(disc_sources, tiny):
    from dataclasses import replace

    sources = [replace(s, group="one" if i < 2 else "other") for i, s in enumerate(disc_sources)]

    assert split_held_out(tiny(sources, held_out_share=0.5)) in ({"one"}, {"other"})


def test_one_image_cannot_be_held_out_from_itself(disc_sources, tiny, tmp_path):
    with pytest.raises(SettingsError, match="must leave a group to learn from"):
        fit_on_team(tiny(disc_sources[:1], held_out_share=0.5), tmp_path / "fit", Team())


def test_more_workers_than_patches_are_refused(disc_sources, tiny, tmp_path):
    with pytest.raises(SettingsError, match="batch_size must be at least the 3 workers, got 2"):
        fit_on_team(tiny(disc_sources), tmp_path / "fit", Team(0, 3))


def test_a_fit_begins_with_the_weights_it_is_told_to(disc_sources, tiny, tmp_path):
    fit_on_team(tiny(disc_sources), tmp_path / "first", Team())
    start = read_result(tmp_path / "first").model

    fit_on_team(
        tiny(disc_sources, start=start, n_epochs=1, steps_per_epoch=1, learning_rate=1e-12),
        tmp_path / "second",
        Team(),
    )

    first, second = weights_of(tmp_path / "first"), weights_of(tmp_path / "second")
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_a_start_of_another_scale_is_refused(disc_sources, tiny, tmp_path):
    fit_on_team(tiny(disc_sources), tmp_path / "first", Team())
    start = read_result(tmp_path / "first").model

    with pytest.raises(SettingsError, match="start must be a slim model of objects 20 px wide"):
        fit_on_team(tiny(disc_sources, start=start, object_px=20.0), tmp_path / "second", Team())


def test_the_card_says_what_the_model_was_fitted_on(tmp_path, discs, tiny):
    sources = [
        write_source(tmp_path, f"d{i}", "truth", *discs(i), pixel_size_nm=2.0 + i) for i in (0, 1)
    ]
    fit_on_team(tiny(sources), tmp_path / "fit", Team())

    card = read_card(read_result(tmp_path / "fit").model)

    assert card.pixel_sizes_nm == (2.0, 3.0)
    assert card.object_px == 14.0
    assert 12 < card.widths_px[0] <= card.widths_px[1] < 17
    assert json.loads(json.dumps(card.more))["digests"]["data"]


def test_learning_finds_discs_that_it_never_saw(disc_sources, discs, tiny, tmp_path):
    plan = tiny(
        disc_sources,
        n_epochs=4,
        steps_per_epoch=20,
        batch_size=4,
        learning_rate=6e-3,
        polarity_free=False,
    )
    fit_on_team(plan, tmp_path / "fit", Team())

    segmenter = Segmenter.open(read_result(tmp_path / "fit").model, torch.device("cpu"))
    unseen = [discs(20), discs(21)]
    pairs = [(ids, segmenter.segment(image, width_px=14.0)) for image, ids in unseen]

    assert score_pairs(pairs).f1_50 > 0.8


def test_what_the_network_is_shown_is_part_of_the_model(disc_sources, tiny, tmp_path):
    fit_on_team(tiny(disc_sources, local_contrast=True), tmp_path / "first", Team())
    start = read_result(tmp_path / "first").model

    assert read_card(start).network["around_px"] > 0
    with pytest.raises(SettingsError, match=r"start must be .*'around_px': 0"):
        fit_on_team(tiny(disc_sources, start=start), tmp_path / "second", Team())
