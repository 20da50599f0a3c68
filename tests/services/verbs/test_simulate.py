import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.mosaic.ome_zarr import open_instances, open_mosaic
from pipelines.records import Window
from pipelines.schemas import TRUTH
from services.cli import run
from services.verbs import simulate

SMALL = ["--size-px", "256", "--particles", "6", "--seed", "3", "--workers", "1"]
WHOLE = Window(0, 0, 256, 256)


def everything_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_mosaic_its_instances_and_its_truth_are_written(tmp_path, capsys):
    status = run(["simulate", str(tmp_path / "s"), *SMALL, "--left-fraction", "0.5", "--json"])

    assert status == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["done"], values["particles"], values["left"]) == ("simulated", 6, 3)
    mosaic = open_mosaic(tmp_path / "s" / "s.ome.zarr")
    assert mosaic.info.shape == (256, 256)
    assert mosaic.info.pixel_size_nm == 2.0
    assert mosaic.info.acquisition["preset"] == "paper"
    truth = pq.read_table(tmp_path / "s" / "s.truth.parquet")
    assert truth.schema.equals(TRUTH)
    ids = open_instances(mosaic.path, "truth").read(WHOLE)
    for row in truth.to_pylist():
        y, x = np.nonzero(ids == row["truth_instance"])
        assert len(y) == row["area_px"]
        assert (y.mean(), x.mean()) == pytest.approx((row["centroid_y_px"], row["centroid_x_px"]))


def test_an_out_that_ends_in_ome_zarr_is_the_mosaic_itself(tmp_path):
    assert run(["simulate", str(tmp_path / "m.ome.zarr"), *SMALL]) == 0

    assert open_mosaic(tmp_path / "m.ome.zarr").info.name == "m"
    assert pq.read_table(tmp_path / "m.truth.parquet")["mosaic"].to_pylist()[0] == "m"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.ome.zarr", "m.truth.parquet"]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert run(["simulate", str(tmp_path / name / "s"), *SMALL]) == 0

    assert everything_in(tmp_path / "a") == everything_in(tmp_path / "b")


def test_an_achiral_control_has_no_hands(tmp_path):
    assert run(["simulate", str(tmp_path / "s"), *SMALL, "--achiral"]) == 0

    truth = pq.read_table(tmp_path / "s" / "s.truth.parquet")
    assert set(truth["label"].to_pylist()) == {"none"}
    assert not any(truth["determinable"].to_pylist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--left-fraction", "1.5"], "--left-fraction: input should be less than or equal to 1"),
        (["--left-fraction", "-0.1"], "--left-fraction: input should be greater than or equal"),
        (["--size-px", "50"], "--size-px: must hold one particle, at least"),
        (["--particles", "500"], "--particles: too many for 256 x 256 px, got 500"),
        (["--particles", "0"], "--particles: input should be greater than or equal to 1, got 0"),
        (["--pixel-size-nm", "20"], "--pixel-size-nm: particles would be shorter than 16 px"),
        (["--preset", "harder"], "harder"),
    ],
)
def test_bad_settings_are_refused_in_one_line_and_nothing_is_left(
    tmp_path, capsys, arguments, message
):
    out = tmp_path / "s"

    status = run(["simulate", str(out), *SMALL, *arguments])

    error = capsys.readouterr().err.strip()
    assert status == 2
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_holds_something_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine.txt").write_text("precious")

    assert run(["simulate", str(tmp_path / "s"), *SMALL]) == 2

    assert "OUT: must not be there yet, or be an empty folder" in capsys.readouterr().err
    assert everything_in(tmp_path) == {"s/mine.txt": b"precious"}


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "s").mkdir()

    assert run(["simulate", str(tmp_path / "s"), *SMALL]) == 0
    assert (tmp_path / "s" / "s.truth.parquet").exists()


def test_truth_that_is_there_already_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "m.truth.parquet").write_text("precious")

    assert run(["simulate", str(tmp_path / "m.ome.zarr"), *SMALL]) == 2

    assert "m.truth.parquet, which is there already" in capsys.readouterr().err
    assert everything_in(tmp_path) == {"m.truth.parquet": b"precious"}


def test_a_name_that_no_mosaic_can_have_is_refused(tmp_path, capsys):
    assert run(["simulate", str(tmp_path / "my sample"), *SMALL]) == 2

    assert "OUT: " in capsys.readouterr().err


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.simulation.truth.truth_rows", interrupt)

    with pytest.raises(KeyboardInterrupt):
        simulate.execute(simulate.Settings(out=tmp_path / "s", size_px=256, particles=2, workers=1))

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    (tmp_path / ".s.partial" / "half").mkdir(parents=True)

    assert run(["simulate", str(tmp_path / "s"), *SMALL]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
