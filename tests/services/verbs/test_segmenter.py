"""The verbs on segmenters: what they register and remember, and what they refuse in one line."""

import json
import shutil

import cv2
import numpy as np
import pytest
import tifffile

from pipelines.archive import create_archive
from pipelines.errors import ModelError, SettingsError
from pipelines.ledger import read_entries
from pipelines.mosaic.ome_zarr import open_instances, write_mosaic
from pipelines.records import Window
from pipelines.segmenter import fit as fitting
from pipelines.tables import read_rows
from services.cli import run
from services.segmenter_registry import list_segmenters, load_segmenter
from services.segmenting.choice import recall
from services.verbs import segment
from services.verbs.segmenter import evaluate, fit
from services.verbs.segmenter import list_segmenters as listing

#: A fit of seconds: it need not be any good.
QUICK = {
    "epochs": 2,
    "steps_per_epoch": 2,
    "batch_size": 2,
    "patch_px": 64,
    "object_px": 16.0,
    "weak": False,
    "pixel_size_nm": 2.0,
}


def draw(rng, edge_px=96):
    """Discs of grey 150 on grey 50."""
    image = rng.normal(50, 3, (edge_px, edge_px))
    ids = np.zeros(image.shape, np.uint16)
    y, x = np.mgrid[:edge_px, :edge_px]
    for number, (row, column) in enumerate(np.ndindex(3, 3), start=1):
        centre = 17 + 30 * np.array([row, column]) + rng.uniform(-3, 3, 2)
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < rng.uniform(7, 10) ** 2
        image[inside] += 100
        ids[inside] = number
    return np.clip(image, 0, 255).astype(np.uint8), ids


def write_truth(folder, n, seed):
    rng = np.random.default_rng(seed)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(n):
        image, ids = draw(rng)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"{number}.png"), ids)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Five images with masks to learn from, and three others."""
    root = tmp_path_factory.mktemp("drawn")
    return write_truth(root / "learn", 5, 1), write_truth(root / "judge", 3, 2)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, drawn):
    """An archive with a segmenter; tests only add to it."""
    archive = create_archive(tmp_path_factory.mktemp("fitted") / "a")
    outcome = fit.execute(fit.Settings(archive=archive.root, truth=drawn[0], name="discs", **QUICK))
    return archive, outcome


def test_a_fit_registers_a_candidate_with_all_that_it_was_made_from(fitted):
    archive, outcome = fitted

    model = load_segmenter(archive, "discs")

    assert (outcome.word, outcome.values["model"], outcome.values["version"]) == (
        "fitted", "discs", "1",
    )  # fmt: skip
    assert outcome.values["truth_images"] == 5
    assert 0 <= outcome.values["f1_50"] <= 1
    assert model.config["weights_digest"] == outcome.values["digests"]["weights"]
    assert model.config["pixel_sizes_nm"] == [2.0, 2.0]
    assert 14 < model.config["widths_px"][0] <= model.config["widths_px"][1] < 21
    assert sorted(model.card["mosaics"]) == [f"given-{i}" for i in range(5)]
    # One of five is held out to be judged on.
    assert len(model.card["seen"]) == 4
    assert len(model.card["held_out"]) == 1


def test_the_same_fit_is_not_done_again(fitted, drawn):
    archive, outcome = fitted

    again = fit.execute(fit.Settings(archive=archive.root, truth=drawn[0], name="discs", **QUICK))

    assert again.values["unchanged"]
    assert again.values["version"] == outcome.values["version"]
    assert not (archive.scratch / fit.STAGE).exists() or not any(
        (archive.scratch / fit.STAGE).iterdir()
    )


def test_an_interrupted_fit_goes_on_where_it_stopped(fitted, drawn, monkeypatch, capsys):
    archive, _ = fitted
    settings = fit.Settings(archive=archive.root, truth=drawn[1], name="interrupted", **QUICK)
    write_checkpoint = fitting.write_checkpoint

    def write_and_stop(folder, checkpoint):
        write_checkpoint(folder, checkpoint)
        raise RuntimeError("the power went")

    monkeypatch.setattr(fitting, "write_checkpoint", write_and_stop)
    with pytest.raises(RuntimeError, match="the power went"):
        fit.execute(settings)
    monkeypatch.undo()
    outcome = fit.execute(settings)

    assert "fit: going on after epoch 1" in capsys.readouterr().err
    assert outcome.values["epochs"] == 2


def test_another_mask_is_another_fit(fitted, drawn, tmp_path):
    archive, _ = fitted
    copy = tmp_path / "copy"
    shutil.copytree(drawn[0], copy)
    ids = cv2.imread(str(copy / "labels" / "0.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(copy / "labels" / "0.png"), np.where(ids == 1, 0, ids))

    outcome = fit.execute(fit.Settings(archive=archive.root, truth=copy, name="others", **QUICK))

    assert outcome.values["model"] == "others"
    assert "unchanged" not in outcome.values


def test_a_fit_may_begin_with_a_segmenter_and_has_seen_what_that_has_seen(fitted, drawn):
    archive, _ = fitted
    first = load_segmenter(archive, "discs")

    fit.execute(
        fit.Settings(archive=archive.root, truth=drawn[1], name="later", start="discs", **QUICK)
    )

    later = load_segmenter(archive, "later")
    assert later.card["start"] == ["learned:discs/1", first.config["weights_digest"]]
    assert set(first.card["seen"]) < set(later.card["seen"])


def test_an_evaluation_ranks_methods_and_auto_uses_the_best(fitted, drawn, capsys):
    archive, _ = fitted

    status = run(
        ["segmenter", "evaluate", "--archive", str(archive.root), "--truth", str(drawn[1]),
         "--pixel-size-nm", "2", "--method", "otsu", "--method", "learned:discs", "--json"]
    )  # fmt: skip
    found = json.loads(capsys.readouterr().out)

    assert status == 0
    # Two steps have taught the network nothing, and these discs have a threshold.
    assert found["best"] == "otsu"
    assert found["f1_50"] == 1.0
    (group,) = found["groups"]
    assert [entry["method"] for entry in group["methods"]] == ["otsu", "learned:discs/1"]
    assert {"f1_75", "pq", "splits", "merges", "mpx_per_s"} <= set(group["methods"][0])
    (choice,) = recall(archive)
    assert (choice.method, choice.pixel_sizes_nm) == ("otsu", (2.0, 2.0))
    page = (archive.reports / choice.report).read_text()
    assert "learned:discs/1" in page
    assert page.count("<figure") == 2 * 3 + 1


def test_images_that_a_segmenter_learned_from_do_not_flatter_it_unnoticed(fitted, drawn, capsys):
    archive, _ = fitted
    settings = evaluate.Settings(
        archive=archive.root, truth=drawn[0], pixel_size_nm=2.0, method=("otsu", "learned:discs")
    )

    outcome = evaluate.execute(settings)

    # Only one of the five was held out, which is too few to compare on.
    assert (outcome.values["images"], outcome.values["seen_images"]) == (5, 4)
    said = "4 of the 5 images were learned from by a segmenter, so its scores are too good"
    assert said in capsys.readouterr().err
    assert said in (archive.reports / outcome.values["report"].rpartition("/")[2]).read_text()


def test_a_list_shows_what_there_is(fitted):
    archive, _ = fitted

    outcome = listing.execute(listing.Settings(archive=archive.root))

    head, *rows = outcome.screen.splitlines()
    assert head.split()[:2] == ["model", "aliases"]
    assert any(row.startswith("discs/1") and "candidate" in row for row in rows)
    assert outcome.values["versions"] == len(list_segmenters(archive))


def test_an_archive_without_segmenters_says_how_to_make_one(tmp_path):
    archive = create_archive(tmp_path / "a")

    outcome = listing.execute(listing.Settings(archive=archive.root))

    assert outcome.screen == "no segmenter is registered; `tessera segmenter fit` makes one"
    assert outcome.values["models"] == []


def add_mosaic(archive, name, pixel_size_nm):
    write_mosaic(
        archive.mosaic(name), draw(np.random.default_rng(5))[0], pixel_size_nm=pixel_size_nm
    )


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "learned:gone"}, ModelError, "segmenter 'gone' is not registered"),
        ({"method": "learned:discs@gone"}, ModelError, "discs@gone is not registered"),
        ({"method": "learned:discs"}, SettingsError, "mosaic far has 9 nm; --force uses it"),
        (
            {"method": "learned:discs", "mosaic": "near", "object_px": 90.0},
            SettingsError,
            "mosaic near has 90 px; --force",
        ),
        ({"method": "auto"}, SettingsError, "the pixel size of mosaic far is 9 nm"),
        ({"method": "cellpose"}, SettingsError, r"pip install 'tessera-mosaic\[cellpose\]'"),
        (
            {"method": "otsu:x", "model_path": "weights"},
            SettingsError,
            "--model-path is for a method's plain name, got --method otsu:x",
        ),
    ],
)
def test_a_method_that_cannot_be_used_is_refused_before_anything_begins(
    fitted, drawn, monkeypatch, given, error, message
):
    import cluster.session

    archive, _ = fitted
    for name, pixel_size_nm in (("near", 2.0), ("far", 9.0)):
        if not archive.mosaic(name).exists():
            add_mosaic(archive, name, pixel_size_nm)
    monkeypatch.setattr(cluster.session, "connect", None)
    if given["method"] == "auto" and not recall(archive):
        evaluate.execute(
            evaluate.Settings(
                archive=archive.root, truth=drawn[1], pixel_size_nm=2.0, method=("otsu",)
            )
        )

    with pytest.raises(error, match=message):
        segment.execute(segment.Settings(archive=archive.root, **given))


def spoil_shape(folder):
    tifffile.imwrite(folder / "labels" / "0.png", np.ones((5, 5), np.uint16))


def spoil_all(folder):
    for path in (folder / "labels").iterdir():
        tifffile.imwrite(path, np.zeros((96, 96), np.uint16))


def keep_one(folder):
    for path in sorted((folder / "labels").iterdir())[1:]:
        path.unlink()


def no_masks(folder):
    (folder / "labels").rename(folder / "something")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_masks, "has no masks: a folder labels, segmaps, masks is needed"),
        (spoil_shape, "mask 0.png is (5, 5) pixels, the image (96, 96)"),
        (keep_one, "at least 2 images with masks are needed"),
        (spoil_all, "are all background"),
    ],
)
@pytest.mark.parametrize("verb", ["fit", "evaluate"])
def test_masks_that_nothing_can_be_learned_from_are_one_line_and_status_2(
    tmp_path, capsys, verb, spoil, message
):
    archive = create_archive(tmp_path / "a")
    folder = write_truth(tmp_path / "truth", 3, 4)
    spoil(folder)

    status = run(["segmenter", verb, "--archive", str(archive.root), "--truth", str(folder)])

    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("tessera: --truth: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "there is nothing to learn from: give --truth DIR, mosaics for --weak, or --simulated",
        ),
        (["--truth", "/gone"], "--truth: folder /gone does not exist"),
        (["--simulated", "2", "--patch-px", "100"], "patch_px must be a multiple of 32 from 64"),
        (["--name", "a b"], "--name: string should match pattern"),
        (["--simulated", "2", "--start", "gone"], "segmenter 'gone' is not registered"),
        (["--width", "vast"], "'vast' is not one of 'slim', 'wide'"),
    ],
)
def test_a_fit_that_cannot_begin_says_why(tmp_path, capsys, arguments, message):
    archive = create_archive(tmp_path / "a")

    status = run(["segmenter", "fit", "--archive", str(archive.root), *arguments])

    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert read_entries(archive, fit.STAGE) == {}


def test_an_unknown_method_to_compare_is_refused(tmp_path, drawn, capsys):
    archive = create_archive(tmp_path / "a")

    status = run(
        ["segmenter", "evaluate", "--archive", str(archive.root), "--truth", str(drawn[1]),
         "--method", "magic"]
    )  # fmt: skip

    assert status == 2
    assert "method must be one of" in capsys.readouterr().err


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_two_pools_segment_by_a_learned_method_as_one_does(embedded_ray, fitted, tmp_path):
    archive, _ = fitted
    model = load_segmenter(archive, "discs")
    places = [create_archive(tmp_path / name) for name in ("one", "two")]
    for place in places:
        add_mosaic(place, "a", 2.0)
        add_mosaic(place, "b", 2.0)
    common = {"method": f"learned:{model.folder}", "object_px": 17.0, "core_px": 64}

    one = segment.execute(segment.Settings(archive=places[0].root, workers=1, **common))
    segment.execute(
        segment.Settings(archive=places[1].root, workers=2, network_workers=1, **common)
    )

    rows = [read_rows(place, "particles").sort_by("particle_id") for place in places]
    assert rows[0] == rows[1]
    pixels = [open_instances(place.mosaic("a")).read(Window(0, 0, 96, 96)) for place in places]
    assert np.array_equal(*pixels)
    assert one.values["weights"] == {f"learned:{model.folder}": model.config["weights_digest"]}
