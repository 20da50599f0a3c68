import json

import numpy as np
import pytest

import cluster.session
from pipelines.archive import create_archive
from pipelines.errors import ArchiveError, SettingsError
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.tables import read_rows
from services.cli import run
from services.verbs.segment import Settings, execute


@pytest.fixture
def archive(tmp_path):
    archive = create_archive(tmp_path / "archive")
    image = np.full((90, 120), 50, dtype=np.uint8)
    for centre in (20, 50, 80, 110):
        y, x = np.mgrid[:90, :120]
        image[(y - 40) ** 2 + (x - centre) ** 2 < 100] = 150
    write_mosaic(archive.mosaic("dots"), image, pixel_size_nm=2.0)
    return archive


@pytest.fixture
def no_ray(monkeypatch):
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("Ray must not be started")

    monkeypatch.setattr(cluster.session, "connect", refuse)


def settings(archive, **given):
    return Settings(archive=archive.root, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"halo_px": 10}, "halo_px must be at least 107 .* got 10"),
        ({"core_px": 100}, "core_px must be a power of two from 64 to 16384, got 100"),
        (
            {"method": "magic"},
            "method must be one of cellpose, intensity.* got 'magic'",
        ),
        ({"method": "gone.py:METHOD"}, "file .*gone.py does not exist"),
        (
            {"min_diameter_px": 9.0, "max_diameter_px": 8.0},
            "min_diameter_px must not exceed max_diameter_px, got 9.0 and 8.0",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_refused_before_ray_starts(
    archive, no_ray, given, message
):
    with pytest.raises(SettingsError, match=message):
        execute(settings(archive, **given))


def test_a_limit_in_nanometres_needs_a_pixel_size(archive, no_ray):
    write_mosaic(archive.mosaic("bare"), np.zeros((9, 9), dtype=np.uint8), pixel_size_nm=None)

    with pytest.raises(SettingsError, match="needs a pixel size, and mosaic bare has none"):
        execute(settings(archive, min_diameter_nm=5.0))


def test_an_archive_without_a_fitting_mosaic_is_refused(archive, no_ray):
    with pytest.raises(ArchiveError, match="holds no mosaic to segment"):
        execute(settings(archive, mosaic="cats*"))


def test_a_bad_flag_is_one_line_and_status_2(archive, no_ray, capsys):
    status = run(["segment", "--archive", str(archive.root), "--halo-px", "3"])

    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("tessera: halo_px must be at least")
    assert err.count("\n") == 1


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_particles_are_found_once_and_then_nothing_is_left_to_do(
    embedded_ray, archive, monkeypatch, capsys
):
    arguments = ["segment", "--archive", str(archive.root), "--core-px", "64", "--json"]

    assert run(arguments) == 0

    first = json.loads(capsys.readouterr().out)
    assert first["done"] == "segmented"
    assert (first["mosaics"], first["tiles"], first["instances"]) == (1, 4, 4)
    assert first["quarantined"] == 0
    assert read_rows(archive, "particles").num_rows == 4

    monkeypatch.setattr(cluster.session, "connect", None)
    assert run(arguments) == 0

    second = json.loads(capsys.readouterr().out)
    assert (second["unchanged"], second["tiles"], second["instances"]) == (1, 0, 4)
