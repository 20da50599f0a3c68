import pytest
import ray

from cluster.reservations import give_back, own_reservation

pytestmark = [
    pytest.mark.ray,
    # Ray 2.60 makes the actor with settings that it has deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def keeper(embedded_ray):
    from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
        get_or_create_autoscaling_coordinator,
    )

    return get_or_create_autoscaling_coordinator()


def ask(keeper, name):
    """Ask for all cores there are; return what was given."""
    cores = [{"CPU": ray.cluster_resources()["CPU"]}]
    ray.get(keeper.request_resources.remote(name, cores, expire_after_s=180))
    return ray.get(keeper.get_reserved_resources.remote(name))


def test_room_that_is_given_back_is_there_for_others(keeper):
    left_behind, before = ask(keeper, "train-killed"), ask(keeper, "train-next")

    give_back(["train-killed", "train-unknown"])

    after = ray.get(keeper.get_reserved_resources.remote("train-next"))
    give_back(["train-next"])
    assert left_behind == after
    assert before == {}
    assert after != {}


def test_who_is_no_worker_of_a_training_has_no_room():
    assert own_reservation() is None


def test_where_no_training_was_there_is_nothing_to_give_back(embedded_ray, monkeypatch):
    monkeypatch.setattr("cluster.reservations._KEEPER", "Nobody")

    give_back(["train-killed"])
