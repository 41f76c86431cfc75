"""What trackers know of their tracks, as a struct of arrays. Whose they are, and what it means, is `track`'s matter."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vedette.edge.analytics.association import Flags, Indices
from vedette.edge.analytics.kalman import Floats

NOTES = np.dtype(
    [
        ("id", np.int64),
        ("seen_s", np.float64),
        ("born_s", np.float64),
        ("looks", np.int64),
        ("class_id", np.int32),
        ("confirmed", np.bool_),
        ("box_xyxy_px", np.float32, 4),  # as last given out or, on trial, as first detected
        ("previous_xyxy_px", np.float32, 4),  # the one before
    ]
)


class TrackBook:
    """Tracks, those of one camera in the order of their ids, as a struct of arrays; entry i of each is one track."""

    def __init__(self, filters: Floats, votes: Floats, notes: NDArray[np.void]) -> None:
        self.filters = filters  # (5, 4, n) float64
        self.votes = votes  # (n, classes) float64
        self.notes = notes  # (n,) records

    @classmethod
    def empty(cls, class_count: int) -> "TrackBook":
        return cls(np.zeros((5, 4, 0)), np.zeros((0, class_count)), np.zeros(0, NOTES))

    @classmethod
    def of_all(cls, books: "Sequence[TrackBook]") -> "TrackBook":
        """One behind the other."""
        return cls(
            np.concatenate([book.filters for book in books], axis=2),
            np.concatenate([book.votes for book in books]),
            _joined([book.notes for book in books]),
        )

    def __len__(self) -> int:
        return len(self.notes)

    def keep(self, rows: Flags) -> None:
        self.filters, self.votes, self.notes = self.filters[:, :, rows], self.votes[rows], self.notes[rows]

    def part(self, start: int, end: int) -> "TrackBook":
        return TrackBook(self.filters[:, :, start:end], self.votes[start:end], self.notes[start:end])

    def append(self, filters: Floats, notes: NDArray[np.void]) -> None:
        self.filters = np.concatenate([self.filters, filters], axis=2)
        self.votes = np.concatenate([self.votes, np.zeros((len(notes), self.votes.shape[1]))])
        self.notes = _joined([self.notes, notes])

    def vote(self, rows: Indices, class_ids: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
        """Each of these tracks was read as that class."""
        self.votes[rows, class_ids] += scores
        held = self.notes["class_id"]
        if not np.array_equal(held[rows], class_ids):  # a vote for the leader does not change who leads
            held[rows] = self.votes[rows].argmax(axis=1)


def _joined(notes: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """One behind the other, as bytes: a fifth of the time of records."""
    return np.concatenate([np.ascontiguousarray(some).view(np.uint8) for some in notes]).view(NOTES)
