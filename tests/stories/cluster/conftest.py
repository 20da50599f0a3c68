from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes import Nodes, start_nodes


@pytest.fixture(scope="module")
def whole_cluster(own_home: Path) -> Iterator[Nodes]:
    """A head that works for nobody and two workers of one processor each."""
    with start_nodes() as nodes:
        yield nodes


@pytest.fixture
def nodes(whole_cluster: Nodes) -> Nodes:
    """The cluster, with a worker in the place of one that a test took away."""
    while len(whole_cluster.workers) < 2:
        whole_cluster.add_worker()
    return whole_cluster
