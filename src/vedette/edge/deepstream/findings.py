"""What a check of a configuration says: where, how bad, what, and what to do."""

from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """`ERROR`: it does not start, or does something else than written. `WARNING`: a part of it has no effect."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One mistake in one line of one file."""

    file: str
    line: int
    severity: Severity
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity.value}: {self.message}"
