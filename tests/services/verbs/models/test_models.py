import json
import shutil

import pytest

from pipelines.archive import open_archive
from pipelines.errors import ModelError
from services import cli
from services.verbs import predict


@pytest.fixture(scope="module")
def archive(tmp_path_factory, trained_hands):
    """A copy of the archive with a trained model, to promote in."""
    root = tmp_path_factory.mktemp("models") / "a"
    shutil.copytree(trained_hands[0].root, root)
    return open_archive(root)


def tessera(capsys, archive, *words):
    capsys.readouterr()
    status = cli.run(["models", *words, "--archive", str(archive.root)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_errand_list_promote_show_and_no_way_back(archive, capsys):
    status, listed, _ = tessera(capsys, archive, "list")
    assert status == 0
    assert "classifier/1  candidate" in listed
    assert listed.splitlines()[-1] == "listed models=1 versions=1"

    status, promoted, _ = tessera(
        capsys, archive, "promote", "classifier", "@candidate", "--reason", "first of all",
        "--metrics", "gain=0.5", "--author", "ada",
    )  # fmt: skip
    assert status == 0
    assert promoted.startswith(
        "promoted model=models:/classifier/1 champion=1 previous=none since=20"
    )
    again = tessera(capsys, archive, "promote", "classifier", "1")[1]
    assert "unchanged=True" in again

    status, shown, _ = tessera(capsys, archive, "show", "classifier")
    assert status == 0
    first, since, *_ = shown.splitlines()
    assert first == "models:/classifier/1  candidate champion"
    assert since.startswith("champion since 20")
    assert "promoted 1 by ada: first of all gain=0.5" in shown

    status, _, said = tessera(capsys, archive, "rollback", "classifier")
    assert status == 2
    assert said == "tessera: model classifier has no previous champion to go back to\n"

    cli.run(["status", "--archive", str(archive.root), "--json"])
    at_a_glance = json.loads(capsys.readouterr().out)
    assert at_a_glance["champions"]["classifier"]["reason"] == "first of all"
    assert {run["verb"] for run in at_a_glance["runs"]} >= {"models promote", "models rollback"}


def test_the_card_says_what_it_was_trained_on_and_how_good_it_is(archive, capsys):
    shown = json.loads(tessera(capsys, archive, "show", "classifier", "1", "--json")[1])

    card = shown["card"]
    assert card["trained_on"]["pixel_size_nm"] == [2.0, 2.0]
    assert card["trained_on"]["instruments"] == ["unknown"]
    assert set(card["trained_on"]["mosaics"]) == {"synthesis"}
    assert card["trained_on"]["mosaics"]["synthesis"]["particles"] == 60
    assert 40 <= card["trained_on"]["labels"]["right"] < 60
    assert card["trained_on"]["labels"]["left"] == 0
    test = card["test"]
    for what in ("accuracy", "recall_left", "recall_right"):
        value = test[f"final_test_{what}"]
        assert test[f"final_test_{what}_low"] <= value <= test[f"final_test_{what}_high"]
    assert isinstance(card["known_failures"], list)


def test_the_screen_of_a_model_says_the_same_in_words(archive, capsys):
    _, shown, _ = tessera(capsys, archive, "show", "classifier", "@candidate")

    assert "pixel sizes  2 to 2 nm" in shown
    assert "settings     hold_out=mixed field_px=36.0 input_px=24 epochs=12" in shown
    assert "tested on 24 particles that it never saw" in shown
    assert "recall of left" in shown
    assert "held out" in shown
    assert "known failures" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "nobody"], "model nobody is not registered"),
        (["show", "classifier", "99"], "model classifier/99 is not registered"),
        (["show", "classifier", "first"], "model must be NAME@ALIAS or NAME/VERSION"),
        (["promote", "classifier"], "VERSION|@ALIAS is missing"),
        (["promote", "classifier", "1", "--metrics", "good"], "--metrics must be NAME=NUMBER"),
        (["list", "--name", "nobody"], "model nobody is not registered"),
        (
            ["list", "--tracking-uri", "http://ada:secret@127.0.0.1:9"],
            "--tracking-uri: http://***@127.0.0.1:9 must not hold a user or password",
        ),
    ],
)
def test_mistakes_are_said_in_one_line(archive, capsys, words, message):
    status, out, said = tessera(capsys, archive, *words)

    assert (status, out) == (2, "")
    (line,) = said.splitlines()
    assert message in line
    assert "secret" not in line


def test_a_model_is_refused_on_pixels_unlike_those_it_learnt_from_unless_forced(
    archive, archive_maker, capsys
):
    archive_maker.mosaic(archive, "coarse", ["right"] * 3, pixel_size_nm=4.1)
    settings = {"archive": archive.root, "model": "classifier@candidate", "mosaic": ("coarse",)}

    with pytest.raises(ModelError, match=r"coarse has pixels of 4\.1 nm.*--force"):
        predict.execute(predict.Settings(**settings))
    forced = predict.execute(predict.Settings(**settings, force=True))

    assert forced.values["particles"] == 3
    assert "forced: mosaic coarse has pixels of 4.1 nm" in capsys.readouterr().err


def test_a_model_is_refused_where_labels_name_a_class_that_it_does_not_know(
    archive, archive_maker, capsys
):
    archive_maker.mosaic(archive, "dusty", ["right"] * 2)
    archive_maker.labels(archive, {("dusty", 1): "dust"})
    settings = {"archive": archive.root, "model": "classifier@candidate"}

    with pytest.raises(ModelError, match=r"knows the classes left, right; .* dust too"):
        predict.execute(predict.Settings(**settings, mosaic=("dusty",)))
    elsewhere = predict.execute(predict.Settings(**settings, mosaic=("mixed",)))

    assert elsewhere.values["particles"] == 24
