import numpy as np
import pytest

from cluster.resources import ActorPool
from pipelines.defects.catalogue import get_detector
from pipelines.defects.model import fit_detector, write_defect_model
from pipelines.defects.work import Job, WindowScorer, plan_jobs, score_here
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.records import Window
from pipelines.simulation.honeycomb_image import Imaging, simulate_lattice


@pytest.fixture(scope="module")
def scene(tmp_path_factory, clean_lattice):
    """A mosaic that is wide enough for windows not to see all of it, and a lattice detector."""
    folder = tmp_path_factory.mktemp("scene")
    detector = get_detector("lattice")
    write_defect_model(folder / "model", fit_detector(detector, clean_lattice, seed=0))
    image = simulate_lattice((192, 640), {"vacancy": 2}, Imaging(snr=4.0), seed=7, index=0).grey
    write_mosaic(folder / "wide.ome.zarr", image, pixel_size_nm=0.02)
    return folder / "model", [folder / "wide.ome.zarr"]


def as_dict(scored):
    return {(each.job.path, each.job.core): each.found for each in scored}


def test_cores_of_any_size_give_the_same_scores(scene):
    model, paths = scene
    whole = as_dict(score_here(model, plan_jobs(paths), stride_px=64))
    parts = list(score_here(model, plan_jobs(paths, core_px=128), stride_px=64))

    for path in map(str, paths):
        expected = whole[path, Window(0, 0, 192, 640)]
        own = [each.found for each in parts if each.job.path == path]
        origins = np.concatenate([found.origins_yx for found in own])
        order = np.lexsort((origins[:, 1], origins[:, 0]))
        assert np.array_equal(origins[order], expected.origins_yx)
        scores = np.concatenate([found.scores for found in own])[order]
        assert scores == pytest.approx(expected.scores, abs=0.02)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_a_stream_gives_what_this_process_gives(embedded_ray, scene):
    from pipelines.defects.flow import score_on_ray

    model, paths = scene
    jobs = plan_jobs(paths, core_px=128)

    here = as_dict(score_here(model, jobs, stride_px=64))
    there = as_dict(score_on_ray(model, jobs, stride_px=64, pool=ActorPool(2)))

    assert here.keys() == there.keys()
    for key, found in here.items():
        assert np.array_equal(found.origins_yx, there[key].origins_yx)
        assert found.scores == pytest.approx(there[key].scores, abs=1e-6)
        assert found.oddness == pytest.approx(there[key].oddness, abs=1e-6)


def test_a_mosaic_that_cannot_be_read_says_why_and_the_others_go_on(scene, tmp_path):
    model, paths = scene
    gone = Job(str(tmp_path / "gone.ome.zarr"), Window(0, 0, 64, 64))
    scorer = WindowScorer(str(model), 64)

    lost, fine = scorer.score(gone), scorer.score(plan_jobs(paths[:1])[0])

    assert lost.found is None
    assert "gone.ome.zarr does not exist" in lost.reason
    assert fine.found is not None


def test_an_empty_batch_gives_nothing(scene):
    assert WindowScorer(str(scene[0]), 64)({}) == {}
