import pytest

from cluster.resources import (
    ActorPool,
    Node,
    NoRoomError,
    TeamWish,
    Wish,
    count_room,
    plan_pool,
    plan_team,
    this_machine,
)

GB = 10**9
LAPTOP = [Node(2, memory_bytes=8 * GB)]
CPU_NODES = [Node(16, memory_bytes=64 * GB)] * 4
GPU_NODES = [Node(0), Node(32, 4, 256 * GB), Node(32, 4, 256 * GB)]


@pytest.mark.parametrize(
    ("nodes", "wish", "memory_gb", "size"),
    [
        (LAPTOP, Wish(), 0, 2),
        (LAPTOP, Wish(), 3, 2),
        (LAPTOP, Wish(), 5, 1),
        (LAPTOP, Wish(workers=1), 0, 1),
        (LAPTOP, Wish(workers=9), 0, 2),
        (CPU_NODES, Wish(), 1, 64),
        # Twelve on each node: what is left on four nodes together is no room for another.
        (CPU_NODES, Wish(), 5, 48),
        (CPU_NODES, Wish(cores=3), 1, 20),
        (CPU_NODES, Wish(memory_bytes=40 * GB), 1, 4),
        (GPU_NODES, Wish(), 4, 64),
    ],
)
def test_actors_are_as_many_as_cores_and_memory_hold(nodes, wish, memory_gb, size):
    pool = plan_pool(nodes, wish, memory_bytes=memory_gb * GB)

    assert pool.size == size
    assert pool.num_cpus == wish.cores
    assert pool.memory_bytes == (wish.memory_bytes or memory_gb * GB or None)


def test_an_actor_takes_its_share_of_an_accelerator_of_one_node():
    assert count_room(GPU_NODES, 1, 1.0) == 8
    assert count_room(GPU_NODES, 1, 0.5) == 16
    # Three fit on an accelerator, although their shares do not add up exactly.
    assert count_room([Node(32, 1)], 1, 1 / 3) == 3
    assert plan_pool(GPU_NODES, Wish(), gpus=1.0) == ActorPool(8, 1.0, 1.0)


@pytest.mark.parametrize(
    ("nodes", "wish", "memory_gb", "said"),
    [
        (LAPTOP, Wish(), 9, "needs 1 core, 9000 MB of memory; .* has 2 cores, 8000 MB of memory"),
        (LAPTOP, Wish(cores=4), 0, "needs 4 cores; .* the largest has 2 cores, 8000 MB"),
        (CPU_NODES, Wish(cores=17), 0, "needs 17 cores; .* the largest has 16 cores"),
    ],
)
def test_a_task_too_large_for_every_node_is_refused_with_need_and_have(
    nodes, wish, memory_gb, said
):
    with pytest.raises(NoRoomError, match=said) as error:
        plan_pool(nodes, wish, memory_bytes=memory_gb * GB)

    assert "\n" not in str(error.value)


def test_an_accelerator_that_no_node_has_is_refused():
    with pytest.raises(NoRoomError, match=r"needs 1 core, 1 GPU; .* the largest has 16 cores"):
        plan_pool(CPU_NODES, Wish(), gpus=1.0)


@pytest.mark.parametrize("nodes", [[], [Node(0)]])
def test_a_cluster_without_a_worker_yet_is_asked_for_one(nodes):
    assert plan_pool(nodes, Wish(workers=8)).size == 1


@pytest.mark.parametrize(
    ("nodes", "n_workers", "device", "uses_gpu"),
    [
        (LAPTOP, 2, "auto", False),
        (GPU_NODES, 8, "auto", True),
        (GPU_NODES, 8, "cpu", False),
        # Not one for each: then none has one.
        (GPU_NODES, 9, "auto", False),
        (GPU_NODES, 2, "gpu", True),
    ],
)
def test_a_team_trains_on_accelerators_where_each_has_one(nodes, n_workers, device, uses_gpu):
    assert plan_team(nodes, n_workers, TeamWish(device=device)) is uses_gpu


@pytest.mark.parametrize(
    ("nodes", "wish", "said"),
    [
        (LAPTOP, TeamWish(), "--train-workers must be at most the 2 cores, got 3"),
        (CPU_NODES, TeamWish(device="gpu"), "must be at most the 0 accelerators, got 3"),
        (CPU_NODES, TeamWish(4), "min_train_workers must be at most the 3 of train_workers, got 4"),
    ],
)
def test_a_team_that_ray_would_wait_for_for_ever_is_refused(nodes, wish, said):
    with pytest.raises(NoRoomError, match=said):
        plan_team(nodes, 3, wish)


def test_this_machine_has_a_core_and_some_memory():
    (node,) = this_machine(n_gpus=3)

    assert node.cpus >= 1
    assert node.gpus == 3
    assert 0 < node.memory_bytes < float("inf")
