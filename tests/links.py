"""A cable that can be pulled: a network namespace, and the link between it and this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A namespace with a link to this machine, on a network of their own.

    Attributes
    ----------
    name : str
        The namespace's name.
    here, there : str
        Addresses of this machine and of the namespace.
    """

    name: str
    here: str
    there: str

    @property
    def inside(self) -> list[str]:
        """The words before a command that runs it in the namespace."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Pull the cable: both ends keep their addresses, and nothing arrives."""
        _ip("link", "set", f"{self.name}a", "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        _ip("link", "set", f"{self.name}a", "up")


@contextmanager
def lay_link() -> Iterator[Link | None]:
    """Make a namespace and its link, or None where only root could; take them away afterwards."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        yield None
        return
    number = os.getpid() % 250
    # A network that is set aside for tests of networks.
    network = f"198.18.{number}"
    link = Link(f"ts{os.getpid()}", f"{network}.1", f"{network}.2")
    bridge, ours, theirs = (f"{link.name}{end}" for end in "bac")
    with ExitStack() as made:
        try:
            _ip("netns", "add", link.name)
            made.callback(_ip, "netns", "delete", link.name)
            # This machine's address is the bridge's, and stays when the cable is pulled.
            _ip("link", "add", bridge, "type", "bridge")
            made.callback(_ip, "link", "delete", bridge)
            _ip("address", "add", f"{link.here}/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", link.name)
            _ip("link", "set", ours, "master", bridge, "up")
            _ip("-n", link.name, "address", "add", f"{link.there}/24", "dev", theirs)
            for device in (theirs, "lo"):
                _ip("-n", link.name, "link", "set", device, "up")
        except subprocess.CalledProcessError:
            made.close()
            yield None
            return
        yield link


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
