import pytest

from pipelines.segmenter.flow import fit_segmenter


def test_a_fit_in_this_process_reports_every_epoch(disc_sources, tiny, tmp_path):
    said = []

    result = fit_segmenter(tiny(disc_sources), tmp_path / "fit", report=said.append)

    assert [entry["epoch"] for entry in said] == [1, 2]
    assert list(result.history) == said
    assert result.model.is_dir()
    assert set(result.digests) == {"plan", "data", "weights"}


def test_a_fit_that_is_done_is_not_done_again(disc_sources, tiny, tmp_path):
    first = fit_segmenter(tiny(disc_sources), tmp_path / "fit")
    said = []

    again = fit_segmenter(tiny(disc_sources), tmp_path / "fit", report=said.append)

    assert said == []
    assert again == first


@pytest.mark.ray
# Ray 2.60 starts its own workers with settings that it has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_a_team_fits_on_the_same_patches(embedded_ray, disc_sources, tiny, tmp_path):
    alone = fit_segmenter(tiny(disc_sources), tmp_path / "alone")

    team = fit_segmenter(tiny(disc_sources), tmp_path / "team", n_workers=2)

    # Each worker averages over its own patches, so the sums are only nearly the same.
    assert team.metrics["loss"] == pytest.approx(alone.metrics["loss"], rel=0.05)
    assert team.digests["data"] == alone.digests["data"]
