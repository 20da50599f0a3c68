from types import SimpleNamespace

import pytest

from pipelines.sweeps import flow
from pipelines.sweeps.flow import ERROR_FILE, Room, run_trials
from pipelines.sweeps.trial import PREDICTIONS_FILE, RESULT_FILE


def leave(folder, end=RESULT_FILE):
    """Leave in a trial's folder what one that was judged has there."""
    folder.mkdir(exist_ok=True)
    (folder / PREDICTIONS_FILE).touch()
    (folder / end).write_text('{"last": 0.5}')


def made(key, error=""):
    return SimpleNamespace(config={"key": key}, get_error=lambda: error)


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Run trials whose rounds end as they are told, and return failures, results and rounds."""

    def sweep(*rounds):
        wanted, taken = [], []
        scripts = iter(rounds)

        def run_round(study, trials, *, folder, told, **how):
            wanted.append("".join(trials))
            for key, end in next(scripts).items():
                if end == "dies":
                    told.on_trial_error(1, [], made(key, "a long story\nNodeDiedError\n"))
                else:
                    leave(folder / key, end)
                    told.on_trial_complete(1, [], made(key))

        for key in "ab":
            (tmp_path / key).mkdir()
        monkeypatch.setattr(flow, "_run_round", run_round)
        failures = run_trials(
            tmp_path, dict.fromkeys("ab"), folder=tmp_path, room=Room(2),
            on_result=lambda key, result: taken.append(key),
        )  # fmt: skip
        return failures, taken, wanted

    return sweep


def test_trials_that_lose_their_workers_are_run_again_without_those_that_are_done(sweep):
    failures, taken, rounds = sweep(
        {"a": RESULT_FILE, "b": "dies"}, {"b": "dies"}, {"b": RESULT_FILE}
    )

    assert (failures, taken, rounds) == ({}, ["a", "b"], ["ab", "b", "b"])


def test_a_trial_that_always_kills_its_worker_is_given_up(sweep):
    failures, taken, rounds = sweep({"a": RESULT_FILE, "b": "dies"}, {"b": "dies"}, {"b": "dies"})

    assert failures == {"b": "its worker died: NodeDiedError"}
    assert (taken, rounds) == (["a"], ["ab", "b", "b"])


def test_a_trial_that_cannot_be_is_not_run_again(sweep):
    failures, _, rounds = sweep({"a": RESULT_FILE, "b": ERROR_FILE})

    assert failures == {"b": '{"last": 0.5}'}
    assert rounds == ["ab"]


def test_a_result_whose_predictions_are_missing_does_not_count(tmp_path):
    leave(tmp_path)
    assert flow.read_result(tmp_path) == {"last": 0.5}

    (tmp_path / PREDICTIONS_FILE).unlink()

    assert flow.read_result(tmp_path) is None


def test_a_result_is_handed_on_once_and_what_breaks_off_is_told(tmp_path, capsys):
    leave(tmp_path / "a")
    taken = []
    told = flow._Told(tmp_path, lambda key, result: taken.append((key, result)))

    told.on_trial_recover(1, [], made("a"))
    for _ in range(2):
        told.on_trial_complete(1, [], made("a"))

    assert taken == [("a", {"last": 0.5})]
    assert capsys.readouterr().err == "a trial broke off; its checkpoint is kept\n"
