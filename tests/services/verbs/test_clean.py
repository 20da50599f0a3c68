from contextlib import contextmanager
from unittest.mock import Mock

import numpy as np
import pytest
from mlflow import MlflowClient

from pipelines.archive import create_archive, particle_id
from pipelines.errors import LabelError, SettingsError
from services import cli, tracking
from services.cleaning import out_of_sample
from services.label_store import list_versions, read_labels
from services.tracking import store_uri
from services.train_plan import plan_training
from services.verbs import clean, train

N = 150
HANDS = ["left" if i % 3 else "right" for i in range(N)]
#: Places of wrong labels.
WRONG = range(0, N, 7)


def run(archive, **settings):
    return clean.execute(clean.Settings(archive=archive.root, **settings))


def ids_of(places):
    return {particle_id("m", place + 1) for place in places}


def add_wrong_labels(archive, archive_maker):
    """A mosaic of both hands, one label in seven of which is wrong."""
    archive_maker.mosaic(archive, "m", HANDS)
    other = {"left": "right", "right": "left"}
    given = [other[hand] if i in WRONG else hand for i, hand in enumerate(HANDS)]
    archive_maker.labels(archive, {("m", i + 1): label for i, label in enumerate(given)})
    return archive


@pytest.fixture
def mislabelled(tmp_path, archive_maker):
    return add_wrong_labels(create_archive(tmp_path / "a"), archive_maker)


@pytest.fixture(scope="module")
def settings(quick):
    return {**quick, "hold_out": (), "folds": 3, "repeats": 1, "canaries": 0.04}


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory, archive_maker, settings):
    """An archive after its cleaning; tests only read it."""
    archive = create_archive(tmp_path_factory.mktemp("cleaned") / "a")
    add_wrong_labels(archive, archive_maker)
    return archive, run(archive, **settings)


@pytest.fixture
def quick_folds(monkeypatch):
    """Train nothing: networks are right of every particle but each tenth. Count the trainings.

    Nor is anything kept in MLflow, whose database takes seconds to make.
    """
    trained = []

    @contextmanager
    def track_nothing(*_, **__):
        yield Mock(spec=tracking.TrackedRun, run_id="r")

    def say(fold, folder, train):
        trained.append(fold.name)
        ids = fold.plan.particles.particle_ids[fold.held_out]
        true = {particle_id("m", i + 1): hand == "right" for i, hand in enumerate(HANDS)}
        right = np.array([true[i] for i in ids.tolist()], dtype=float)
        prob = np.where(ids % 10 == 0, 0.5, 0.1 + 0.8 * right)
        return np.stack([1 - prob, prob], axis=1)

    monkeypatch.setattr(out_of_sample, "_train_and_predict", say)
    monkeypatch.setattr(tracking, "track_run", track_nothing)
    return trained


def test_wrong_labels_are_found(cleaned):
    _, outcome = cleaned
    values = outcome.values

    assert outcome.word == "cleaned"
    assert values["judged"] == 144
    assert values["precision"] >= 0.8
    assert values["recall"] >= 0.8
    assert values["error_rate_low"] < 1 / 7 < values["error_rate_high"]
    assert values["error_rate_after"] < 0.05
    assert values["canaries"] == 6
    assert values["canaries_found"] >= 4


def test_the_result_is_a_new_version_with_its_parent(cleaned):
    archive, outcome = cleaned

    first, second = list_versions(archive)

    assert (second.version, second.parent_version) == (1, 0)
    assert second.parent_digest == first.digest
    assert second.method == "clean"
    assert second.run_id == outcome.values["run"]
    assert second.rules["cleaned_version"] == 0
    assert second.rules["settings"]["folds"] == 3
    assert second.rules["error_rate"] == outcome.values["error_rate"]
    assert second.digest == outcome.values["digest"]


def test_flagged_labels_wait_for_a_decision_and_the_others_stay(cleaned):
    archive, outcome = cleaned

    before = {row["particle_id"]: row for row in read_labels(archive, 0).to_pylist()}
    after = {
        row["particle_id"]: row for row in read_labels(archive, with_unlabelled=True).to_pylist()
    }

    assert before.keys() == after.keys()
    changed = {i for i in after if after[i] != before[i]}
    assert len(changed) == outcome.values["flagged"]
    for i in changed:
        assert after[i]["state"] in ("proposed", "undeterminable")
        assert after[i]["label"] != before[i]["label"]
        assert f"given {before[i]['label']}" in after[i]["reason"]


def test_labels_in_doubt_are_not_trained_on(cleaned):
    archive, outcome = cleaned

    planned = plan_training(archive, train.Settings(archive=archive.root))

    # Without a label they remain as particles of known truth.
    assert (planned.plan.given_labels == -1).sum() == outcome.values["flagged"]


def test_the_run_and_the_report_can_be_looked_up(cleaned):
    archive, outcome = cleaned

    made = MlflowClient(store_uri(archive, None)).get_run(outcome.values["run"])
    page = (archive.reports / f"clean-{outcome.values['run']}.html").read_text()

    assert made.info.status == "FINISHED"
    assert made.data.params["folds"] == "3"
    assert made.data.metrics["error_rate"] == outcome.values["error_rate"]
    assert outcome.values["report"].endswith(f"clean-{outcome.values['run']}.html")
    for heading in ("Labels found wrong", "How far to trust it", "Population before and after"):
        assert heading in page
    assert 'src="data:image/png;base64,' in page


def test_another_filter_needs_no_training(mislabelled, quick_folds, settings):
    run(mislabelled, **settings)
    assert len(quick_folds) == 3

    again = run(mislabelled, **settings, label_version=0, filter_by="predicted_neq_given")

    assert len(quick_folds) == 3
    assert again.values["cleaned_version"] == 0


def test_cleaned_labels_that_are_cleaned_again_are_divided_anew(mislabelled, quick_folds, settings):
    run(mislabelled, **settings)
    again = run(mislabelled, **settings)

    assert len(quick_folds) == 6
    assert again.values["cleaned_version"] == 1
    assert again.values["flagged"] == 0


def test_an_interrupted_cleaning_goes_on_where_it_was(
    mislabelled, quick_folds, settings, monkeypatch, capsys
):
    say = out_of_sample._train_and_predict

    def say_and_die(fold, *rest):
        if fold.name == "repeat-1-fold-0":
            raise KeyboardInterrupt
        return say(fold, *rest)

    more = {**settings, "repeats": 2}
    monkeypatch.setattr(out_of_sample, "_train_and_predict", say_and_die)
    with pytest.raises(KeyboardInterrupt):
        run(mislabelled, **more)
    monkeypatch.setattr(out_of_sample, "_train_and_predict", say)
    outcome = run(mislabelled, **more)

    names = [f"repeat-{repeat}-fold-{fold}" for repeat in (0, 1) for fold in (0, 1, 2)]
    assert quick_folds == names
    assert "3 of 6 folds are there already" in capsys.readouterr().err
    assert outcome.values["version"] == 1


def test_a_persons_audit_decides_and_allows_the_rest(mislabelled, quick_folds, settings, tmp_path):
    first = run(mislabelled, **settings)
    proposed = [row for row in read_labels(mislabelled).to_pylist() if row["state"] == "proposed"]
    lines = [f"{row['particle_id']},{row['label']}" for row in proposed[1:]]
    lines.append(f"{proposed[0]['particle_id']},undeterminable")
    audit = tmp_path / "audit.csv"
    audit.write_text("particle_id,label\n" + "\n".join(lines))

    second = run(mislabelled, **settings, label_version=0, audit=audit)

    assert first.values["accepted"] == 0
    assert second.values["accepted"] == len(proposed) - 1
    assert second.values["undeterminable"] == first.values["undeterminable"] + 1
    assert second.values["parent"] == 1
    row_of = {
        row["particle_id"]: row
        for row in read_labels(mislabelled, with_unlabelled=True).to_pylist()
    }
    assert row_of[proposed[0]["particle_id"]]["state"] == "undeterminable"
    decided = row_of[proposed[1]["particle_id"]]
    assert (decided["state"], decided["decided_by"]) == ("accepted", "audit")


def test_known_truth_can_stand_for_the_audit(mislabelled, quick_folds, settings):
    # Some twenty wrong labels cannot show 95 %, but they can show 70 %.
    strict = run(mislabelled, **settings, audit_truth=200)
    mild = run(mislabelled, **settings, label_version=0, audit_truth=200, accept_precision=0.7)

    assert strict.values["accepted"] == 0
    assert mild.values["accepted"] >= 10


def test_canaries_are_no_part_of_the_result(mislabelled, quick_folds, settings):
    outcome = run(mislabelled, **{**settings, "canaries": 0.1})

    changed = {
        row["particle_id"]
        for row in read_labels(mislabelled, with_unlabelled=True).to_pylist()
        if row["state"] != "given"
    }
    assert outcome.values["canaries"] == 15
    # Planted errors are right labels: were they in the result, right labels would be changed.
    unsure = {particle_id("m", i + 1) for i in range(N) if particle_id("m", i + 1) % 10 == 0}
    assert changed <= ids_of(WRONG) | unsure


def test_labels_of_one_hand_are_judged_by_their_mirror_images(
    hands, quick_folds, settings, monkeypatch
):
    left = {particle_id("synthesis", i) for i in (58, 59, 60)}

    def say(fold, folder, train):
        ids = fold.plan.particles.particle_ids[fold.held_out]
        prob = np.where([i in left for i in ids.tolist()], 0.1, 0.9)
        return np.stack([1 - prob, prob], axis=1)

    monkeypatch.setattr(out_of_sample, "_train_and_predict", say)
    outcome = run(hands, **{**settings, "hold_out": ("mixed",), "canaries": 0.0})

    proposed = read_labels(hands).to_pylist()
    assert outcome.values["proposed"] == 3
    assert {row["particle_id"] for row in proposed if row["state"] == "proposed"} == left
    assert {row["label"] for row in proposed if row["state"] == "proposed"} == {"left"}
    assert outcome.values["error_rate"] == pytest.approx(3 / 60)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"label_version": 9}, LabelError, "label version 9 does not exist"),
        ({"folds": 151}, SettingsError, "--folds must be at most .* 150, got 151"),
        ({"mirror_pair": ("right:right",)}, LabelError, "right:right"),
        ({"method": "magic"}, SettingsError, "--method must be one of"),
        ({"audit": "no.csv"}, SettingsError, "--audit: no.csv does not exist"),
        ({"audit": "no.csv", "audit_truth": 3}, SettingsError, "exclude each other, got no.csv"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    mislabelled, settings, changed, error, message
):
    with pytest.raises(error, match=message):
        run(mislabelled, **{**settings, **changed})

    assert not (mislabelled.root / "mlflow.db").exists()
    assert not (mislabelled.scratch / "clean").exists()


def test_a_class_without_enough_particles_for_the_folds_is_refused(
    mislabelled, settings, archive_maker
):
    archive_maker.labels(mislabelled, {("m", 1): "dot"})

    with pytest.raises(LabelError, match="class 'dot' has no particle to train on"):
        run(mislabelled, **settings)


def test_labels_of_one_class_without_a_mirror_image_are_refused(hands, settings):
    with pytest.raises(LabelError, match="all labels are 'right'"):
        run(hands, **{**settings, "mirror_pair": ()})


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--folds", "1"], "--folds"),
        (["--repeats", "0"], "--repeats"),
        (["--canaries", "0.5"], "--canaries"),
        (["--filter-by", "everything"], "--filter-by"),
        (["--audit-truth", "5", "--audit", "x.csv"], "--audit and --audit-truth exclude"),
    ],
)
def test_flags_that_break_their_rule_are_refused_in_one_line(tmp_path, flags, complaint, capsys):
    status = cli.run(["clean", "--archive", str(tmp_path), *flags])

    said = capsys.readouterr().err.strip().splitlines()
    assert status == 2
    assert len(said) == 1
    assert complaint in said[0]
