"""Files whose content becomes an object when they are closed."""

import io
from abc import abstractmethod
from pathlib import Path
from types import TracebackType


class _WholeOrNot(io.IOBase):
    """A file that forgets what was written when its block ends by an error."""

    @abstractmethod
    def discard(self) -> None:
        """Forget what was written."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
        super().__exit__(kind, error, trace)


class Upload(_WholeOrNot, io.BytesIO):
    """An object that is being written, and goes to the bucket when it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path: Path | None = path

    def discard(self) -> None:
        """Forget what was written."""
        self._path = None

    def close(self) -> None:
        """Write the object, unless its content was forgotten."""
        path, self._path = self._path, None
        if path is not None:
            path.write_bytes(self.getvalue())
        super().close()


class UploadText(_WholeOrNot, io.TextIOWrapper):
    """Text on top of an `Upload` or of what was read."""

    def discard(self) -> None:
        """Forget what was written."""
        if isinstance(self.buffer, Upload):
            self.buffer.discard()
