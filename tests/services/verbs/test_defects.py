"""The verbs on defects: bad input is refused in one line, good input leaves what it should."""

import json
import shutil

import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.mosaic.ome_zarr import create_instances, open_mosaic, write_mosaic
from pipelines.records import Window
from pipelines.tables import read_rows
from services.cli import run

PATCH = ("--patch-px", "32", "--method", "blur-maximum")


def add(archive, name, *, seed=0, size=128, spot=None):
    """Noise, and perhaps one bright spot."""
    rng = np.random.default_rng(seed)
    image = rng.normal(1000, 100, (size, size))
    if spot is not None:
        y, x = np.mgrid[:size, :size]
        image += 600 * np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / (2 * 3.0**2))
    write_mosaic(archive.mosaic(name), image.astype(np.uint16), pixel_size_nm=0.5)


@pytest.fixture
def spots(tmp_path, new_store):
    """Six images, a bright spot in four of them, and the list of spots."""
    archive = create_archive(tmp_path / "a")
    shutil.copy(new_store, archive.root / "mlflow.db")
    lines = ["image,y,x,radius_px,kind"]
    for i in range(6):
        spot = (20 + 10 * i, 80) if i < 4 else None
        add(archive, f"image-{i}", seed=i, spot=spot)
        if spot:
            lines.append(f"image-{i},{spot[0]},{spot[1]},4,spot")
    labels = tmp_path / "defects.csv"
    labels.write_text("\n".join(lines) + "\n")
    return archive, labels


def complaint(capsys, *arguments):
    """Run a command that must be refused; return the one line."""
    status = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert status == 2, err
    assert out == ""
    # Progress lines may come first, the complaint is the last.
    return err.strip().splitlines()[-1]


def test_one_image_alone_is_refused(spots, capsys):
    archive, labels = spots

    said = complaint(
        capsys, "defects", "fit", "--archive", archive.root, "--labels", labels,
        "--mosaic", "image-0", *PATCH,
    )  # fmt: skip

    assert "at least 2 images are needed" in said
    assert said.endswith("got 1")


def test_two_images_are_too_few_to_evaluate(spots, capsys):
    archive, labels = spots

    said = complaint(
        capsys, "defects", "evaluate", "--archive", archive.root, "--labels", labels,
        "--mosaic", "image-[01]",
    )  # fmt: skip

    assert "at least 3 images are needed" in said


def test_a_patch_that_is_larger_than_an_image_is_refused(spots, capsys):
    archive, _ = spots

    said = complaint(capsys, "defects", "fit", "--archive", archive.root, "--patch-px", "200")

    assert "--patch-px must not exceed the image, got 200 for an image of 128 x 128 px" in said


def test_no_normal_patches_are_refused(spots, tmp_path, capsys):
    archive, _ = spots
    labels = tmp_path / "all.csv"
    rows = [f"image-{i},64,64,400" for i in range(6)]
    labels.write_text("image,y,x,radius_px\n" + "\n".join(rows) + "\n")

    said = complaint(
        capsys, "defects", "fit", "--archive", archive.root, "--labels", labels, *PATCH
    )

    assert "--labels leave no normal patches to learn from: all 96" in said


def test_constant_patches_are_refused(tmp_path, capsys):
    archive = create_archive(tmp_path / "a")
    for i in range(3):
        write_mosaic(
            archive.mosaic(f"flat-{i}"), np.full((64, 64), 7, np.uint8), pixel_size_nm=None
        )

    said = complaint(capsys, "defects", "fit", "--archive", archive.root, *PATCH)

    assert "all 12 patches are constant" in said


def test_labels_of_an_unknown_image_are_refused(spots, tmp_path, capsys):
    archive, _ = spots
    labels = tmp_path / "zebra.csv"
    labels.write_text("image,y,x\nzebra,4,4\n")

    said = complaint(
        capsys, "defects", "fit", "--archive", archive.root, "--labels", labels, *PATCH
    )

    assert "name an image that is not there: 'zebra'" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "--method", "magic"), "--method must be one of lattice,"),
        (("fit", "--stride-px", "99"), "--stride-px must be 1 to --patch-px"),
        (("fit", "--sessions", "gone.csv"), "--sessions: gone.csv cannot be read"),
        (("fit", "--labels", "labels/gone"), "--labels: mosaic image-0 has no labels/gone"),
        (("fit", "--features", "x"), "--features is for patch-core and padim, not lattice"),
        (("score", "--model", "nobody@candidate"), "model nobody@candidate is not registered"),
        (("evaluate",), "--labels is missing"),
    ],
)
def test_what_cannot_be_used_is_named(spots, capsys, arguments, message):
    archive, _ = spots

    assert message in complaint(capsys, "defects", *arguments, "--archive", archive.root)


def test_labels_without_a_defect_cannot_be_evaluated(spots, tmp_path, capsys):
    archive, _ = spots
    labels = tmp_path / "none.csv"
    labels.write_text("image,y,x\n")

    said = complaint(
        capsys, "defects", "evaluate", "--archive", archive.root, "--labels", labels, *PATCH
    )

    assert "there is nothing to find" in said


def test_an_unknown_kind_cannot_be_simulated(tmp_path, capsys):
    said = complaint(capsys, "defects", "simulate", tmp_path / "out", "--kind", "hole")

    assert "--kind must be one of vacancy" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_not_simulated_into(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")

    assert "must not be there yet" in complaint(capsys, "defects", "simulate", tmp_path)


def test_fit_score_and_score_again(spots, capsys):
    archive, labels = spots
    common = ["--archive", str(archive.root), "--labels", str(labels), "--json"]

    assert run(["defects", "fit", *common, *PATCH, "--false-alarms", "0.5"]) == 0
    fitted = json.loads(capsys.readouterr().out)
    assert run(["defects", "score", *common]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert run(["defects", "score", *common, "--no-report"]) == 0
    again = json.loads(capsys.readouterr().out)

    assert fitted["done"] == "fitted"
    assert fitted["method"] == "blur-maximum"
    assert (scored["mosaics"], scored["unchanged"], scored["patches"]) == (6, 0, 96)
    assert (again["unchanged"], again["defects"]) == (6, scored["defects"])
    rows = read_rows(archive, "defects").to_pylist()
    assert {row["mosaic"] for row in rows if row["kind"] == "spot"} == {
        f"image-{i}" for i in range(4)
    }
    assert all(row["model_uri"] == scored["model"] for row in rows)
    assert all(row["size_nm"] == pytest.approx(row["size_px"] * 0.5) for row in rows)
    page = (archive.reports / "defects-defects-1.html").read_text()
    assert "Ranked by score" in page
    assert "Against the labels" in page


def test_a_detector_that_draws_maps_leaves_one_for_every_mosaic(spots, capsys):
    archive, labels = spots
    common = ["--archive", str(archive.root), "--json"]
    fit = ["--method", "fourier", "--patch-px", "32", "--labels", str(labels)]

    assert run(["defects", "fit", *common, *fit]) == 0
    assert run(["defects", "score", *common, "--no-report"]) == 0

    assert json.loads(capsys.readouterr().out.splitlines()[-1])["quarantined"] == 0
    score_map = open_mosaic(archive.root / "defects" / "defects-1" / "image-0.ome.zarr")
    assert score_map.info.shape == (128, 128)
    assert score_map.info.pixel_size_nm == 0.5
    assert score_map.info.acquisition["method"] == "fourier"
    oddness = score_map.read(Window(0, 0, 128, 128))
    y, x = np.unravel_index(int(oddness.argmax()), oddness.shape)
    assert abs(y - 20) < 8
    assert abs(x - 80) < 8
    # Maps are no mosaics of the archive: nothing else works on them.
    assert archive.mosaic_names() == [f"image-{i}" for i in range(6)]


def test_known_defects_can_come_from_an_instance_image(spots, capsys):
    archive, _ = spots
    for i in range(6):
        ids = np.zeros((128, 128), np.uint32)
        if i < 4:
            ids[15 + 10 * i : 25 + 10 * i, 75:85] = 1
        writer = create_instances(
            archive.mosaic(f"image-{i}"), "flaws", shape=(128, 128), pixel_size_nm=0.5
        )
        writer.write_core(Window(0, 0, 128, 128), ids)
        writer.finish()

    status = run(
        ["defects", "evaluate", "--archive", str(archive.root), "--labels", "labels/flaws",
         "--json", *PATCH, "--folds", "3"]
    )  # fmt: skip

    found = json.loads(capsys.readouterr().out)
    assert status == 0
    assert found["defects"] == 4
    assert found["pr_auc"] > 0.9
    assert set(found["methods"]) == {"blur-maximum"}


def test_an_evaluation_leads_with_what_could_be_mistaken_for_a_defect(spots, capsys):
    archive, labels = spots

    status = run(
        ["defects", "evaluate", "--archive", str(archive.root), "--labels", str(labels),
         "--patch-px", "32", "--method", "blur-maximum", "--method", "isolation-forest-published",
         "--folds", "3", "--json"]
    )  # fmt: skip

    found = json.loads(capsys.readouterr().out)
    page = (archive.reports / "defects-evaluation.html").read_text()
    assert status == 0
    assert found["best"] == "blur-maximum"
    headings = [page.index(f'id="{name}-title"') for name in ("leaks", "gap", "curves")]
    assert headings == sorted(headings)
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_mosaic_smaller_than_a_patch_cannot_be_scored(spots, capsys):
    archive, labels = spots
    common = ["--archive", str(archive.root)]
    assert run(["defects", "fit", *common, "--labels", str(labels), *PATCH]) == 0
    add(archive, "tiny", size=20)
    capsys.readouterr()

    said = complaint(capsys, "defects", "score", *common)

    assert "mosaic tiny is smaller than the model's patches: 20 x 20 px against 32" in said
