"""A node that cannot be reached for a while: what comes out is what one machine makes."""

import time
from collections.abc import Iterator

import pytest

from pipelines.quarantine import list_quarantine
from tests.links import Link, lay_link
from tests.nodes import Nodes, start_nodes

pytestmark = pytest.mark.cluster

CUT_S = 20


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with lay_link() as link:
        if link is None:
            pytest.skip("a network namespace can only be made by root, with the command ip")
        yield link


@pytest.fixture(scope="module")
def nodes(own_home, link) -> Iterator[Nodes]:
    """A head, a worker on this machine, and one beyond the link."""
    with start_nodes(worker_cpus=(1,), head_ip=link.here) as nodes:
        nodes.add_worker(prefix=link.inside)
        yield nodes


def test_a_node_that_is_out_of_reach_for_a_while_costs_nothing_but_time(
    nodes, link, drill, archive, begin, submit, counts
):
    drill.be_slow()
    job = submit(begin, "--follow", "--", *drill.command(archive))
    job.wait_until(lambda: drill.n_done(archive) >= drill.n_tiles // 8)
    link.cut()
    n_before = drill.n_done(archive)
    time.sleep(CUT_S)
    n_after = drill.n_done(archive)
    link.mend()
    drill.be_quick()

    assert job.wait() == 0, job.stderr
    segmented, submitted = job.stdout.splitlines()
    # Who is left goes on meanwhile, and it is not over before the link is there again.
    assert n_before < n_after < drill.n_tiles
    assert counts(segmented)["tiles"] == drill.n_tiles
    assert submitted.endswith("status=succeeded exit=0")
    assert drill.read(archive) == drill.result
    assert list_quarantine(archive) == []
