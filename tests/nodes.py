"""A cluster of several nodes on this machine: real `ray start` processes, ended by their ids."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

#: How long a node may take to come up or be noticed missing; nothing is measured against it.
PATIENCE_S = 240.0
OBJECT_STORE_BYTES = 128 * 1024**2
#: Every port that has a number of its own by default, and 0 for one that is free.
ANY_PORTS = (
    "--node-manager-port=0",
    "--object-manager-port=0",
    "--dashboard-agent-listen-port=0",
    "--dashboard-agent-grpc-port=0",
    "--runtime-env-agent-port=0",
    "--metrics-export-port=0",
)


@dataclass
class Node:
    """A node: its `ray start`, and all processes that came of it."""

    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: "subprocess.Popen[bytes]" = field(init=False)
    _seen: list[psutil.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start its processes."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )

    def family(self) -> list[psutil.Process]:
        """Return its processes that are alive."""
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            for process in (top, *top.children(recursive=True)):
                if process not in self._seen:
                    self._seen.append(process)
        return [process for process in self._seen if _is_alive(process)]

    def kill(self) -> None:
        """Take the node away as a power cut does: all its processes at once."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(self._seen, timeout=PATIENCE_S)


@dataclass
class Nodes:
    """A running cluster, reached through the dashboard, the head, or Ray's client.

    Attributes
    ----------
    dashboard, head, client : str
        Addresses: of jobs (http://), of the head for drivers on this machine, and of Ray's client
        server (ray://).
    token_path : Path
        File with the token without which nobody is served.
    """

    folder: Path
    token_path: Path
    dashboard: str
    client: str
    head: str = ""
    nodes: list[Node] = field(default_factory=list)

    @property
    def workers(self) -> list[Node]:
        """Nodes that are not the head and run."""
        return [node for node in self.nodes[1:] if node.process.poll() is None]

    def environment(self) -> dict[str, str]:
        """Return what a command needs to be served."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_path)}

    def add_worker(self, *, cpus: int = 1, prefix: Sequence[str] = ()) -> Node:
        """Start one more node, and wait until the cluster has it.

        The words of ``prefix`` come before its command, as those of `tests.links.Link.inside`.
        """
        # One that has just died may still count as alive.
        before = self.alive()
        options = (f"--address={self.head}", f"--num-cpus={cpus}")
        node = self._start("worker", *options, prefix=prefix)
        _wait_for(lambda: self.alive() - before, node)
        return node

    def ask(self, path: str) -> Any:
        """Ask the dashboard with the right token."""
        token = self.token_path.read_text()
        request = urllib.request.Request(
            self.dashboard + path, headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def alive(self) -> set[str]:
        """Return the ids of the nodes that the cluster takes for alive."""
        try:
            rows = self.ask("/nodes?view=summary")["data"]["summary"]
        except OSError:
            return set()
        raylets = [row["raylet"] for row in rows]
        return {raylet["nodeId"] for raylet in raylets if raylet.get("state") == "ALIVE"}

    def drivers(self) -> list[psutil.Process]:
        """Return the processes on the head that run verbs as jobs."""
        return [
            process
            for process in self.nodes[0].family()
            if "services.submission.driver" in process.cmdline()
        ]

    def end(self) -> None:
        """End every process of every node, workers first."""
        for node in reversed(self.nodes):
            node.kill()

    def _start(self, name: str, *options: str, prefix: Sequence[str] = ()) -> Node:
        number = len(self.nodes)
        home = self.folder / f"home{number}"
        home.mkdir()
        command = [
            *prefix,
            *(str(Path(sys.executable).with_name("ray")), "start", "--block"),
            "--disable-usage-stats",
            "--include-log-monitor=false",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={self.folder / str(number)}",
            *ANY_PORTS,
            *options,
        ]
        environment = _environment(home) | self.environment()
        self.nodes.append(Node(command, environment, self.folder / f"{number}-{name}.log"))
        return self.nodes[-1]


@contextmanager
def start_nodes(
    *, head_cpus: int = 0, worker_cpus: tuple[int, ...] = (1, 1), head_ip: str | None = None
) -> Iterator[Nodes]:
    """Start a head and workers with so many processors each; end them with the block.

    Parameters
    ----------
    head_cpus : int
        The head's own.
    worker_cpus : tuple of int
        One number for each worker.
    head_ip : str, optional
        Which of this machine's addresses is the head's; Ray chooses by default.
    """
    # Not below pytest's folders: the paths of sockets may be no longer than 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="nodes-"))
    token_path = folder / "token"
    token_path.touch(0o600)
    token_path.write_text(secrets.token_hex(32))
    dashboard_port, client_port = _free_ports(2)
    nodes = Nodes(
        folder,
        token_path,
        dashboard=f"http://127.0.0.1:{dashboard_port}",
        client=f"ray://127.0.0.1:{client_port}",
    )
    try:
        head = nodes._start(
            "head",
            "--head",
            "--port=0",
            f"--num-cpus={head_cpus}",
            "--include-dashboard=true",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard_port}",
            f"--ray-client-server-port={client_port}",
            *([f"--node-ip-address={head_ip}"] if head_ip else []),
        )
        address = folder / "0" / "ray_current_cluster"
        _wait_for(lambda: nodes.alive() and address.is_file(), head)
        nodes.head = address.read_text().strip()
        # One after the other: together they could take longer than Ray waits for one.
        for cpus in worker_cpus:
            nodes.add_worker(cpus=cpus)
        yield nodes
    finally:
        nodes.end()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(home: Path) -> Mapping[str, str]:
    """Return an environment with a home of its own, and nothing of a cluster around."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    python = str(Path(sys.executable).parent)
    return kept | {"HOME": str(home), "PATH": os.pathsep.join((python, kept.get("PATH", "")))}


def _free_ports(n: int) -> list[int]:
    """Find ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _wait_for(condition: Callable[[], object], node: Node) -> None:
    """Wait until a node is up; one that ended is begun again.

    Ray gives a node half a minute to come up, which may not be enough on a busy machine.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        node.family()
        if node.process.poll() is not None:
            node.kill()
            node.begin()
        said = node.log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline, f"a node never came up: {said}"
        time.sleep(0.2)
    node.family()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
