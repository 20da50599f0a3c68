"""How this process's threads behave beside other work on the machine."""

import os


def wait_politely() -> None:
    """Let idle threads sleep instead of spin; call before torch is imported.

    OpenMP's threads spin while they wait for each other. Where another process has their core
    that wastes whole time slices: seen on two busy cores, training steps took seven times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
