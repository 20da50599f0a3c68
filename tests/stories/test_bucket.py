"""The main job on an archive in a bucket: the same results as in a folder, on a bad day too."""

import json
import os

import numpy as np
import pytest

from pipelines.archive import open_archive
from pipelines.mosaic.ome_zarr import open_instances, open_mosaic
from pipelines.places import place
from pipelines.quarantine import list_quarantine
from pipelines.tables import has_table, read_rows
from services.label_store import current_version

pytestmark = pytest.mark.ray

#: What no two runs have in common, and the archive's own place in the settings.
OF_THE_RUN = {"run_id", "at", "seconds", "settings", "model_uri", "result"}


def rows(archive, table):
    read = read_rows(archive, table)
    kept = [name for name in read.column_names if name not in OF_THE_RUN]
    return sorted(map(repr, read.select(kept).to_pylist()))


@pytest.fixture(scope="module")
def mosaics(tessera, tmp_path_factory):
    """A synthesis to learn from and a racemic mosaic to test on."""
    folder = tmp_path_factory.mktemp("simulated")
    for name, more in [("synthesis", ()), ("racemic", ("--left-fraction", 0.5, "--seed", 1))]:
        made = tessera(
            "simulate", folder / name, "--preset", "easy", "--size-px", 1024,
            "--particles", 60, "--workers", 1, *more,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    return folder / "synthesis", folder / "racemic"


@pytest.mark.cluster
def test_a_bad_day_of_the_bucket_changes_no_result(tessera, mosaics, bucket, store, tmp_path):
    url, scratch, log = f"s3://{bucket}/lab", tmp_path / "scratch", tmp_path / "log.jsonl"
    environment = {**store.environment, "TESSERA_SCRATCH": scratch, "TESSERA_LOG_FILE": log}
    settings = tmp_path / "settings.toml"
    # Four tiles a mosaic, so that workers find tiles first and paint them later.
    settings.write_text("[segment]\ncore_px = 512\n")
    job = (
        "run", *mosaics, "--assume", "right", "--hold-out", "racemic", "--epochs", 2, "--json",
        "--settings", settings,
    )  # fmt: skip
    said = [tessera("ingest", *mosaics, "--archive", url, **environment)]
    archive = open_archive(place(url))

    with store.faults(cut="tables/particles/_delta_log", when="before", times=10**6) as done:
        said.append(tessera("segment", "--archive", url, "--settings", settings, **environment))
        assert done()["cut"] > 0
    assert said[-1].returncode == 1
    assert said[-1].stderr.splitlines()[-1].endswith("the same command goes on from here")
    assert not has_table(archive, "particles")

    with store.faults(rate=0.05, seed=7) as done:
        said.append(tessera(*job, "--archive", url, **environment))
        counts = done()
    assert said[-1].returncode == 0, said[-1].stderr
    assert "tiles, " not in said[-1].stderr, "tiles were segmented a second time"
    assert all(counts[fault] > 0 for fault in ("500", "503", "slow", "gone"))
    in_folder = tessera(*job, "--archive", tmp_path / "a")
    assert in_folder.returncode == 0, in_folder.stderr

    folder = open_archive(tmp_path / "a")
    same = ("particles", "test_particles", "test_accuracy", "instance_f1", "model")
    found, expected = json.loads(said[-1].stdout), json.loads(in_folder.stdout)
    assert {name: found[name] for name in same} == {name: expected[name] for name in same}
    assert found["report"].startswith(url)
    for table in ("particles", "labels", "predictions", "truth"):
        assert rows(archive, table) == rows(folder, table), table
    assert {r["key"] for r in read_rows(archive, "ledger").to_pylist()} >= {
        r["key"] for r in read_rows(folder, "ledger").to_pylist() if r["stage"] == "segment"
    }
    assert current_version(archive).digest == current_version(folder).digest
    assert archive.mosaic_names() == folder.mosaic_names() == ["racemic", "synthesis"]
    for name in archive.mosaic_names():
        there, here = open_mosaic(archive.mosaic(name)), open_mosaic(folder.mosaic(name))
        assert there.info.digest == here.info.digest
        pixels = [open_instances(mosaic.path).level(0)[...] for mosaic in (there, here)]
        np.testing.assert_array_equal(*pixels)
    assert list_quarantine(archive) == []

    assert_kept(store.secret, said, written(archive, scratch, log))


def assert_kept(secret, said, written):
    """See that a secret was neither said nor written down."""
    assert [path for path, content in written if secret.encode() in content] == []
    assert not any(secret in one.stdout + one.stderr for one in said)


def written(archive, scratch, log):
    """Every file and object of the archive, with its content."""
    yield log, log.read_bytes()
    for path in scratch.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()
    for key in archive.root.objects():
        yield key, (archive.root / key).read_bytes()


@pytest.mark.cluster
def test_a_night_in_a_bucket_does_what_is_new_once(tessera, mosaics, bucket, store, tmp_path):
    url, watched = f"s3://{bucket}/lab", mosaics[0]
    environment = {**store.environment, "TESSERA_SCRATCH": tmp_path}
    night = (
        "relabel", "--archive", url, "--watch-dir", watched, "--settle-s", 0,
        "--assume", "right", "--epochs", 1, "--json",
    )  # fmt: skip

    with store.faults(rate=0.05, seed=11) as done:
        first = tessera(*night, "--run-id", "monday", **environment)
        assert done()["503"] > 0
    second = tessera(*night, "--run-id", "tuesday", **environment)

    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert json.loads(first.stdout)["changes"] == 1
    assert json.loads(second.stdout)["changes"] == 0
    archive = open_archive(place(url))
    assert read_rows(archive, "particles").num_rows == 60
    assert current_version(archive).version == 0
    assert json.loads(first.stdout)["candidate"] == "models:/classifier/1"
    assert (archive.reports / "night-monday.html").is_file()


#: A trial of a second or two.
PRESET = """
title = "In a bucket"
noise = "sym_pair"
error_rates = [0.2]
seeds = [0]
n_train = 30
n_select = 6
n_clean = 0
n_test = 0

[data]
kind = "mosaics"
learn = ["synthesis"]
test = ["racemic"]
control = []
mirror_pairs = ["right:left"]
input_px = 32

[loop]
n_epochs = 1
batch_size = 16

[[variants]]
method = "ce"
"""


@pytest.mark.cluster
def test_sweeps_segmenters_and_defects_work_in_a_bucket(tessera, mosaics, bucket, store, tmp_path):
    from tests.drawn_discs import write_truth

    scans, lattices = f"s3://{bucket}/scans", f"s3://{bucket}/lattices"
    images, drawn = tmp_path / "images", tmp_path / "drawn"
    labels = ("--labels", images / "defects.csv")
    (tmp_path / "preset.toml").write_text(PRESET)
    write_truth(drawn, range(3))
    fit = (
        "segmenter", "fit", "--archive", scans, "--truth", drawn, "--pixel-size-nm", 2,
        "--name", "discs", "--no-weak", "--epochs", 1, "--steps-per-epoch", 2,
    )  # fmt: skip

    def result(*arguments):
        ran = tessera(*arguments, "--json", **store.environment, TESSERA_SCRATCH=tmp_path / "work")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    result("ingest", *mosaics, "--archive", scans)
    swept, again = (
        result("sweep", "--archive", scans, "--preset", tmp_path / "preset.toml") for _ in range(2)
    )
    result(*fit)
    judged = result("segmenter", "evaluate", "--archive", scans, "--truth", drawn,
                    "--pixel-size-nm", 2, "--method", "otsu")  # fmt: skip
    result("defects", "simulate", images, "--images", 4, "--size-px", 256, "--snr", 3)
    result("ingest", images, "--archive", lattices)
    result("defects", "fit", "--archive", lattices, *labels)
    scored, kept = (result("defects", "score", "--archive", lattices, *labels) for _ in range(2))

    assert (swept["unchanged"], again["unchanged"]) == (0, 1)
    assert swept["accuracy"] == again["accuracy"]
    assert judged["best"] == "otsu"
    assert (scored["unchanged"], kept["unchanged"]) == (0, 4)
    assert scored["flagged"] == kept["flagged"]
    archives = [open_archive(place(url)) for url in (scans, lattices)]
    assert read_rows(archives[0], "trials").num_rows == 1
    reports = [sorted(p.name for p in a.reports.iterdir() if p.suffix) for a in archives]
    assert [name.partition("-")[0] for name in reports[0]] == ["segmenters", "sweep"]
    assert reports[1] == ["defects-defects-1.html"]
    shown = open_mosaic(archives[1].root / "defects" / "defects-1" / "lattice-0000.ome.zarr")
    assert shown.info.shape == (256, 256)


@pytest.fixture(scope="module")
def in_folder(tessera, tmp_path_factory):
    """A small mosaic, and what comes of it in a folder."""
    folder = tmp_path_factory.mktemp("small")
    archive = folder / "archive"
    for words in (
        ("simulate", folder / "small", "--preset", "easy", "--size-px", 512, "--particles", 15),
        ("ingest", folder / "small", "--archive", archive),
        ("segment", "--archive", archive),
    ):
        made = tessera(*words)
        assert made.returncode == 0, made.stderr
    return folder / "small", open_archive(archive)


@pytest.mark.cluster
@pytest.mark.parametrize("store", ["gs", "az"], indirect=True)
def test_every_kind_of_bucket_holds_what_a_folder_holds(
    tessera, in_folder, address, store, tmp_path
):
    source, folder = in_folder
    url, scratch, log = f"{address}/lab", tmp_path / "scratch", tmp_path / "log.jsonl"
    environment = {**store.environment, "TESSERA_SCRATCH": scratch, "TESSERA_LOG_FILE": log}

    with store.faults(rate=0.02, seed=3) as done:
        said = [
            tessera(*words, "--archive", url, **environment)
            for words in (("ingest", source), ("segment",), ("segment",))
        ]
        n_faults = sum(done().values()) - done()["requests"]

    assert n_faults > 0
    assert [one.returncode for one in said] == [0, 0, 0], said[0].stderr + said[1].stderr
    archive = open_archive(place(url))
    assert rows(archive, "particles") == rows(folder, "particles")
    there, here = (open_mosaic(each.mosaic("small")) for each in (archive, folder))
    assert there.info.digest == here.info.digest
    np.testing.assert_array_equal(
        *(open_instances(mosaic.path).level(0)[...] for mosaic in (there, here))
    )
    assert_kept(store.secret, said, written(archive, scratch, log))


@pytest.mark.parametrize("store", ["s3", "gs", "az"], indirect=True)
def test_a_second_driver_is_sent_away(tessera, address, store, tmp_path):
    from pipelines.archive import create_archive
    from services.lock import hold

    environment = {**store.environment, "TESSERA_SCRATCH": tmp_path}
    archive = create_archive(place(f"{address}/lab"))

    with hold(archive):
        second = tessera("segment", "--archive", archive.root, **environment)

    assert second.returncode == 75
    assert f"is held by process {os.getpid()} on" in second.stderr


@pytest.mark.parametrize(
    ("verb", "url", "environment", "line"),
    [
        ("status", "hdfs://lab/a", {}, "or az://CONTAINER/PREFIX, got hdfs://lab/a"),
        ("status", "s3://ada:lovelace@lab/a", {}, "must not hold a user or password"),
        ("status", "gs://ada:lovelace@lab/a", {}, "set GOOGLE_APPLICATION_CREDENTIALS"),
        ("status", "az://lab/a", {"AZURE_STORAGE_ACCOUNT_NAME": ""}, "set AZURE_STORAGE_ACCOUNT_N"),
        ("status", "gs://lab/a", {"GOOGLE_SERVICE_ACCOUNT_KEY": "{}"}, "cannot be used"),
        ("status", "s3://no-such-bucket/a", {}, "bucket no-such-bucket does not exist"),
        ("status", "s3://lab/a", {"AWS_ACCESS_KEY_ID": ""}, "needs credentials"),
        ("status", "s3://lab/a", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ("segment", "s3://lab/a", {"RAY_ADDRESS": "127.0.0.1:9"}, "TESSERA_SCRATCH must name"),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(tessera, store, verb, url, environment, line):
    refused = tessera(verb, "--archive", url, **{**store.environment, **environment})

    assert refused.returncode == 2
    assert line in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "lovelace" not in refused.stderr
