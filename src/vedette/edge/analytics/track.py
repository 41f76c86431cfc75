"""Detections of one camera's successive frames become tracks: ByteTrack's two stages (arXiv 2110.06864), by time.

Strong detections are matched first, then weak ones go to the tracks that nothing strong continued, then strong ones
left over meet tracks still on trial, and what is left starts new ones. Time is passed in, in seconds, so that every Nth
frame, a variable frame rate and a camera that stalls need no other settings. A track's class is a vote over all its
detections, weighted by score: one misread frame does not change what a counted object is. Only tracks matched in this
very frame are given out, and only when their trial is over; a track's previous box comes with it, so that no movement
between its first two detections is lost to whoever counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.contracts.detections import Detections, Tracks
from vedette.edge.analytics.association import NO_INDICES, Indices, assign, pair_gains
from vedette.edge.analytics.errors import TimeOrderError
from vedette.edge.analytics.kalman import Floats, correct, predict, start_filters
from vedette.vision.boxes import iou_matrix, xyxy_to_cxcywh


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """When a detection is strong, and how long a track outlives its object's disappearance.

    `strong_score` and above may start a track; anything weaker only continues one. `lost_s` is how long an unseen track
    waits for its object, `trial_s` how long one that has been seen only once does. After `gap_s` without any update at
    all (a camera that was away) nothing is continued.
    """

    strong_score: float = 0.4
    weak_overlap: float = 0.3
    lost_s: float = 1.0
    trial_s: float = 0.1
    gap_s: float = 5.0
    same_object_overlap: float = 0.8


class _Book:
    """All tracks of one camera as a struct of arrays; row i of every array is one track."""

    def __init__(self, class_count: int) -> None:
        self.filters = np.zeros((0, 5, 4))  # (n, 5, 4) float64
        self.ids = np.zeros(0, np.int64)  # (n,)
        self.boxes_xyxy_px = np.zeros((0, 4), np.float32)  # (n, 4) at the last detection
        self.previous_xyxy_px = np.zeros((0, 4), np.float32)  # (n, 4) at the one before
        self.seen_s = np.zeros(0)  # (n,) float64
        self.votes = np.zeros((0, class_count))  # (n, classes) float64
        self.confirmed = np.zeros(0, np.bool_)  # (n,)

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        for name, array in vars(self).items():
            setattr(self, name, array[rows])

    def append(self, ids: NDArray[np.int64], boxes_xyxy_px: NDArray[np.float32], time_s: float, trial: bool) -> None:
        count = len(ids)
        new = {
            "filters": start_filters(xyxy_to_cxcywh(boxes_xyxy_px.astype(np.float64))),
            "ids": ids,
            "boxes_xyxy_px": boxes_xyxy_px,
            "previous_xyxy_px": boxes_xyxy_px,
            "seen_s": np.full(count, time_s),
            "votes": np.zeros((count, self.votes.shape[1])),
            "confirmed": np.full(count, not trial),
        }
        for name, array in new.items():
            setattr(self, name, np.concatenate([getattr(self, name), array]))


class ByteTracker:
    """The tracker of one camera: `contracts.ports.Tracker`. Give every camera one of its own.

    Track ids start at 1 and are never used again.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._book: _Book | None = None
        self._time_s = self._previous_s = 0.0
        self._next_id = 1

    def hold(self, still_s: float) -> None:
        """Before `update`: nothing moved for so long since the frame before, and nobody looked; no track ages by it."""
        if self._book is not None:
            self._time_s += still_s
            self._previous_s += still_s
            self._book.seen_s += still_s

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
        boxes_cxcywh_px = xyxy_to_cxcywh(detections.boxes_xyxy_px.astype(np.float64))
        rows, columns = self._match(book, detections, boxes_cxcywh_px)
        if len(rows):
            correct(book.filters, rows, boxes_cxcywh_px[columns])
            self._note(book, rows, detections, columns)
        born = self._births(detections, columns)
        if len(born):
            book.append(self._take_ids(len(born)), detections.boxes_xyxy_px[born], time_s, trial=not first)
            born_rows = np.arange(len(book) - len(born), len(book))
            book.votes[born_rows, detections.class_ids[born]] += detections.scores[born]
            rows, columns = np.concatenate([rows, born_rows]), np.concatenate([columns, born])
        shown = book.confirmed[rows]
        rows, columns = rows[shown], columns[shown]
        order = book.ids[rows].argsort()
        return self._tracks(book, rows[order], detections, columns[order])

    def _age(self, book: _Book, time_s: float) -> None:
        """Forget who has been away too long, then move the rest to now."""
        settings, step_s = self._settings, time_s - self._time_s
        if step_s > settings.gap_s:
            book.keep(np.zeros(len(book), np.bool_))
        elif len(book):
            in_last_frame = book.seen_s >= self._time_s
            patience_s = np.where(book.confirmed, settings.lost_s, settings.trial_s)
            alive = in_last_frame | (time_s - book.seen_s <= patience_s)
            if not alive.all():
                book.keep(alive)
            predict(book.filters, step_s)

    def _match(self, book: _Book, detections: Detections, boxes_cxcywh_px: Floats) -> tuple[Indices, Indices]:
        if not len(book) or not len(detections):
            return NO_INDICES, NO_INDICES
        same_class = book.votes.argmax(axis=1)[:, None] == detections.class_ids[None, :]
        gains, overlap = pair_gains(book.filters, boxes_cxcywh_px, same_class)
        strong = detections.scores >= self._settings.strong_score
        rows, columns = self._stage(gains, book.confirmed, strong)
        if not strong.all():
            waiting = book.confirmed & (book.seen_s >= self._previous_s)
            waiting[rows] = False
            near = np.where(overlap >= self._settings.weak_overlap, gains, 0.0)
            rows, columns = _joined((rows, columns), self._stage(near, waiting, ~strong))
        if not book.confirmed.all():
            unused = strong.copy()
            unused[columns] = False
            rows, columns = _joined((rows, columns), self._stage(gains, ~book.confirmed, unused))
        return rows, columns

    @staticmethod
    def _stage(gains: Floats, rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> tuple[Indices, Indices]:
        """One round between some tracks and some detections."""
        if rows.all() and columns.all():
            return assign(gains)
        row_ids, column_ids = rows.nonzero()[0], columns.nonzero()[0]
        if not len(row_ids) or not len(column_ids):
            return NO_INDICES, NO_INDICES
        chosen_rows, chosen_columns = assign(gains[row_ids[:, None], column_ids])
        return row_ids[chosen_rows], column_ids[chosen_columns]

    def _note(self, book: _Book, rows: Indices, detections: Detections, columns: Indices) -> None:
        """Write down what was seen of the tracks that go on."""
        book.previous_xyxy_px[rows] = book.boxes_xyxy_px[rows]
        book.boxes_xyxy_px[rows] = detections.boxes_xyxy_px[columns]
        book.seen_s[rows] = self._time_s
        book.votes[rows, detections.class_ids[columns]] += detections.scores[columns]
        book.confirmed[rows] = True

    def _births(self, detections: Detections, used: Indices) -> Indices:
        """Strong detections that continue nothing, less second readings (another class) of an object already had."""
        free = detections.scores >= self._settings.strong_score
        free[used] = False
        born = np.flatnonzero(free)
        if not len(born):
            return born
        overlap = iou_matrix(detections.boxes_xyxy_px[born], detections.boxes_xyxy_px)
        had = np.zeros(len(detections), np.bool_)
        had[used] = True
        chosen = []
        for row, column in enumerate(born):  # best score first, as detections come
            if not (overlap[row, had] > self._settings.same_object_overlap).any():
                had[column] = True
                chosen.append(column)
        return np.array(chosen, np.intp)  # (births,)

    def _take_ids(self, count: int) -> NDArray[np.int64]:
        first, self._next_id = self._next_id, self._next_id + count
        return np.arange(first, first + count, dtype=np.int64)

    @staticmethod
    def _tracks(book: _Book, rows: Indices, detections: Detections, columns: Indices) -> Tracks:
        return Tracks(
            track_ids=book.ids[rows],
            boxes_xyxy_px=detections.boxes_xyxy_px[columns],
            scores=detections.scores[columns],
            class_ids=book.votes[rows].argmax(axis=1).astype(np.int32),
            class_names=detections.class_names,
            previous_boxes_xyxy_px=book.previous_xyxy_px[rows],
        )


def _joined(one: tuple[Indices, Indices], other: tuple[Indices, Indices]) -> tuple[Indices, Indices]:
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
