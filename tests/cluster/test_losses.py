import pytest
from ray.exceptions import ActorUnavailableError

from cluster import losses
from cluster.losses import NodeLostError, fit, survive_losses, watch
from cluster.resources import ActorPool


@pytest.fixture
def cluster(monkeypatch):
    """What the cluster has, which a test may change."""
    has = {"CPU": 8.0}
    monkeypatch.setattr(losses.ray, "cluster_resources", lambda: has)
    return has


class Work:
    """Units of work; what is begun with too many actors for the cluster is lost at the third."""

    def __init__(self, cluster, *, error=NodeLostError):
        self.cluster, self.error = cluster, error
        self.done, self.pools = [], []

    def start(self, pool):
        self.pools.append(pool.size)
        for unit in range(len(self.done), 6):
            if unit == 3 and len(self.pools) == 1:
                self.cluster["CPU"] = 4.0
                raise self.error("gone")
            self.done.append(unit)
            yield unit


@pytest.mark.parametrize("error", [NodeLostError, lambda said: ActorUnavailableError(said, None)])
def test_work_goes_on_with_what_is_left_and_does_nothing_twice(cluster, capsys, error):
    work = Work(cluster, error=error)

    found = list(survive_losses(work.start, ActorPool(8)))

    assert found == [0, 1, 2, 3, 4, 5]
    assert work.pools == [8, 4]
    assert capsys.readouterr().err.startswith("workers were lost (")


def test_a_loss_that_repeats_with_nothing_done_is_an_error(cluster):
    def start(pool):
        raise NodeLostError("again")
        yield

    with pytest.raises(NodeLostError):
        list(survive_losses(start, ActorPool(1)))


def test_other_errors_are_not_losses(cluster):
    starts = []

    def start(pool):
        starts.append(pool)
        raise ValueError("a bug")
        yield

    with pytest.raises(ValueError, match="a bug"):
        list(survive_losses(start, ActorPool(1)))

    assert len(starts) == 1


def test_pools_that_fit_stay_as_they_are(cluster):
    pools = (ActorPool(6), ActorPool(4, num_cpus=0.5), None)

    assert fit(pools) == list(pools)


def test_pools_shrink_by_the_same_share_and_keep_an_actor(cluster):
    cluster["CPU"] = 2.0

    whole, many, none = fit((ActorPool(8), ActorPool(1, num_cpus=0.5), None))

    assert (whole.size, many.size, none) == (1, 1, None)


def test_the_scarcest_resource_decides(cluster):
    cluster["GPU"] = 1.0

    (pool,) = fit((ActorPool(4, num_gpus=1.0),))

    assert pool.size == 1


def test_memory_counts_like_cores(cluster):
    cluster["memory"] = 3e9

    (pool,) = fit((ActorPool(6, memory_bytes=10**9),))

    assert pool.size == 3


class Rows:
    """A stream of which only the context matters."""

    def __init__(self):
        self.context = self


@pytest.fixture
def look(monkeypatch):
    """Make the callback of a stream that uses these pools, and let it look."""
    monkeypatch.setattr(losses, "LOOK_EVERY_S", 0.0)

    def look(*pools):
        rows = Rows()
        watch(rows, *pools)
        (callback,) = rows.custom_execution_callback_classes
        made = callback()
        return lambda: made.on_execution_step(None)

    return look


def test_a_stream_ends_when_the_cluster_becomes_too_small_for_it(cluster, look):
    step = look(ActorPool(6), ActorPool(2))
    step()
    cluster["CPU"] = 7.0

    with pytest.raises(NodeLostError):
        step()


def test_a_stream_waits_for_room_that_was_never_there(cluster, look):
    step = look(ActorPool(9))

    step()
    cluster["CPU"] = 4.0
    step()
