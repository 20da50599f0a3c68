"""A schedule for systemd: a service and the timer that starts it."""

import getpass
from collections.abc import Sequence
from pathlib import Path

from services.scheduling.schedule import Schedule, relabel_command

SERVICE, TIMER = "tessera-relabel.service", "tessera-relabel.timer"


def render_systemd(
    schedule: Schedule, *, tessera: Sequence[str], archive: Path, user: str | None = None
) -> dict[str, str]:
    """Write the units, by their file names.

    Parameters
    ----------
    schedule : Schedule
        The slot.
    tessera : sequence of str
        The command's full path.
    archive : Path
        The archive.
    user : str, optional
        Whom it runs as; the system's user by default.
    """
    script = _quote(f"exec {relabel_command(tessera, archive, schedule)}")
    service = f"""\
[Unit]
Description=Relabel {_escape(str(archive))}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user or getpass.getuser()}
# Passwords, if any: MLFLOW_TRACKING_USERNAME=..., MLFLOW_TRACKING_PASSWORD=..., mode 600.
EnvironmentFile=-/etc/tessera/environment
# Whoever asks the Ray of the night for anything must know its token.
Environment=RAY_AUTH_MODE=token
UMask=0027
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full
ExecStart=/bin/sh -c {script}
"""
    timer = f"""\
[Unit]
Description=Relabel {_escape(str(archive))} every night

[Timer]
OnCalendar=*-*-* {schedule.at}:00 {schedule.time_zone}
# A slot that passed while the machine was off is made up for.
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {SERVICE: service, TIMER: timer}


def _escape(text: str) -> str:
    """Keep systemd from expanding % in a text."""
    return " ".join(text.split()).replace("%", "%%")


def _quote(command: str) -> str:
    """Quote a command as one word, as systemd reads it."""
    escaped = command.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("$", "$$").replace("%", "%%") + '"'
