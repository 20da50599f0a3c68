"""Tell somebody that a run failed: by a webhook, by a command such as ``mail``, once."""

import json
import shlex
import socket
import subprocess
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, SecretStr

from services.progress import note
from services.secrets import without_passwords

if TYPE_CHECKING:
    from pipelines.archive import Archive

TIMEOUT_S = 10.0


class NoticeSettings(BaseModel):
    """Where notices go; a mixin for the settings of verbs that nobody watches.

    The webhook's address is a secret, as whoever has it can write there: it is neither logged
    nor printed. It is best kept in a settings file that others cannot read.
    """

    webhook: SecretStr | None = Field(
        None, description="address that gets a JSON object by POST when a run fails"
    )
    mail_command: str | None = Field(
        None, description="command that gets a text on stdin when a run fails, such as mail -s T A"
    )


@dataclass(frozen=True)
class Notice:
    """A run that failed.

    Attributes
    ----------
    archive : str
        The archive's folder.
    verb : str
        What was run.
    run_id : str
        Which run: of the slot, or of MLflow.
    reason : str
        Why it failed, in a line.
    report : str
        Where to read more; empty if nowhere.
    host : str
        The machine.
    at : str
        When, as ISO 8601.
    """

    archive: str
    verb: str
    run_id: str
    reason: str
    report: str
    host: str
    at: str

    def text(self) -> str:
        """Write the notice for people."""
        lines = [
            f"tessera {self.verb} failed on {self.archive}",
            "",
            f"reason   {self.reason}",
            f"run      {self.run_id}",
            f"machine  {self.host}",
            f"at       {self.at}",
        ]
        if self.report:
            lines.append(f"report   {self.report}")
        return "\n".join([*lines, ""])


def failure_notice(
    archive: "Archive", verb: str, error: BaseException | str, *, run_id: str = "", report: str = ""
) -> Notice:
    """Make the notice of a failed run; passwords in its reason are blanked out."""
    said = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return Notice(
        archive=str(archive.root),
        verb=verb,
        run_id=run_id,
        reason=without_passwords(" ".join(said.split())),
        report=report,
        host=socket.gethostname(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def notify(notice: Notice, settings: NoticeSettings, *, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Send a notice wherever settings say, each once; that this fails is noted and no more.

    Parameters
    ----------
    notice : Notice
        What happened.
    settings : NoticeSettings
        Where to.
    timeout_s : float
        How long either way may take.

    Returns
    -------
    problems : list of str
        What did not work; empty where all went well or nobody is to be told.
    """
    problems = []
    if settings.webhook is not None:
        problems.append(_post(settings.webhook.get_secret_value(), notice, timeout_s))
    if settings.mail_command is not None:
        problems.append(_mail(settings.mail_command, notice, timeout_s))
    said = [problem for problem in problems if problem]
    for problem in said:
        note(f"notice not sent: {problem}")
    return said


def _post(address: str, notice: Notice, timeout_s: float) -> str:
    """Post a notice as JSON; return what went wrong, without the address."""
    if not address.startswith(("http://", "https://")):
        return "the webhook must be an http or https address"
    body = json.dumps({"event": "run_failed", **asdict(notice), "text": notice.text()}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(address, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=timeout_s):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"the webhook answers {error.code}"
    except Exception as error:
        # Whatever it is, the run's own failure is what matters. Messages may hold the address.
        reason = getattr(error, "reason", error)
        return f"the webhook cannot be reached: {type(reason).__name__}"


def _mail(command: str, notice: Notice, timeout_s: float) -> str:
    """Give a notice to a command; return what went wrong."""
    try:
        words = shlex.split(command)
        done = subprocess.run(
            words, input=notice.text(), text=True, capture_output=True, timeout=timeout_s
        )
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        return f"the mail command does not work: {type(error).__name__}"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return f"the mail command {words[0]} ends with {done.returncode}: {last}".rstrip(": ")
    return ""
