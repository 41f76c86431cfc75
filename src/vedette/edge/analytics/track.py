"""Detections of one camera's successive frames become tracks: ByteTrack's two stages (arXiv 2110.06864), by time.

Strong detections are matched first, then weak ones go to the tracks that nothing strong continued, then strong ones
left over meet tracks still on trial, and what is left starts new ones. Time is passed in, in seconds, so that every Nth
frame, a variable frame rate and a camera that stalls need no other settings. A track's class is a vote over all its
detections, weighted by score: one misread frame does not change what a counted object is. Only tracks matched in this
very frame are given out, and only when their trial is over; a track's previous box comes with it, the first time the
one of its first detection, so that no movement is lost to whoever counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy import count_nonzero  # a quarter of the time of any() and all(), which are asked ten times a frame
from numpy.typing import NDArray

from vedette.contracts.detections import Detections, Tracks
from vedette.edge.analytics.association import NO_INDICES, Flags, Indices, assign, pair_gains, take_unrivalled
from vedette.edge.analytics.errors import TimeOrderError
from vedette.edge.analytics.flow import expect_motion
from vedette.edge.analytics.kalman import Floats, Measured, corners_of, correct, measure, predict, smooth, start_filters
from vedette.vision.boxes import iou_matrix

_SAME_TIME_S = 1e-6
_LOOKS_TO_KNOW_A_SPEED = 3
STOOD_STILL_S = 1.0  # after that long without movement every object overlaps with where it was


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """When a detection is strong, and how long a track outlives its object's disappearance.

    `strong_score` and above may start a track; anything weaker only continues one. A new track is given out once it has
    been detected twice and for `proof_s`; until then it waits `trial_s` for its object, later `lost_s`. After `gap_s`
    without any update at all (a camera that was away) nothing is continued.
    """

    strong_score: float = 0.4
    weak_overlap: float = 0.3
    lost_s: float = 1.4
    trial_s: float = 0.1
    proof_s: float = 0.15
    gap_s: float = 5.0
    same_object_overlap: float = 0.8


class _Book:
    """All tracks of one camera, in the order of their ids, as a struct of arrays; entry i of each is one track."""

    def __init__(self, class_count: int) -> None:
        self.filters = np.zeros((5, 4, 0))  # (5, 4, n) float64
        self.votes = np.zeros((0, class_count))  # (n, classes) float64
        self.notes = np.zeros(
            0,
            [
                ("id", np.int64),
                ("seen_s", np.float64),
                ("born_s", np.float64),
                ("looks", np.int64),
                ("class_id", np.int32),
                ("confirmed", np.bool_),
                ("box_xyxy_px", np.float32, 4),  # as last given out or, on trial, as first detected
                ("previous_xyxy_px", np.float32, 4),  # the one before
            ],
        )  # (n,) records

    def __len__(self) -> int:
        return len(self.notes)

    def keep(self, rows: Flags) -> None:
        self.filters, self.votes, self.notes = self.filters[:, :, rows], self.votes[rows], self.notes[rows]

    def append(self, filters: Floats, notes: NDArray[np.void]) -> None:
        self.filters = np.concatenate([self.filters, filters], axis=2)
        self.votes = np.concatenate([self.votes, np.zeros((len(notes), self.votes.shape[1]))])
        self.notes = np.concatenate([self.notes, notes])

    def vote(self, rows: Indices, class_ids: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
        """Each of these tracks was read as that class."""
        self.votes[rows, class_ids] += scores
        held = self.notes["class_id"]
        if not np.array_equal(held[rows], class_ids):  # a vote for the leader does not change who leads
            held[rows] = self.votes[rows].argmax(axis=1)


class ByteTracker:
    """The tracker of one camera: `contracts.ports.Tracker`. Give every camera one of its own.

    Track ids start at 1 and are never used again.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._book: _Book | None = None
        self._time_s = self._previous_s = 0.0
        self._next_id = 1
        self._stood_still = False

    def hold(self, still_s: float) -> None:
        """Before `update`: nothing moved for so long since the frame before, and nobody looked; no track ages by it."""
        self._stood_still = still_s >= STOOD_STILL_S
        if self._book is not None:
            self._time_s += still_s
            self._previous_s += still_s
            self._book.notes["seen_s"] += still_s
            self._book.notes["born_s"] += still_s

    def update(self, detections: Detections, time_s: float) -> Tracks:
        """Take one frame's detections; returns the confirmed tracks that they continue or start.

        Raises:
            TimeOrderError: when `time_s` lies before that of the frame before.
        """
        book, first = self._book, self._book is None
        if book is None:
            book = self._book = _Book(len(detections.class_names))
        elif time_s < self._time_s:
            raise TimeOrderError(f"a frame of {time_s:.3f} s came after one of {self._time_s:.3f} s")
        else:
            self._age(book, time_s)
        self._previous_s, self._time_s = self._time_s, time_s
        measured = measure(detections.boxes_xyxy_px)
        strong = detections.scores >= self._settings.strong_score
        rows, columns = self._match(book, detections, measured, strong)
        if len(rows):
            self._note(book, rows, measured, columns)
            book.vote(rows, detections.class_ids[columns], detections.scores[columns])
        born = self._births(detections, strong, columns)
        if len(born):
            born_rows = self._start(book, detections, measured, born, confirmed=first)
            rows, columns = np.concatenate([rows, born_rows]), np.concatenate([columns, born])
        self._stood_still = False
        return self._tracks(book, rows, detections, columns)

    def _age(self, book: _Book, time_s: float) -> None:
        """Forget who has been away too long, then move the rest to now."""
        settings, step_s = self._settings, time_s - self._time_s
        if not len(book):
            return
        if step_s > settings.gap_s:
            book.keep(np.zeros(len(book), np.bool_))
            return
        seen_s, confirmed = book.notes["seen_s"], book.notes["confirmed"]
        gone = seen_s < self._time_s
        if count_nonzero(gone):
            gone &= time_s - seen_s > np.where(confirmed, settings.lost_s, settings.trial_s)
            if count_nonzero(gone):
                book.keep(~gone)
        predict(book.filters, step_s)

    def _match(self, book: _Book, detections: Detections, measured: Measured, strong: Flags) -> tuple[Indices, Indices]:
        """Rows of tracks and the columns of the detections that continue them."""
        if not len(book) or not len(detections):
            return NO_INDICES, NO_INDICES
        seen_s, confirmed = book.notes["seen_s"], book.notes["confirmed"]
        same_class = None
        if len(detections.class_names) > 1:
            same_class = book.notes["class_id"][:, None] == detections.class_ids
        gains, overlap = pair_gains(book.filters, self._time_s - seen_s, measured, same_class)
        if count_nonzero(strong) < len(strong):
            # a weak detection continues only what was there in the frame before, in its place
            allowed = overlap >= self._settings.weak_overlap
            allowed &= (confirmed & (seen_s >= self._previous_s))[:, None]
            allowed |= strong
            gains *= allowed
        if self._stood_still:
            gains *= overlap > 0
        rows, columns, left_rows, left_columns = take_unrivalled(gains)
        if not len(left_rows):
            return rows, columns
        more_rows, more_columns = _in_stages(
            gains[left_rows[:, None], left_columns], confirmed[left_rows], strong[left_columns]
        )
        rows = np.concatenate([rows, left_rows[more_rows]])
        columns = np.concatenate([columns, left_columns[more_columns]])
        order = rows.argsort()
        return rows[order], columns[order]

    def _note(self, book: _Book, rows: Indices, measured: Measured, columns: Indices) -> None:
        """Write down what was seen of the tracks that go on."""
        values = measured.values[:, columns]  # (4, k)
        steady = smooth(correct(book.filters, rows, values), values, measured.areas_px[columns])
        notes = book.notes
        confirmed, boxes, previous = notes["confirmed"], notes["box_xyxy_px"], notes["previous_xyxy_px"]
        shown = rows if count_nonzero(confirmed) == len(confirmed) else rows[confirmed[rows]]
        previous[shown] = boxes[shown]
        boxes[rows] = corners_of(steady).T
        notes["seen_s"][rows] = self._time_s
        notes["looks"][rows] += 1
        if len(shown) != len(rows):
            proven = self._time_s - notes["born_s"] >= self._settings.proof_s - _SAME_TIME_S
            confirmed[rows] |= proven[rows]

    def _births(self, detections: Detections, strong: Flags, used: Indices) -> Indices:
        """Strong detections that continue nothing, less second readings (another class) of an object already had."""
        free = strong.copy()
        free[used] = False
        born = free.nonzero()[0]
        if not len(born):
            return born
        same = iou_matrix(detections.boxes_xyxy_px[born], detections.boxes_xyxy_px) > self._settings.same_object_overlap
        same[np.arange(len(born)), born] = False
        if not count_nonzero(same):
            return born
        had = np.zeros(len(detections), np.bool_)
        had[used] = True
        chosen = []
        for row, column in enumerate(born):  # best score first, as detections come
            if not count_nonzero(same[row, had]):
                had[column] = True
                chosen.append(column)
        return np.array(chosen, np.intp)  # (births,)

    def _start(
        self, book: _Book, detections: Detections, measured: Measured, born: Indices, *, confirmed: bool
    ) -> Indices:
        """New tracks from the detections `born`; returns their rows."""
        filters = start_filters(measured.values[:, born])
        notes = book.notes
        known = notes["confirmed"] & (notes["looks"] >= _LOOKS_TO_KNOW_A_SPEED) & (notes["seen_s"] >= self._previous_s)
        expect_motion(filters, book.filters[:, :, known])
        count, before = len(born), len(book)
        new = np.zeros(count, notes.dtype)  # (births,) records
        new["id"] = np.arange(self._next_id, self._next_id + count)
        new["seen_s"] = new["born_s"] = self._time_s
        new["looks"] = 1
        new["confirmed"] = confirmed
        new["class_id"] = detections.class_ids[born]
        new["box_xyxy_px"] = new["previous_xyxy_px"] = detections.boxes_xyxy_px[born]
        book.append(filters, new)
        rows = np.arange(before, before + count)
        book.vote(rows, detections.class_ids[born], detections.scores[born])
        self._next_id += count
        return rows

    @staticmethod
    def _tracks(book: _Book, rows: Indices, detections: Detections, columns: Indices) -> Tracks:
        shown = book.notes["confirmed"][rows]
        if count_nonzero(shown) < len(shown):
            rows, columns = rows[shown], columns[shown]
        notes = book.notes[rows]
        return Tracks(
            track_ids=notes["id"],
            boxes_xyxy_px=notes["box_xyxy_px"],
            scores=detections.scores[columns],
            class_ids=notes["class_id"],
            class_names=detections.class_names,
            previous_boxes_xyxy_px=notes["previous_xyxy_px"],
        )


def _in_stages(gains: Floats, confirmed: Flags, strong: Flags) -> tuple[Indices, Indices]:
    """ByteTrack's rounds over what is ambiguous: strong detections to confirmed tracks, then weak ones to those left,
    then strong ones left to tracks on trial.
    """
    rows, columns = _round(gains, confirmed, strong)
    if count_nonzero(strong) < len(strong):
        waiting = confirmed.copy()
        waiting[rows] = False
        rows, columns = _joined((rows, columns), _round(gains, waiting, ~strong))
    if count_nonzero(confirmed) < len(confirmed):
        unused = strong.copy()
        unused[columns] = False
        rows, columns = _joined((rows, columns), _round(gains, ~confirmed, unused))
    return rows, columns


def _round(gains: Floats, rows: Flags, columns: Flags) -> tuple[Indices, Indices]:
    """The best assignment between some tracks and some detections."""
    row_ids, column_ids = rows.nonzero()[0], columns.nonzero()[0]
    if not len(row_ids) or not len(column_ids):
        return NO_INDICES, NO_INDICES
    chosen_rows, chosen_columns = assign(gains[row_ids[:, None], column_ids])
    return row_ids[chosen_rows], column_ids[chosen_columns]


def _joined(one: tuple[Indices, Indices], other: tuple[Indices, Indices]) -> tuple[Indices, Indices]:
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
