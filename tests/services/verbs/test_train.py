import shutil

import numpy as np
import pytest
from mlflow import MlflowClient

from pipelines.archive import create_archive, particle_id
from pipelines.classifiers import fit
from pipelines.errors import ArchiveError, LabelError, MosaicError, SettingsError
from pipelines.tables import read_rows
from pipelines.training.checkpoint import read_model
from pipelines.training.splits import SELECT, SplitFractions, split_roles
from services import cli
from services.model_registry import load_model
from services.tracking import store_uri
from services.train_plan import plan_training
from services.verbs import train


def run(archive, **settings):
    return train.execute(train.Settings(archive=archive.root, **settings))


def client(archive):
    return MlflowClient(store_uri(archive, None))


def runs(archive):
    found = client(archive)
    (experiment,) = found.search_experiments(filter_string="name = 'tessera'")
    return found.search_runs([experiment.experiment_id])


def test_labels_of_one_hand_make_a_model_that_tells_both(trained_hands):
    _, outcome = trained_hands

    assert outcome.word == "trained"
    assert outcome.status == 0
    assert outcome.values["model"] == "classifier"
    assert outcome.values["version"] == "1"
    assert outcome.values["test_particles"] == 24
    assert outcome.values["test_accuracy"] >= 0.9
    assert 0 <= outcome.values["select_accuracy"] <= 1
    assert 40 <= outcome.values["particles"] < 60


def test_the_model_carries_what_is_needed_to_make_it_again(trained_hands):
    archive, outcome = trained_hands

    model = load_model(archive, "classifier@candidate")

    assert model.uri == outcome.values["uri"]
    assert model.run_id == outcome.values["run"]
    card = model.card
    assert card["seed"] == 0
    assert card["settings"]["epochs"] == 12
    assert set(card["mosaics"]) == {"synthesis", "mixed"}
    assert card["segmentations"] == {"synthesis": "s1", "mixed": "s1"}
    assert card["held_out"] == ["mixed"]
    assert card["label_version"] == 0
    assert len(card["label_digest"]) == 32
    # 3 of 60 particles are left-handed; some of them may have fallen to the select part.
    assert 0 < card["label_error_rate"] < 0.08
    assert {"torch", "numpy"} <= set(card["libraries"])
    assert model.config["classes"] == ["left", "right"]


def test_the_run_remembers_curves_figures_and_data(trained_hands):
    archive, outcome = trained_hands
    store = client(archive)

    made = store.get_run(outcome.values["run"])

    assert made.info.status == "FINISHED"
    assert made.data.params["epochs"] == "12"
    assert made.data.metrics["final_test_accuracy"] == outcome.values["test_accuracy"]
    assert made.data.metrics["n_test"] == 24
    curve = store.get_metric_history(outcome.values["run"], "select_accuracy")
    assert sorted(point.step for point in curve) == list(range(1, 13))
    figures = {file.path for file in store.list_artifacts(outcome.values["run"], "figures")}
    assert figures == {f"figures/{n}.png" for n in ("training", "confusion", "reliability")}
    (data,) = made.inputs.dataset_inputs
    assert data.dataset.digest == made.data.tags["label_digest"]


def test_nothing_of_the_work_in_progress_stays(trained_hands):
    archive, _ = trained_hands

    assert list((archive.scratch / "train").iterdir()) == []


def test_a_training_that_is_done_is_not_done_again(trained_hands, quick, capsys):
    archive, first = trained_hands

    again = run(archive, **quick)

    assert again.values == {**first.values, "unchanged": True}
    assert len(runs(archive)) == 1
    assert "there already" in capsys.readouterr().err


@pytest.mark.usefixtures("ready_store")
def test_an_interrupted_training_goes_on_and_ends_as_an_undisturbed_one(
    hands, trained_hands, quick, monkeypatch, capsys
):
    real = fit.write_checkpoint

    def write_and_die(folder, checkpoint):
        real(folder, checkpoint)
        if checkpoint.n_epochs_done == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(fit, "write_checkpoint", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        run(hands, **quick)
    monkeypatch.undo()
    resumed = run(hands, **quick)

    assert "going on after epoch 7" in capsys.readouterr().err
    undisturbed, whole = trained_hands
    weights, _ = read_model(load_model(hands, resumed.values["uri"]).folder)
    expected, _ = read_model(load_model(undisturbed, whole.values["uri"]).folder)
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)
    assert sorted(r.info.status for r in runs(hands)) == ["FINISHED", "KILLED"]


@pytest.mark.usefixtures("ready_store")
def test_another_seed_makes_another_version_of_the_model(hands, quick):
    few = {**quick, "epochs": 1}

    versions = [run(hands, **few, seed=seed).values["version"] for seed in (1, 2)]

    assert versions == ["1", "2"]
    assert load_model(hands, "classifier@candidate").version == "2"


@pytest.mark.usefixtures("ready_store")
def test_labels_that_change_are_learnt_anew(hands, quick, archive_maker):
    few = {**quick, "epochs": 1}
    run(hands, **few)
    archive_maker.labels(hands, {("synthesis", 60): "left"})

    newer = run(hands, **few)
    older = run(hands, **few, label_version=0)

    assert newer.values["version"] == "2"
    assert older.values["unchanged"]


def test_without_truth_there_is_a_model_and_no_test(tmp_path, archive_maker, quick):
    archive = create_archive(tmp_path / "a")
    hands = ["right", "left"] * 20
    archive_maker.mosaic(archive, "m", hands, truth=False)
    archive_maker.labels(archive, {("m", i + 1): hand for i, hand in enumerate(hands)})

    outcome = run(archive, **{**quick, "hold_out": (), "epochs": 1})

    assert outcome.values["test_particles"] == 0
    assert "test_accuracy" not in outcome.values


@pytest.mark.usefixtures("ready_store")
def test_trusted_labels_of_a_file_are_learnt_from(hands, quick, tmp_path):
    ids = sorted(
        row["particle_id"]
        for row in read_rows(hands, "particles").to_pylist()
        if row["mosaic"] == "synthesis"
    )
    path = tmp_path / "trusted.csv"
    path.write_text("particle_id,label\n" + "".join(f"{i},right\n" for i in ids[:5]))
    few = {**quick, "epochs": 1, "method": "two-step", "option": ("pretrain_epochs=1",)}

    outcome = run(hands, **few, trusted=path)

    assert outcome.values["epochs"] == 2


def test_nothing_that_is_kept_for_testing_can_be_trusted(hands, quick, tmp_path):
    held_out = [
        row["particle_id"]
        for row in read_rows(hands, "particles").to_pylist()
        if row["mosaic"] == "mixed"
    ]
    path = tmp_path / "trusted.csv"
    path.write_text(f"particle_id,label\n{min(held_out)},right\n")

    with pytest.raises(SettingsError, match=r"particle -?[0-9]+, which is kept for testing"):
        run(hands, **quick, trusted=path)


@pytest.mark.usefixtures("ready_store")
def test_the_test_part_is_scored_where_no_mosaic_is_held_out(hands, quick):
    outcome = run(hands, **{**quick, "hold_out": (), "epochs": 1}, test_share=0.3)

    assert 10 <= outcome.values["test_particles"] <= 30


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"label_version": 9}, LabelError, "label version 9 does not exist"),
        ({"method": "magic"}, SettingsError, "--method must be one of"),
        ({"option": ("q",)}, SettingsError, "--option must be NAME=NUMBER, got 'q'"),
        ({"option": ("q=1",)}, SettingsError, "--option: ce: method has no option q"),
        (
            {"method": "divide-mix", "option": ("alpha=-1",)},
            SettingsError,
            "--option: divide-mix: alpha must be above 0, got -1",
        ),
        ({"method": "two-step"}, SettingsError, "--method two-step needs particles of known"),
        ({"hold_out": ("nothing*",)}, SettingsError, r"no mosaic .* matches 'nothing\*'"),
        ({"hold_out": ("*",)}, SettingsError, "mosaics are held out"),
        ({"mosaic": ("mixed",)}, LabelError, "no label of a particle in mixed"),
        ({"mirror_pair": ()}, LabelError, "all labels are 'right'"),
        ({"mirror_pair": ("right",)}, SettingsError, "must be CLASS:CLASS, got 'right'"),
        ({"mirror_pair": ("right:right",)}, LabelError, "right:right"),
        ({"select_share": 0.6, "test_share": 0.5}, SettingsError, "must leave some"),
        ({"select_share": 0.0001}, LabelError, "falls to the 'select' part"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(hands, settings, error, message):
    with pytest.raises(error, match=message):
        run(hands, **settings)

    assert not (hands.root / "mlflow.db").exists()
    assert not (hands.scratch / "train").exists()


def test_an_archive_without_labels_says_which_verb_makes_them(tmp_path, archive_maker):
    archive = create_archive(tmp_path / "a")
    archive_maker.mosaic(archive, "m", ["right"] * 4)

    with pytest.raises(LabelError, match="has no labels: run tessera label first"):
        run(archive)


def test_an_empty_archive_says_which_verb_fills_it(tmp_path):
    with pytest.raises(ArchiveError, match="no mosaics"):
        run(create_archive(tmp_path / "a"))


def test_a_class_that_fell_to_the_select_part_alone_is_refused(hands, archive_maker):
    archive_maker.labels(hands, {("synthesis", 1): "dot"})

    ids = np.array([particle_id("synthesis", 1)])
    fractions = SplitFractions(select=0.15, test=0.0)
    seed = next(s for s in range(99) if split_roles(ids, fractions=fractions, seed=s)[0] == SELECT)

    with pytest.raises(LabelError, match="class 'dot' has no particle to train on"):
        run(hands, hold_out=("mixed",), seed=seed)


def test_labels_without_their_particles_are_refused(hands):
    shutil.rmtree(hands.table("particles"))
    with pytest.raises(LabelError, match="no particles"):
        plan_training(hands, train.Settings(archive=hands.root))


def test_mosaics_of_unknown_pixel_size_are_seen_in_pixels_or_not_with_others(hands, archive_maker):
    archive_maker.mosaic(hands, "unsized", ["right"] * 20, pixel_size_nm=None)
    archive_maker.labels(hands, {("unsized", i): "right" for i in range(1, 21)})

    def planned(**settings):
        return plan_training(hands, train.Settings(archive=hands.root, **settings)).plan

    with pytest.raises(MosaicError, match="unsized have no pixel size, others have"):
        planned()
    with pytest.raises(SettingsError, match="--field-nm needs mosaics of known pixel size"):
        planned(field_nm=50.0)
    assert planned(field_px=33.0).view.field_px(None) == 33
    alone = planned(mosaic=("unsized",)).view
    assert (alone.in_nm, alone.field) == (False, 29.9)
    sized = planned(mosaic=("synthesis",)).view
    assert (sized.in_nm, sized.field) == (True, 59.8)


def test_classes_without_a_mirror_pair_are_learnt_without_mirror_images(hands, archive_maker):
    archive_maker.labels(
        hands, {("synthesis", i): "blob" if i % 2 else "dot" for i in range(1, 61)}
    )

    plan = plan_training(hands, train.Settings(archive=hands.root)).plan

    assert plan.classes == ["blob", "dot"]
    assert not plan.use_mirror_images
    assert not plan.network["antisymmetric"]


def test_no_held_out_particle_is_trained_on(hands, archive_maker):
    archive_maker.labels(hands, {("mixed", i): "left" for i in range(1, 25)})

    planned = plan_training(hands, train.Settings(archive=hands.root, hold_out=("mixed",)))

    held_out = planned.data.in_held_out
    assert held_out.sum() == 24
    assert (planned.plan.roles[held_out] == 3).all()
    assert (planned.plan.given_labels[held_out] == -1).all()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--name", "no/slash"], "--name"),
        (["--input-px", "20"], "--input-px"),
        (["--rotations", "3"], "--rotations"),
        (["--network", "resnet"], "--network"),
    ],
)
def test_settings_that_break_their_rule_exit_with_2(hands, flags, complaint, capsys):
    assert cli.run(["train", "--archive", str(hands.root), *flags]) == 2

    error = capsys.readouterr().err
    assert complaint in error
    assert "Traceback" not in error


def test_the_result_is_one_line_of_keys_and_values(trained_hands, quick, capsys):
    archive, first = trained_hands
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in quick.items()
             if name != "hold_out"]  # fmt: skip

    status = cli.run(["train", "--archive", str(archive.root), "--hold-out", "mixed", *flags])

    assert status == 0
    out = capsys.readouterr().out
    assert out.startswith("trained method=ce run=")
    assert f" model=classifier version={first.values['version']} " in out
    assert out.count("\n") == 1


def test_a_training_can_begin_from_a_registered_model(trained_hands, quick, tmp_path):
    archive, first = trained_hands
    copy = tmp_path / "a"
    shutil.copytree(archive.root, copy)
    archive = type(archive)(copy)

    warm = run(archive, **{**quick, "epochs": 1, "start": "classifier/1"})
    again = run(archive, **{**quick, "epochs": 1, "start": "classifier@candidate"})

    assert warm.values["version"] == "2"
    assert warm.values["test_accuracy"] >= first.values["test_accuracy"] - 0.1
    # From version 2 on it is another training.
    assert again.values["version"] == "3"


def test_a_model_that_a_killed_run_registered_is_not_registered_twice(
    trained_hands, quick, tmp_path, monkeypatch
):
    archive, _ = trained_hands
    copy = tmp_path / "a"
    shutil.copytree(archive.root, copy)
    archive = type(archive)(copy)

    def die(*arguments):
        raise RuntimeError("killed between registry and ledger")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.ledger.append_entries", die)
        with pytest.raises(RuntimeError, match="killed"):
            run(archive, **{**quick, "epochs": 2})
    again = run(archive, **{**quick, "epochs": 2})

    assert again.values["version"] == "2"
    assert len(client(archive).search_model_versions("name = 'classifier'")) == 2
