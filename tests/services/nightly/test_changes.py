from dataclasses import replace

from services.nightly.changes import Change, Snapshot, changed_files, find_changes, must_learn

LAST_NIGHT = Snapshot(
    sources={"/scans/a.tif": "[10, 1]"},
    mosaics={"a": "s1"},
    settings={"train": "t1", "gate": "g1"},
    results={"train": 1, "segment": 1},
    labels="l1",
    trust="r1",
    champion="models:/classifier/3",
)


def said(before, now):
    return [change.text for change in find_changes(before, now)]


def test_what_is_as_it_was_is_no_change():
    assert find_changes(LAST_NIGHT, LAST_NIGHT) == []


def test_a_new_file_and_a_changed_one_are_told_apart():
    sources = {"/scans/a.tif": "[11, 2]", "/scans/b.tif": "[5, 2]"}

    assert said(LAST_NIGHT, replace(LAST_NIGHT, sources=sources)) == [
        "file /scans/a.tif: changed",
        "file /scans/b.tif: new",
    ]


def test_a_file_that_is_gone_calls_for_nothing():
    assert said(LAST_NIGHT, replace(LAST_NIGHT, sources={})) == []


def test_a_mosaic_that_somebody_ingested_by_hand_is_found():
    now = replace(LAST_NIGHT, mosaics={"a": "s1", "b": ""})

    assert said(LAST_NIGHT, now) == ["mosaic b: new"]


def test_a_new_segmentation_is_found():
    now = replace(LAST_NIGHT, mosaics={"a": "s2"})

    assert said(LAST_NIGHT, now) == ["segmentation a: made anew"]


def test_settings_and_code_that_changed_are_named_by_stage():
    now = replace(
        LAST_NIGHT, settings={"train": "t2", "gate": "g1"}, results={"train": 1, "segment": 2}
    )

    assert said(LAST_NIGHT, now) == [
        "settings train: changed",
        "code segment: result version 1 to 2",
    ]


def test_a_stage_that_the_last_night_did_not_know_has_not_changed():
    now = replace(LAST_NIGHT, settings={**LAST_NIGHT.settings, "detect": "d1"})

    assert find_changes(LAST_NIGHT, now) == []


def test_decisions_of_people_are_changes():
    now = replace(LAST_NIGHT, labels="l2", trust="r2")

    assert said(LAST_NIGHT, now) == ["labels: changed", "trust: changed"]


def test_another_champion_is_named_with_the_one_before():
    now = replace(LAST_NIGHT, champion="models:/classifier/2")

    assert said(LAST_NIGHT, now) == ["champion: models:/classifier/3 to models:/classifier/2"]


def test_to_the_first_night_all_is_new_but_settings():
    assert said(Snapshot(), LAST_NIGHT) == [
        "file /scans/a.tif: new",
        "mosaic a: new",
        "labels: new",
        "trust: new",
        "champion: none to models:/classifier/3",
    ]


def test_only_files_that_are_new_or_changed_are_ingested():
    changes = [Change("file", "/b.tif", "new"), Change("mosaic", "a", "new")]

    assert changed_files(changes) == ["/b.tif"]


def test_a_night_learns_where_labels_are_others_than_those_it_left():
    assert must_learn([], labels_before="l1", labels_now="l2")
    assert not must_learn([], labels_before="l1", labels_now="l1")


def test_a_night_learns_where_learning_itself_has_changed():
    assert must_learn([Change("settings", "train", "")], labels_before="l", labels_now="l")
    assert must_learn([Change("code", "clean", "")], labels_before="l", labels_now="l")


def test_another_champion_or_more_trusted_labels_are_nothing_to_learn_from():
    changes = [Change("champion", "", "1 to 2"), Change("trust", "", "changed")]

    assert not must_learn(changes, labels_before="l", labels_now="l")


def test_without_labels_there_is_nothing_to_learn():
    assert not must_learn([Change("file", "a", "new")], labels_before="", labels_now="")
