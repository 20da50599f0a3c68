"""A connection to Ray for work that may not need one."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ray_if(n_workers: int, address: str | None) -> Iterator[None]:
    """Connect to Ray where workers are wanted."""
    if not n_workers:
        yield
        return
    from cluster.session import connect

    with connect(address):
        yield
