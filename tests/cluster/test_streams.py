import pyarrow as pa
import pytest
from ray.exceptions import ActorDiedError

from cluster import streams
from cluster.resources import ActorPool
from cluster.streams import map_blocks

pytestmark = [
    pytest.mark.ray,
    # Ray Data copies its settings, and the copy sets those that it deprecates itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]


class Doubler:
    """Doubles what it is given."""

    def __init__(self, factor):
        self._factor = factor

    def __call__(self, batch):
        return {"row": batch["row"], "doubled": batch["row"] * self._factor}


BLOCKS = [pa.table({"row": [0, 1]}), pa.table({"row": [2]}), pa.table({"row": [3, 4]})]


def test_every_row_is_worked_on_once(embedded_ray):
    batches = map_blocks(
        BLOCKS, Doubler, {"factor": 2}, key="row", pool=ActorPool(2), takes="numpy"
    )

    found = pa.concat_tables(batches).sort_by("row")

    assert found.to_pydict() == {"row": [0, 1, 2, 3, 4], "doubled": [0, 2, 4, 6, 8]}


@pytest.fixture
def one_loss(monkeypatch):
    """Lose an actor after the first batch."""
    iter_batches = streams.ray.data.Dataset.iter_batches
    begun = []

    def losing(self, **options):
        begun.append(self)
        batches = iter(iter_batches(self, **options))
        yield next(batches)
        if len(begun) == 1:
            raise ActorDiedError
        yield from batches

    monkeypatch.setattr(streams.ray.data.Dataset, "iter_batches", losing)
    return begun


def test_what_was_lost_is_done_again_and_nothing_else(embedded_ray, one_loss):
    batches = map_blocks(
        BLOCKS, Doubler, {"factor": 3}, key="row", pool=ActorPool(1), takes="numpy", gives="numpy"
    )

    found = [row for batch in batches for row in batch["row"].tolist()]

    assert len(one_loss) == 2
    assert sorted(found) == [0, 1, 2, 3, 4]
