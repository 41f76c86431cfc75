"""What a look at a box comes to: one finding for each thing looked at, with the commands that mend a gap."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(str, Enum):
    """`GAP`: something will not work, or not well, until it is mended. `NOTE`: worth knowing. `UNKNOWN`: not told."""

    GOOD = "good"
    NOTE = "note"
    GAP = "gap"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing; `text` is a sentence for a person, `remedy` the commands that mend it, in order."""

    topic: str
    verdict: Verdict
    text: str
    remedy: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"topic": self.topic, "verdict": self.verdict.value, "text": self.text, "remedy": list(self.remedy)}


def good(topic: str, text: str) -> Finding:
    return Finding(topic, Verdict.GOOD, text)


def note(topic: str, text: str, *remedy: str) -> Finding:
    return Finding(topic, Verdict.NOTE, text, remedy)


def gap(topic: str, text: str, *remedy: str) -> Finding:
    return Finding(topic, Verdict.GAP, text, remedy)


def unknown(topic: str, text: str, *remedy: str) -> Finding:
    return Finding(topic, Verdict.UNKNOWN, text, remedy)
