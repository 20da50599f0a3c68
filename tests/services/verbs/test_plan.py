import hashlib
import json
import shutil

import numpy as np
import pytest

from cluster.resources import Node
from pipelines.archive import create_archive
from pipelines.errors import ArchiveError, SettingsError
from pipelines.ledger import Entry, append_entries
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.segmentation.method import load_method
from pipelines.segmentation.plan import plan_segmentation
from pipelines.segmentation.work import TileWorker
from pipelines.sweeps.plan import plan_trials
from services.cli import run as command_line
from services.planning import machines, sweep
from services.sweeping.preset import read_preset
from services.verbs import plan
from services.verbs.segment import Settings as SegmentSettings
from services.verbs.segment import segmentation_settings

#: 3 x 2 tiles of 256, the last ones smaller.
SHAPE = (640, 512)
TILES = ("--core-px", "256")


@pytest.fixture(autouse=True)
def a_large_machine(monkeypatch):
    monkeypatch.setattr(machines, "this_machine", lambda n_gpus: [Node(16, 0, 64e9)])


@pytest.fixture
def archive(tmp_path):
    archive = create_archive(tmp_path / "lab")
    rng = np.random.default_rng(5)
    image = rng.normal(60, 4, SHAPE)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image[(y % 40 - 20) ** 2 + (x % 40 - 20) ** 2 <= 81] += 90
    write_mosaic(archive.mosaic("m"), np.clip(image, 0, 255).astype(np.uint16), pixel_size_nm=1.0)
    return archive


def segment_tiles(archive, indices, seconds):
    """Segment some tiles, as an actor of a run that was killed would have."""
    settings = segmentation_settings(SegmentSettings(archive=archive.root))
    planned = plan_segmentation(archive, ["m"], settings, core_px=256)
    worker = TileWorker(settings, load_method("otsu"), 256, planned.halo_px)
    for index in indices:
        tile = planned.mosaics[0].tiles[index]
        assert worker.take_tile(tile.task, paint=False).status == "done"
        unit = tile.task.unit
        append_entries(archive, [Entry(tile.key, "segment", "m", unit, seconds=seconds)])


def tree(root):
    """Content and time of everything below a folder."""
    return {
        path: (
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [root, *root.rglob("*")]
    }


def planned(*words):
    return plan.execute(plan.Settings(command=words))


def test_tiles_that_are_done_are_told_from_those_that_are_left(archive):
    segment_tiles(archive, (0, 1), seconds=2.0)

    outcome = planned("segment", "--archive", str(archive.root), *TILES)

    assert (outcome.values["done"], outcome.values["left"]) == (2, 4)
    # Ids of 256 x 512 and 128 x 512 pixels, of 4 bytes each, and a third for the pyramid.
    assert outcome.values["write_bytes"] == round((256 + 128) * 512 * 4 * 4 / 3)
    # What is read is more than the cores, and no more than each could need.
    assert (256 + 128) * 512 * 2 < outcome.values["read_bytes"] < 4 * SHAPE[0] * SHAPE[1] * 2


def test_time_comes_from_the_archives_own_past(archive):
    segment_tiles(archive, (0, 1), seconds=2.0)

    outcome = planned("segment", "--archive", str(archive.root), *TILES)

    (stage,) = outcome.values["stages"]
    # Two whole and two half tiles are left, at 2 s for a whole one: 6 s, by four at once.
    assert stage["seconds"] == pytest.approx(1.5)
    assert stage["rate"] == "2 past tiles"
    assert outcome.values["assumed"] is False


def test_without_a_past_a_rate_is_assumed_and_marked(archive):
    outcome = planned("segment", "--archive", str(archive.root), *TILES)

    assert outcome.values["assumed"] is True
    assert "assumed 12 Mpx/s per core" in outcome.screen
    assert outcome.line().startswith("planned verb=segment tiles=6 done=0 left=6 ")


def test_workers_are_as_many_as_the_machines_memory_holds(archive, monkeypatch):
    monkeypatch.setattr(machines, "this_machine", lambda n_gpus: [Node(16, 0, 1.1e9)])

    outcome = planned("segment", "--archive", str(archive.root), *TILES)

    (stage,) = outcome.values["stages"]
    assert stage["where"].startswith("3 workers of 1 core, ")
    assert "on this machine: 16 cores, 1100 MB of memory" in outcome.screen


def test_a_machine_too_small_for_a_tile_is_refused_in_a_line(archive, monkeypatch, capsys):
    monkeypatch.setattr(machines, "this_machine", lambda n_gpus: [Node(16, 0, 0.2e9)])

    status = command_line(["plan", "segment", "--archive", str(archive.root)])

    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tessera: a worker needs 1 core, ")
    assert line.endswith("the largest has 16 cores, 200 MB of memory")


def test_prices_of_the_settings_make_a_cost(archive, tmp_path):
    segment_tiles(archive, (0, 1), seconds=3600.0)
    toml = tmp_path / "s.toml"
    toml.write_text("[cluster]\nprice_per_core_hour = 0.5\nworkers = 2\ncores_per_worker = 2\n")

    words = ("segment", "--archive", str(archive.root), *TILES, "--settings", str(toml))
    outcome = planned(*words)

    # Three hours of a worker, by two of two cores each: an hour and a half of four.
    assert outcome.values["seconds"] == pytest.approx(5400)
    assert outcome.values["core_hours"] == pytest.approx(6)
    assert outcome.values["cost"] == pytest.approx(3)


def test_the_planned_verbs_json_asks_for_json(archive, capsys):
    words = ["segment", "--archive", str(archive.root), *TILES]

    assert command_line(["plan", *words, "--json"]) == 0
    inner = json.loads(capsys.readouterr().out)
    assert command_line(["plan", "--json", "--", *words]) == 0
    outer = json.loads(capsys.readouterr().out)

    assert inner == outer
    assert inner["stages"][0]["n_left"] == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "VERB is missing"),
        (("shake",), "there is no 'shake' that could be submitted or planned"),
        (("plan", "segment"), "there is no 'plan'"),
        (("status", "--archive", "a"), "nothing to plan for status; segment, train, clean, "),
        (("segment", "--archive", "a", "--core-px", "1"), "--core-px: "),
        (
            ("run", "--archive", "a", "--assume", "right"),
            "SOURCE: at least one image or folder is needed",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused(words, said):
    with pytest.raises(SettingsError, match=said):
        planned(*words)


def test_an_archive_that_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(ArchiveError, match="none does not exist"):
        planned("segment", "--archive", str(tmp_path / "none"))

    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_planned_before_its_archive_is_made(tmp_path):
    outcome = planned("sweep", "--archive", str(tmp_path / "none"), "--preset", "smoke")

    assert outcome.values["done"] == 0
    assert outcome.values["left"] == outcome.values["trials"] > 0
    assert "would be simulated and segmented first" in outcome.screen
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("on_gpus", "source"), [(False, "1 past trials"), (True, "assumed")])
def test_what_one_kind_of_device_took_says_nothing_of_another(on_gpus, source):
    trials = plan_trials(read_preset("smoke").plan())[:2]
    past = [{"seconds": 7.0, "device": "cpu"}, None]

    rate = sweep._rate(trials, past, 32, on_gpus=on_gpus)

    assert rate.source.startswith(source)


def test_trials_on_accelerators_take_their_share(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "this_machine", lambda n_gpus: [Node(32, 2, 64e9)])

    words = ("--preset", "smoke", "--gpu-share", "0.5")
    outcome = planned("sweep", "--archive", str(tmp_path / "none"), *words)

    (stage,) = outcome.values["stages"]
    assert stage["where"] == "4 at once of 8 cores, 0.5 GPU"
    assert outcome.values["gpu_hours"] > 0


def test_learning_and_predicting_are_planned_from_what_was_learnt(trained_hands, tmp_path, quick):
    trained, _ = trained_hands
    root = tmp_path / "a"
    shutil.copytree(trained.root, root)
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in quick.items() if k != "hold_out"]
    flags += ["--archive", str(root), "--hold-out", "mixed"]
    before = tree(root)

    same = planned("train", *flags)
    longer = planned("train", *flags, "--epochs", "24")
    cleaning = planned("clean", *flags, "--folds", "3", "--repeats", "2")
    model = planned("predict", "--archive", str(root), "--model", "classifier@candidate")

    assert (same.values["done"], same.values["left"]) == (12, 0)
    assert (longer.values["done"], longer.values["left"]) == (0, 24)
    assert longer.values["stages"][0]["rate"] == "1 past training"
    assert (cleaning.values["folds"], cleaning.values["left"]) == (6, 6)
    # Sixty particles of the synthesis and 24 of the mixed mosaic.
    assert (model.values["done"], model.values["left"]) == (0, 84)
    assert tree(root) == before


@pytest.mark.parametrize("verb", ["segment", "run"])
def test_nothing_in_the_archive_changes(archive, tmp_path, verb):
    segment_tiles(archive, (0, 1), seconds=2.0)
    (tmp_path / "new.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    sources = [str(tmp_path / "new.png")] if verb == "run" else []
    before = tree(archive.root)

    words = ["plan", verb, "--archive", str(archive.root), *sources]
    assert command_line(words + (["--assume", "right"] if verb == "run" else [])) == 0

    assert tree(archive.root) == before


def test_the_main_job_is_planned_as_far_as_it_is_known(archive, tmp_path):
    (tmp_path / "new.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))

    words = ("--archive", str(archive.root), "--assume", "right", str(tmp_path / "new.png"))
    outcome = planned("run", *words)

    stages = {(s["stage"], s["unit"], s["n_left"]) for s in outcome.values["stages"]}
    assert ("ingest", "images", 1) in stages
    assert ("segment", "tiles", 1) in stages
    assert "segment: tiles of 1 new images are not known yet" in outcome.screen
    assert "train: not known yet: archive " in outcome.screen


def test_a_cluster_is_asked_what_it_has(archive, monkeypatch):
    asked = []

    class Connection:
        def __init__(self, address):
            asked.append(address)

        def __enter__(self):
            pass

        def __exit__(self, *error):
            pass

    monkeypatch.setattr("cluster.session.connect", Connection)
    monkeypatch.setattr(machines, "connected_nodes", lambda: [Node(0), *[Node(4, 0, 8e9)] * 3])

    words = ("--archive", str(archive.root), *TILES, "--address", "head:6379")
    outcome = planned("segment", *words)

    assert asked == ["head:6379"]
    # Of its twelve cores no more than there are tiles.
    assert outcome.values["stages"][0]["where"].startswith("6 workers of 1 core, ")
    assert "on the cluster at head:6379: 3 x (4 cores, 8000 MB of memory)" in outcome.screen
