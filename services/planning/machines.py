"""What a plan is made for: the cluster's nodes, asked if there is a cluster, else this machine."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.resources import Node, connected_nodes, this_machine
from pipelines.archive import Archive
from services.settings import ClusterSettings

#: What is a copy where others only look, or is not shown to them at all.
_STORE, _HIDDEN = "mlflow.db", (".work", ".mlflow.lock")


def find_nodes(settings: ClusterSettings) -> tuple[list[Node], str]:
    """Return what there is, and what it is called; Ray is joined, but not started.

    Raises
    ------
    ConnectionError
        If the cluster does not answer, or refuses the token.
    """
    address = settings.address or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        from services.machine import find_gpus

        return this_machine(len(find_gpus() or ())), "this machine"
    from cluster.session import connect

    with connect(address):
        return connected_nodes(), f"the cluster at {address}"


def describe(nodes: Sequence[Node], name: str) -> str:
    """Say in a line what there is."""
    workers = [node for node in nodes if node.cpus]
    kinds = {str(node): 0 for node in workers}
    for node in workers:
        kinds[str(node)] += 1
    said = "; ".join(f"{n} x ({kind})" if n > 1 else kind for kind, n in kinds.items())
    return f"on {name}: {said or 'no worker yet'}"


@contextmanager
def looking_glass(archive: Archive) -> Iterator[Archive]:
    """Show an archive whose registry of models can be asked without anything being written.

    MLflow locks its database, and would make or migrate it, whoever only asks.
    """
    with tempfile.TemporaryDirectory() as folder:
        glass = Archive(Path(folder))
        for entry in archive.local.iterdir() if archive.local.is_dir() else ():
            if entry.name.startswith(_STORE):
                (glass.root / entry.name).write_bytes(entry.read_bytes())
            elif entry.name not in _HIDDEN:
                (glass.root / entry.name).symlink_to(entry)
        yield glass
