"""The closed list of what `vedette data check` can find, and how bad each is.

Documented for people in docs/reference/data-problems.md (a test keeps the two equal). Readers report what they meet
while reading; `check` adds what only shows when pictures and boxes are looked at. `STOPS_READING` are those kinds after
which `read_data_set` refuses the data set, because labels would be lost or guessed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """`error` makes the check fail; `warning` deserves a look; `info` is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class ProblemKind(str, Enum):
    """Every kind of problem; the value is what the JSON document says."""

    BAD_SYNTAX = "bad-syntax"
    MISSING_LABELS = "missing-labels"
    MISSING_PICTURE = "missing-picture"
    UNREADABLE_PICTURE = "unreadable-picture"
    SIZE_MISMATCH = "size-mismatch"
    SIZE_MISSING = "size-missing"
    EMPTY_BOX = "empty-box"
    INVERTED_BOX = "inverted-box"
    NON_FINITE_BOX = "non-finite-box"
    BOX_OUTSIDE = "box-outside"
    ONE_PIXEL_BOX = "one-pixel-box"
    DUPLICATE_OBJECT = "duplicate-object"
    UNKNOWN_CLASS = "unknown-class"
    SIMILAR_CLASSES = "similar-classes"
    UNUSED_CLASS = "unused-class"
    UNLABELLED_PICTURE = "unlabelled-picture"
    NO_OBJECTS = "no-objects"
    LABEL_WITHOUT_PICTURE = "label-without-picture"
    DUPLICATE_NAME = "duplicate-name"
    UNSAFE_NAME = "unsafe-name"
    FOREIGN_PATH = "foreign-path"
    FILENAME_DIFFERS = "filename-differs"
    IDENTICAL_PICTURES = "identical-pictures"
    SPLIT_LEAK = "split-leak"
    SPLIT_ENTRY_UNKNOWN = "split-entry-unknown"
    CLASS_ABSENT_FROM_SPLIT = "class-absent-from-split"


SEVERITIES: dict[ProblemKind, Severity] = {
    ProblemKind.BAD_SYNTAX: Severity.ERROR,
    ProblemKind.MISSING_LABELS: Severity.ERROR,
    ProblemKind.MISSING_PICTURE: Severity.ERROR,
    ProblemKind.UNREADABLE_PICTURE: Severity.ERROR,
    ProblemKind.SIZE_MISMATCH: Severity.ERROR,
    ProblemKind.SIZE_MISSING: Severity.WARNING,
    ProblemKind.EMPTY_BOX: Severity.ERROR,
    ProblemKind.INVERTED_BOX: Severity.ERROR,
    ProblemKind.NON_FINITE_BOX: Severity.ERROR,
    ProblemKind.BOX_OUTSIDE: Severity.ERROR,
    ProblemKind.ONE_PIXEL_BOX: Severity.WARNING,
    ProblemKind.DUPLICATE_OBJECT: Severity.WARNING,
    ProblemKind.UNKNOWN_CLASS: Severity.ERROR,
    ProblemKind.SIMILAR_CLASSES: Severity.WARNING,
    ProblemKind.UNUSED_CLASS: Severity.INFO,
    ProblemKind.UNLABELLED_PICTURE: Severity.WARNING,
    ProblemKind.NO_OBJECTS: Severity.INFO,
    ProblemKind.LABEL_WITHOUT_PICTURE: Severity.WARNING,
    ProblemKind.DUPLICATE_NAME: Severity.ERROR,
    ProblemKind.UNSAFE_NAME: Severity.ERROR,
    ProblemKind.FOREIGN_PATH: Severity.INFO,
    ProblemKind.FILENAME_DIFFERS: Severity.INFO,
    ProblemKind.IDENTICAL_PICTURES: Severity.WARNING,
    ProblemKind.SPLIT_LEAK: Severity.ERROR,
    ProblemKind.SPLIT_ENTRY_UNKNOWN: Severity.ERROR,
    ProblemKind.CLASS_ABSENT_FROM_SPLIT: Severity.WARNING,
}

STOPS_READING = frozenset(
    {
        ProblemKind.BAD_SYNTAX,
        ProblemKind.MISSING_LABELS,
        ProblemKind.UNKNOWN_CLASS,
        ProblemKind.DUPLICATE_NAME,
        ProblemKind.SPLIT_ENTRY_UNKNOWN,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `file` is relative to the root where it lies below; `object_index` counts from 0 in file order."""

    kind: ProblemKind
    file: str
    message: str
    object_index: int | None = None

    @property
    def severity(self) -> Severity:
        return SEVERITIES[self.kind]

    def as_document(self) -> dict[str, str | int | None]:
        """The form it has in the JSON document of `vedette data check --json`."""
        return {
            "kind": self.kind.value,
            "severity": self.severity.value,
            "file": self.file,
            "object": self.object_index,
            "message": self.message,
        }


Report = Callable[[Problem], None]  # readers hand what they find to one of these
