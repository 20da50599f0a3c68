import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.archive import create_archive, particle_id
from pipelines.errors import SettingsError
from pipelines.tables import read_rows, replace_rows
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import CLEAN_SMALL, TEST
from services.cleaning.plan import plan_cleaning
from services.cli import run
from services.learning_settings import METHODS
from services.sweeping.study import study_archive
from services.train_plan import plan_training
from services.trust.entry import enter_trusted
from services.trust.portions import JUDGE, LEARN, read_trusted
from services.verbs import clean, train


def check(archive, folder, labels):
    """Enter checked labels: (mosaic, instance) -> label."""
    lines = [f"{mosaic},{instance},{label}" for (mosaic, instance), label in labels.items()]
    path = folder / "sheet.csv"
    path.write_text("\n".join(["mosaic,instance,label", *lines]))
    enter_trusted(archive, path, checked_by="ada")


def fill(archive, maker, folder):
    """Two mosaics; forty of the first one's particles are checked, one of them as unclear."""
    maker.mosaic(archive, "synthesis", ["right"] * 157 + ["left"] * 3)
    maker.mosaic(archive, "mixed", ["right", "left"] * 12)
    maker.labels(archive, {("synthesis", i): "right" for i in range(1, 161)})
    labels = {("synthesis", i): "right" for i in range(1, 40)}
    check(archive, folder, labels | {("synthesis", 40): "undeterminable"})
    return archive


@pytest.fixture(scope="module")
def checked(tmp_path_factory, archive_maker):
    """An archive with trusted labels; tests only read it."""
    folder = tmp_path_factory.mktemp("checked")
    return fill(create_archive(folder / "a"), archive_maker, folder)


@pytest.fixture
def own(tmp_path, archive_maker):
    """Such an archive of the test's own."""
    return fill(create_archive(tmp_path / "a"), archive_maker, tmp_path)


def ids_of(archive, portion):
    return set(read_trusted(archive, portion)["particle_id"].to_pylist())


def roles_of(planned):
    plan = planned.plan
    return dict(zip(plan.particles.particle_ids.tolist(), plan.roles.tolist(), strict=True))


@given(
    seed=st.integers(0, 1000),
    method=st.sampled_from(METHODS),
    select_share=st.sampled_from([0.15, 0.3]),
    trusted_share=st.sampled_from([0.05, 0.4]),
    test_share=st.sampled_from([None, 0.0, 0.05]),
    hold_out=st.sampled_from([(), ("mixed",)]),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_flags_what_judges_is_in_no_role_but_test(
    checked, seed, method, select_share, trusted_share, test_share, hold_out
):
    planned = plan_training(
        checked,
        train.Settings(
            archive=checked.root,
            seed=seed,
            method=method,
            select_share=select_share,
            trusted_share=trusted_share,
            test_share=test_share,
            hold_out=hold_out,
            field_px=36.0,
            input_px=24,
        ),
    )

    judges = ids_of(checked, JUDGE)
    roles = roles_of(planned)
    assert {roles[particle] for particle in judges & roles.keys()} == {TEST}
    given_labels = planned.plan.given_labels[
        np.isin(planned.plan.particles.particle_ids, [*judges])
    ]
    assert (given_labels == UNKNOWN).all()


def quick(archive, **more):
    return train.Settings(archive=archive.root, field_px=36.0, input_px=24, **more)


def test_the_other_portion_is_trusted_and_nothing_else_is_done_with_it(checked):
    planned = plan_training(checked, quick(checked, method="two-step"))

    roles = roles_of(planned)
    learn = ids_of(checked, LEARN) & roles.keys()
    assert {roles[particle] for particle in learn} == {CLEAN_SMALL}
    true = planned.plan.true_labels[np.isin(planned.plan.particles.particle_ids, [*learn])]
    assert {planned.plan.classes[label] for label in true} == {"right"}


def test_what_a_person_checked_is_true_whatever_the_archive_said(own, tmp_path):
    judge = min(read_trusted(own, JUDGE)["instance"].to_pylist())
    check(own, tmp_path, {("synthesis", judge): "left"})

    plan = plan_training(own, quick(own)).plan

    place = plan.particles.particle_ids.tolist().index(particle_id("synthesis", judge))
    assert plan.classes[plan.true_labels[place]] == "left"


@pytest.mark.parametrize("label", ["right", "undeterminable"])
def test_a_file_of_trusted_labels_that_names_a_judge_is_refused(own, tmp_path, label):
    unclear = particle_id("synthesis", 40)
    judges = {"right": min(ids_of(own, JUDGE) - {unclear}), "undeterminable": unclear}
    # The unclear one has no class, so that no plan lists it, and is refused all the same.
    assert unclear in ids_of(own, JUDGE)
    path = tmp_path / "trusted.csv"
    path.write_text(f"particle_id,label\n{judges[label]},right\n")

    with pytest.raises(SettingsError, match=f"names particle {judges[label]}, which judges"):
        plan_training(own, quick(own, trusted=path))


def segment_anew(archive):
    """Give all particles of the first mosaic other numbers, as another segmentation would."""
    rows = read_rows(archive, "particles", filters=[("mosaic", "=", "synthesis")]).to_pylist()
    for row in rows:
        row["instance"] = 161 - row["instance"]
        row["particle_id"] = particle_id("synthesis", row["instance"])
        row["segmentation"] = "s2"
    table = read_rows(archive, "particles").schema
    replace_rows(
        archive, "particles", pa.Table.from_pylist(rows, table), where="mosaic = 'synthesis'"
    )
    group = archive.mosaic("synthesis") / "labels" / "instances" / "zarr.json"
    group.write_text(group.read_text().replace('"s1"', '"s2"'))


def test_after_a_new_segmentation_judges_are_kept_apart_though_nothing_was_carried_over(
    own, archive_maker
):
    places = set(read_trusted(own, JUDGE)["bbox_x0_px"].to_pylist())
    segment_anew(own)
    archive_maker.labels(own, {("synthesis", i): "right" for i in range(1, 161)}, segmentation="s2")

    planned = plan_training(own, quick(own, trusted_share=0.3))

    x0 = planned.data.rows["bbox_x0_px"].to_numpy()
    mosaics = np.array(planned.data.rows["mosaic"].to_pylist())
    in_their_place = np.isin(x0, [*places]) & (mosaics == "synthesis")
    assert in_their_place.sum() >= len(places) - 1
    assert set(planned.plan.roles[in_their_place].tolist()) == {TEST}


def test_cleaning_trains_on_no_judge(checked):
    planned = plan_cleaning(
        checked,
        clean.Settings(
            archive=checked.root, folds=2, repeats=1, field_px=36.0, input_px=24, canaries=0.0
        ),
    )

    assert not ids_of(checked, JUDGE) & set(planned.plan.particles.particle_ids.tolist())
    for fold in planned.folds:
        assert not ids_of(checked, JUDGE) & set(fold.plan.particles.particle_ids.tolist())


def test_sweeps_choose_methods_without_the_judges(checked):
    study = study_archive(
        checked, learn=["synthesis"], test=["mixed"], control=[],
        mirror_pairs=[("right", "left")], input_px=24,
    )  # fmt: skip

    assert not ids_of(checked, JUDGE) & set(study.particle_ids.tolist())


def test_a_sheet_is_drawn_filled_in_entered_and_counted(hands, tmp_path, capsys):
    def tessera(*arguments):
        status = run(["trust", *map(str, arguments), "--archive", str(hands.root), "--json"])
        assert status == 0
        return json.loads(capsys.readouterr().out)

    sheet = tmp_path / "sheet.csv"
    sampled = tessera("sample", "--out", sheet, "--n", 12)
    assert (sampled["particles"], sampled["strata"]) == (12, 6)
    page = (hands.reports / "check-sheet.html").read_text()
    assert page.count("<figure") >= 1
    assert "lines 1 to 12" in page

    sheet.write_text(sheet.read_text().replace(",s1,,", ",s1,left,"))
    entered = tessera("import", sheet, "--author", "bob")
    assert (entered["new"], entered["learn"] + entered["judge"]) == (12, 12)

    shown = tessera("show")
    assert (shown["trusted"], shown["waiting"]) == (12, 0)
    assert (shown["learn"], shown["judge"]) == (entered["learn"], entered["judge"])
    assert {kind["label"] for kind in shown["kinds"]} == {"left"}


def test_a_sheet_that_is_there_is_not_written_over(hands, tmp_path, capsys):
    (tmp_path / "s.csv").write_text("mine")

    status = run(
        ["trust", "sample", "--archive", str(hands.root), "--out", str(tmp_path / "s.csv")]
    )

    assert status == 2
    assert "exists; --force writes over it" in capsys.readouterr().err
    assert (tmp_path / "s.csv").read_text() == "mine"


def test_an_archive_without_trusted_labels_shows_none(hands, capsys):
    assert run(["trust", "show", "--archive", str(hands.root)]) == 0

    assert capsys.readouterr().out == "shown trusted=0 learn=0 judge=0 waiting=0\n"
