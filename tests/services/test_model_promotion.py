import json

import pytest
import torch

from pipelines.archive import create_archive
from pipelines.errors import ModelError
from pipelines.training.checkpoint import write_model
from services import model_promotion
from services.champions import read_champions
from services.model_history import read_promotions
from services.model_promotion import promote_model, rollback_model
from services.model_registry import load_model, register_model
from services.tracking import open_client, track_run

CARD = {
    "seed": 0,
    "settings": {"epochs": 1},
    "code_version": "1",
    "libraries": {"torch": "2"},
    "mosaics": {"m": "d"},
    "segmentations": {"m": "s"},
    "label_version": 0,
    "label_digest": "l",
}


# A database of MLflow's takes seconds to make: tests share one, each with a model of its own.
@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return create_archive(tmp_path_factory.mktemp("promotion") / "a")


@pytest.fixture
def name(request):
    return f"m{abs(hash(request.node.name))}"


@pytest.fixture
def register(archive, name, tmp_path):
    """Register versions of the test's model, in one run."""

    def register(*classes_of_each):
        with track_run(archive, "train", {}) as run:
            for i, classes in enumerate(classes_of_each):
                folder = tmp_path / str(i)
                write_model(folder, {"w": torch.tensor([float(i)])}, {"classes": classes})
                register_model(run, folder, name=name, card=CARD)

    return register


HANDS = ["left", "right"]


def aliases(archive, name):
    return {
        alias: str(version)
        for alias, version in open_client(archive).get_registered_model(name).aliases.items()
    }


def test_the_champion_so_far_becomes_previous(archive, name, register):
    register(HANDS, HANDS)

    promote_model(archive, name, "1", author="ada")
    second = promote_model(archive, name, "@candidate", author="ada", reason="better")

    assert aliases(archive, name) == {"candidate": "2", "champion": "2", "previous": "1"}
    assert (second.before, second.previous, second.is_new) == ("1", "1", True)


def test_every_change_is_remembered_with_time_author_reason_run_and_numbers(
    archive, name, register
):
    register(HANDS, HANDS)

    promote_model(archive, name, "1", author="ada", run_id="r1")
    promote_model(
        archive, name, "2", author="bob", reason="won\nby far", run_id="r2", metrics={"gain": 0.02}
    )

    first, second = read_promotions(open_client(archive), name)
    assert (first.version, first.author, first.run_id) == ("1", "ada", "r1")
    assert (second.author, second.reason, second.metrics) == ("bob", "won by far", {"gain": 0.02})
    assert first.at <= second.at
    champion = read_champions(archive)[name]
    assert (champion.version, champion.since) == ("2", second.at)


def test_the_champion_is_not_promoted_again(archive, name, register):
    register(HANDS)
    first = promote_model(archive, name, "1", author="ada")

    again = promote_model(archive, name, "@candidate", author="bob")

    assert not again.is_new
    assert (again.author, again.at) == ("ada", first.at)
    assert len(read_promotions(open_client(archive), name)) == 1


def test_a_rollback_brings_the_previous_champion_back_and_another_goes_further(
    archive, name, register
):
    register(HANDS, HANDS, HANDS)
    for version in "123":
        promote_model(archive, name, version, author="ada")

    rollback_model(archive, name, author="ada", reason="worse")
    after_one = aliases(archive, name)
    rollback_model(archive, name, author="ada")
    after_two = aliases(archive, name)

    assert (after_one["champion"], after_one["previous"]) == ("2", "1")
    assert after_two["champion"] == "1"
    assert "previous" not in after_two
    with pytest.raises(ModelError, match="no previous champion"):
        rollback_model(archive, name, author="ada")


def test_after_a_rollback_another_can_be_promoted(archive, name, register):
    register(HANDS, HANDS, HANDS)
    for version in "12":
        promote_model(archive, name, version, author="ada")
    rollback_model(archive, name, author="ada")

    promote_model(archive, name, "3", author="ada")
    rollback_model(archive, name, author="ada")

    assert aliases(archive, name)["champion"] == "1"


class CrashError(Exception):
    pass


def crash_after(monkeypatch, n_calls):
    """Die after so many changes of the registry."""
    real_client = open_client
    left = [n_calls]

    class Dying:
        def __init__(self, client):
            self._client = client

        def __getattr__(self, name):
            found = getattr(self._client, name)
            if not name.startswith(("set_", "delete_")):
                return found

            def change(*args, **kwargs):
                if not left[0]:
                    raise CrashError
                left[0] -= 1
                return found(*args, **kwargs)

            return change

    monkeypatch.setattr(model_promotion, "open_client", lambda *args: Dying(real_client(*args)))


@pytest.mark.parametrize("n_changes", range(4))
def test_a_promotion_that_crashes_anywhere_leaves_a_champion_and_the_next_is_sound(
    archive, name, register, monkeypatch, n_changes
):
    register(HANDS, HANDS, HANDS)
    for version in "12":
        promote_model(archive, name, version, author="ada")

    with monkeypatch.context() as patch:
        crash_after(patch, n_changes)
        with pytest.raises(CrashError):
            promote_model(archive, name, "3", author="ada")
    crashed = aliases(archive, name)
    promote_model(archive, name, "3", author="bob")

    # Noted down, the champion moved, previous moved, marked as done.
    assert crashed["champion"] == ("2" if n_changes < 2 else "3")
    assert aliases(archive, name) == {"candidate": "3", "champion": "3", "previous": "2"}
    done = read_promotions(open_client(archive), name)
    assert [change.version for change in done] == ["1", "2", "3"]
    assert read_champions(archive)[name].version == "3"


@pytest.mark.parametrize("n_changes", range(4))
def test_a_rollback_that_crashes_anywhere_leaves_a_champion_and_the_next_is_sound(
    archive, name, register, monkeypatch, n_changes
):
    register(HANDS, HANDS, HANDS)
    for version in "123":
        promote_model(archive, name, version, author="ada")

    with monkeypatch.context() as patch:
        crash_after(patch, n_changes)
        with pytest.raises(CrashError):
            rollback_model(archive, name, author="ada")
    crashed = aliases(archive, name)
    promote_model(archive, name, "2", author="bob")

    assert crashed["champion"] == ("3" if n_changes < 2 else "2")
    assert aliases(archive, name)["champion"] == "2"
    assert aliases(archive, name)["previous"] == ("3" if n_changes < 2 else "1")


def test_a_model_with_damaged_weights_is_not_promoted(archive, name, register):
    register(HANDS)
    weights = load_model(archive, f"{name}/1").folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")

    with pytest.raises(ModelError, match="weights"):
        promote_model(archive, name, "1", author="ada")

    assert "champion" not in aliases(archive, name)


def test_a_model_that_lacks_a_class_of_the_champion_is_refused_unless_forced(
    archive, name, register
):
    register(["left", "right", "none"], HANDS)
    promote_model(archive, name, "1", author="ada")

    with pytest.raises(ModelError, match="knows none, this one only left, right; --force"):
        promote_model(archive, name, "2", author="ada")
    promote_model(archive, name, "2", author="ada", force=True)

    assert aliases(archive, name)["champion"] == "2"


def test_a_reason_is_kept_short_enough_for_any_database_and_without_passwords(
    archive, name, register
):
    register(HANDS)

    promote_model(archive, name, "1", author="ada", reason="see http://a:b@c \x00 " + 'ü"' * 3000)

    client = open_client(archive)
    (kept,) = client.get_registered_model(name).tags.values()
    assert len(kept) < 5000
    assert json.loads(kept)["reason"].startswith("see http://***@c ü")


def test_a_champion_made_outside_is_respected_and_has_no_date(archive, name, register):
    register(HANDS, HANDS)
    open_client(archive).set_registered_model_alias(name, "champion", "1")

    same = promote_model(archive, name, "1", author="ada")
    promote_model(archive, name, "2", author="ada")

    assert (same.is_new, same.at) == (False, "")
    assert aliases(archive, name)["previous"] == "1"


def test_a_model_that_is_not_registered_is_refused(archive):
    with pytest.raises(ModelError, match="nobody/1 is not registered"):
        promote_model(archive, "nobody", "1", author="ada")
    with pytest.raises(ModelError, match="nobody is not registered"):
        rollback_model(archive, "nobody", author="ada")
