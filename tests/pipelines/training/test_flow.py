import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from ray.train import WorkerGroupError
from ray.train.torch import TorchTrainer

from cluster.resources import Node, NoRoomError
from pipelines.errors import ModelError, SettingsError
from pipelines.training import flow
from pipelines.training.flow import run_training


def test_without_workers_the_function_runs_in_this_process(tmp_path):
    seen = {}

    def train(plan, folder, team):
        seen.update(plan=plan, folder=folder, team=team, thread=threading.current_thread())

    run_training(train, {"a": 1}, folder=tmp_path / "run")

    assert seen["plan"] == {"a": 1}
    assert seen["folder"] == tmp_path / "run"
    assert (seen["team"].rank, seen["team"].size) == (0, 1)
    assert seen["thread"] is threading.current_thread()


def test_two_runs_of_one_folder_do_not_share_a_name(tmp_path, monkeypatch):
    names = []
    real = flow.RunConfig

    def record(**settings):
        names.append(settings["name"])
        return real(**settings)

    monkeypatch.setattr(flow, "RunConfig", record)
    for _ in range(2):
        run_training(lambda plan, folder, team: None, None, folder=tmp_path / "run")

    assert len(set(names)) == 2


def test_what_goes_wrong_in_this_process_arrives_as_it_is(tmp_path):
    def train(plan, folder, team):
        raise ModelError("the loss is nan")

    with pytest.raises(ModelError, match="the loss is nan"):
        run_training(train, None, folder=tmp_path)


def test_the_watch_is_called_once_more_after_the_end(tmp_path):
    calls = []

    def train(plan, folder, team):
        (folder / "done").touch()

    run_training(
        train, None, folder=tmp_path, watch=lambda folder: calls.append((folder / "done").exists()),
        watch_every_s=60,
    )  # fmt: skip

    assert calls == [True]


def test_the_watch_is_called_while_training_goes_on(tmp_path):
    called = threading.Event()

    def train(plan, folder, team):
        assert called.wait(20)

    run_training(train, None, folder=tmp_path, watch=lambda _: called.set(), watch_every_s=0.01)


def test_a_team_in_the_place_of_another_is_told(tmp_path, capsys):
    starts = tmp_path / "starts"
    look = flow._TeamWatch(starts, 2)

    look(tmp_path)
    starts.write_text("2\n")
    look(tmp_path)
    quiet = capsys.readouterr().err
    starts.write_text("2\n1\n")
    look(tmp_path)
    look(tmp_path)

    assert quiet == ""
    assert capsys.readouterr().err == (
        "workers were lost or came back; 1 of 2 workers go on from the checkpoint\n"
    )


def test_a_team_that_found_a_mistake_is_not_told_as_lost(tmp_path, capsys):
    starts = tmp_path / "starts"
    starts.write_text("2\n")
    look = flow._TeamWatch(starts, 2)

    look(tmp_path)
    starts.write_text("2\nrefused\n2\nrefused\n")
    look(tmp_path)

    assert capsys.readouterr().err == ""


def test_a_worker_notes_its_start_and_its_refusal(tmp_path, monkeypatch):
    def refuse(plan, folder, team):
        raise SettingsError("too many workers")

    place = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 2)
    monkeypatch.setattr(flow, "get_context", lambda: place)
    monkeypatch.setattr(flow, "own_reservation", lambda: "train-1")
    notes = {"starts": str(tmp_path / "ray" / "starts"), "room": str(tmp_path / "ray" / "room")}

    with pytest.raises(SettingsError):
        flow._train_as_worker({"function": refuse, "plan": None, "folder": str(tmp_path), **notes})

    assert (tmp_path / "ray" / "starts").read_text() == "2\nrefused\n"
    assert (tmp_path / "ray" / "room").read_text() == "train-1\n"


def test_a_team_that_is_smaller_than_asked_for_is_told(tmp_path, capsys):
    (tmp_path / "starts").write_text("1\n")

    flow._TeamWatch(tmp_path / "starts", 2)(tmp_path)

    assert capsys.readouterr().err == "there is room for 1 of 2 workers yet\n"


def test_the_room_of_a_driver_that_was_killed_is_given_back(tmp_path, monkeypatch):
    given_back = []
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "reservations").write_text("train-1\ntrain-2\n")
    monkeypatch.setattr(flow, "give_back", given_back.append)
    monkeypatch.setattr(flow, "connected_nodes", lambda: [Node(4)])
    monkeypatch.setattr(TorchTrainer, "fit", lambda _: None)

    run_training(lambda plan, folder, team: None, None, folder=tmp_path, n_workers=2)

    assert given_back == [["train-1", "train-2"]]


@pytest.mark.parametrize(("n_workers", "asked"), [(0, 0), (1, 1), (3, (1, 3))])
def test_a_team_may_shrink_to_one_worker(tmp_path, monkeypatch, n_workers, asked):
    asks = []
    real = flow.ScalingConfig

    def record(**settings):
        asks.append(settings["num_workers"])
        return real(**settings)

    monkeypatch.setattr(flow, "ScalingConfig", record)
    monkeypatch.setattr(flow, "connected_nodes", lambda: [Node(4)])
    monkeypatch.setattr(TorchTrainer, "fit", lambda _: None)
    run_training(lambda plan, folder, team: None, None, folder=tmp_path, n_workers=n_workers)

    assert asks == [asked]


def test_nothing_is_said_on_the_users_terminal(tmp_path, capfd):
    run_training(lambda plan, folder, team: None, None, folder=tmp_path)

    assert capfd.readouterr() == ("", "")


def test_a_workers_refusal_arrives_as_the_line_it_said(tmp_path, monkeypatch):
    def fail(trainer):
        wrapped = RuntimeError("a long story")
        wrapped.__cause__ = SettingsError("2 workers are too many for 1 particles")
        raise WorkerGroupError("a worker failed", {0: wrapped})

    monkeypatch.setattr(TorchTrainer, "fit", fail)

    with pytest.raises(SettingsError, match="2 workers are too many"):
        run_training(lambda plan, folder, team: None, None, folder=tmp_path)


def test_what_no_worker_can_explain_arrives_whole(tmp_path, monkeypatch):
    def fail(trainer):
        raise WorkerGroupError("a worker died", {0: RuntimeError("segmentation fault")})

    monkeypatch.setattr(TorchTrainer, "fit", fail)

    with pytest.raises(WorkerGroupError, match="a worker died"):
        run_training(lambda plan, folder, team: None, None, folder=tmp_path)


@pytest.mark.parametrize(("n_gained", "n_fits"), [([1, 0, 2, 1], 2), ([1, 1, 1, 1, 0], 5)])
def test_a_team_is_given_up_when_it_is_lost_again_without_an_epoch_between(
    tmp_path, monkeypatch, n_gained, n_fits
):
    tries = []

    def fit(trainer):
        for _ in range(n_gained[len(tries)]):
            (tmp_path / f"epoch-{len(list(tmp_path.glob('epoch-*'))) + 1:05d}").mkdir()
        tries.append(trainer)
        raise WorkerGroupError("a node was lost", {0: RuntimeError("no answer")})

    monkeypatch.setattr(TorchTrainer, "fit", fit)

    with pytest.raises(WorkerGroupError, match="a node was lost"):
        run_training(lambda plan, folder, team: None, None, folder=tmp_path)

    assert len(tries) == n_fits
    assert len({trainer.run_config.name for trainer in tries}) == n_fits


def test_more_workers_than_cores_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(flow, "connected_nodes", lambda: [Node(2)])

    with pytest.raises(NoRoomError, match="--train-workers must be at most the 2 cores, got 3"):
        run_training(lambda plan, folder, team: None, None, folder=tmp_path, n_workers=3)


def test_after_training_an_interrupt_is_what_it_was_before(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(
        TorchTrainer, "fit", lambda _: signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    )

    run_training(lambda plan, folder, team: None, None, folder=tmp_path)

    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.ray
# Ray 2.60 starts its own workers with settings that it has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_an_interrupt_of_workers_is_an_interrupt_here(tmp_path, embedded_ray):
    driver = os.getpid()

    def interrupt(plan, folder, team):
        os.kill(driver, signal.SIGINT)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        run_training(interrupt, None, folder=tmp_path, n_workers=1)
