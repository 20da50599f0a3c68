"""A schedule for cron."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from services.scheduling.schedule import Schedule, relabel_command
from services.scheduling.slots import parse_time


def render_cron(schedule: Schedule, *, tessera: Sequence[str], archive: Path, log: Path) -> str:
    """Write lines for a crontab.

    Parameters
    ----------
    schedule : Schedule
        The slot.
    tessera : sequence of str
        The command's full path.
    archive, log : Path
        The archive, and the file that takes what the command says.
    """
    at = parse_time(schedule.at)
    command = relabel_command(tessera, archive, schedule)
    line = f"{command} >> {shlex.quote(str(log))} 2>&1"
    # An unquoted % ends a crontab's command, even between a shell's quotes.
    line = line.replace("%", r"\%")
    return "\n".join(
        [
            "# Relabels the archive every night; crontab -e takes these lines.",
            "# cronie (Fedora, RHEL, SUSE, Arch) goes by CRON_TZ. Debian's cron does not: there",
            "# the machine's own zone counts, and systemd is the better choice.",
            f"CRON_TZ={schedule.time_zone}",
            f"{at.minute} {at.hour} * * * {line}",
        ]
    )
