from pipelines.archive import create_archive
from services.cli import run
from services.label_store import current_version, list_versions


def test_versions_are_listed_the_newest_first(tessera):
    status, out, _ = tessera("list", as_json=False)

    assert status == 0
    head, newest, oldest, line = out.splitlines()
    assert head.split() == [
        "version",
        "when",
        "(UTC)",
        "author",
        "method",
        "labels",
        "parent",
        "digest",
    ]
    assert newest.split()[0] == "1"
    assert oldest.split()[0] == "0"
    assert line.startswith("listed versions=2 newest=1 digest=")


def test_an_archive_without_labels_lists_none(tmp_path, capsys):
    create_archive(tmp_path / "empty")

    assert run(["versions", "list", "--archive", str(tmp_path / "empty")]) == 0
    assert capsys.readouterr().out == "listed versions=0\n"


def test_a_version_says_what_it_holds_and_who_made_it(tessera):
    _, said, _ = tessera("show", 1)

    assert said["counts"] == [
        {"label": "left", "state": "accepted", "n": 1},
        {"label": "right", "state": "given", "n": 58},
        {"label": None, "state": "undeterminable", "n": 1},
    ]
    assert (said["about"]["author"], said["about"]["parent_version"]) == ("bob", 0)
    assert said["about"]["rules"] == {"decisions": {"label": 1, "undeterminable": 1}}


def test_two_versions_are_compared_in_text_json_and_html(tessera, labelled):
    _, said, _ = tessera("diff", 0, 1)
    _, text, _ = tessera("diff", 0, as_json=False)

    assert (said["changed"], said["same"]) == (2, 58)
    assert {(t["label_after"], t["state_after"], t["n"]) for t in said["transitions"]} == {
        ("left", "accepted", 1), (None, "undeterminable", 1),
    }  # fmt: skip
    left, _right = said["populations"]
    assert (left["before"]["n_class"], left["after"]["n_class"], left["after"]["n_total"]) == (
        0,
        1,
        59,
    )
    assert "right, given  left, accepted" in text
    page = (labelled.reports / "labels-0-1.html").read_text()
    assert "right, given → left, accepted" in page
    assert "<img" in page
    assert "parent_version</th><td>-</td><td>0</td>" in page


def test_a_version_that_is_not_there_is_refused_in_one_line(tessera):
    status, _, err = tessera("diff", 0, 9)

    assert status == 2
    assert err.count("\n") == 1
    assert "label version 9 does not exist" in err


def test_a_rollback_restores_the_digest_and_says_so(tessera, labelled):
    first = list_versions(labelled)[0]

    status, said, _ = tessera("rollback", 0, "--author", "cleo")

    assert (status, said["done"], said["version"], said["to"]) == (0, "restored", 2, 0)
    assert said["digest"] == first.digest
    assert current_version(labelled).author == "cleo"
    assert tessera("rollback", 0)[1]["unchanged"] is True


def test_an_honest_archive_is_verified_and_a_damaged_one_fails_with_the_version(tessera, labelled):
    status, said, err = tessera("verify")
    assert (status, said["done"], said["versions"]) == (0, "verified", 2)
    assert "verify: 2/2 commits" in err

    log = labelled.table("labels") / "_delta_log" / f"{1:020d}.json"
    log.write_text(log.read_text().replace('"bob"', '"eve"'))

    status, said, err = tessera("verify")
    assert (status, said["done"], said["damaged_version"]) == (1, "damaged", 1)
    assert "is damaged: label version 1: what it says of itself was changed" in err.splitlines()[-1]


def test_decided_labels_are_released(tessera):
    _, said, _ = tessera("release")

    assert (said["released"], said["in_doubt"], said["given"]) == (2, 0, 58)
