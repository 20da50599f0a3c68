"""The main job, submitted to several nodes, on an archive in a bucket."""

import pytest

from pipelines.archive import open_archive
from pipelines.mosaic.ome_zarr import open_instances
from pipelines.places import place
from pipelines.tables import read_rows
from tests.nodes import start_nodes
from tests.object_store import SECRET

pytestmark = pytest.mark.cluster

#: What no two runs have in common.
OF_THE_RUN = {"run_id", "at", "updated_at"}


def test_nodes_make_in_a_bucket_what_one_machine_makes_in_a_folder(
    tessera, store, bucket, tmp_path, monkeypatch
):
    made = tessera(
        "simulate", tmp_path / "s", "--preset", "easy", "--size-px", 1024, "--particles", 60,
        "--workers", 1,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    settings = tmp_path / "settings.toml"
    # Four tiles, so that each worker has some to find and some to paint.
    settings.write_text("[segment]\ncore_px = 512\n")
    job = (
        "run", tmp_path / "s", "--assume", "right", "--epochs", 1, "--segment-method", "otsu",
        "--settings", settings,
    )  # fmt: skip
    here = tessera(*job, "--archive", tmp_path / "here", "--workers", 1)
    # Nodes have the keys from where they were started, and jobs from their node.
    for name, value in {**store.environment, "TESSERA_SCRATCH": tmp_path / "work"}.items():
        monkeypatch.setenv(name, str(value))

    with start_nodes() as nodes, store.faults(rate=0.02, seed=5) as done:
        submit = ("submit", "--address", nodes.dashboard, "--follow", "--")
        url = f"s3://{bucket}/lab"
        there = tessera(*submit, *job, "--archive", url, **nodes.environment())
        jobs = str(nodes.ask("/api/jobs/"))
        n_faults = sum(done().values())

    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    assert n_faults > 0
    archive, folder = open_archive(place(url)), open_archive(tmp_path / "here")
    for table in ("particles", "labels", "predictions"):
        assert rows(archive, table) == rows(folder, table), table
    (name,) = archive.mosaic_names()
    found, expected = (
        open_instances(a.mosaic(name)).level(0)[...].tolist() for a in (archive, folder)
    )
    assert found == expected
    assert SECRET not in jobs + there.stdout + there.stderr


def rows(archive, table) -> list[str]:
    """Read a table without regard to the order of rows, and to when they were written."""
    read = read_rows(archive, table)
    kept = [name for name in read.column_names if name not in OF_THE_RUN]
    return sorted(map(repr, read.select(kept).to_pylist()))
