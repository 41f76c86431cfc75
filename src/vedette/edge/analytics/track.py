"""Detections of one camera's successive frames become tracks: ByteTrack's two stages (arXiv 2110.06864), by time.

Strong detections are matched first, then weak ones go to the tracks that nothing strong continued, then strong ones
left over meet tracks still on trial, and what is left starts new ones. Time is passed in, in seconds, so that every Nth
frame, a variable frame rate and a camera that stalls need no other settings. A track's class is a vote over all its
detections, weighted by score: one misread frame does not change what a counted object is. Only tracks matched in this
very frame are given out, and only when their trial is over; a track's previous box comes with it, the first time the
one of its first detection, so that no movement is lost to whoever counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import count_nonzero  # a quarter of the time of any() and all(), which are asked ten times a frame
from numpy.typing import NDArray

from vedette.contracts.detections import Detections, Tracks
from vedette.edge.analytics.association import NO_INDICES, Flags, Indices, assign, pair_gains, take_unrivalled
from vedette.edge.analytics.errors import TimeOrderError
from vedette.edge.analytics.flow import expect_motion
from vedette.edge.analytics.kalman import Floats, Measured, corners_of, correct, measure, predict, smooth, start_filters
from vedette.edge.analytics.layout import Layout
from vedette.edge.analytics.track_book import NOTES, TrackBook
from vedette.vision.boxes import iou_matrix

_SAME_TIME_S = 1e-6
_LOOKS_TO_KNOW_A_SPEED = 3
MOST_PAIRS = 1 << 16  # of tracks and detections to weigh at once: beyond, their number takes longer than the calls
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


class ByteTracker:
    """The tracker of one camera: `contracts.ports.Tracker`. Give every camera one of its own.

    Track ids start at 1 and are never used again.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.book: TrackBook | None = None
        self.time_s = self.previous_s = 0.0  # of the last frame and the one before it
        self.stood_still = False  # before the next frame
        self._next_id = 1

    def hold(self, still_s: float) -> None:
        """Before `update`: nothing moved for so long since the frame before, and nobody looked; no track ages by it."""
        self.stood_still = still_s >= STOOD_STILL_S
        if self.book is not None:
            self.time_s += still_s
            self.previous_s += still_s
            self.book.notes["seen_s"] += still_s
            self.book.notes["born_s"] += still_s

    def update(self, detections: Detections, time_s: float) -> Tracks:
        """Take one frame's detections; returns the confirmed tracks that they continue or start.

        Raises:
            TimeOrderError: when `time_s` lies before that of the frame before.
        """
        return update_together([self], [(detections, time_s)])[0]

    def give_birth(
        self, detections: Detections, measured: Measured, used: Indices, *, first: bool
    ) -> tuple[Indices, Indices]:
        """Start tracks from strong detections that continue none; their rows and the detections' columns."""
        book = self.book
        assert book is not None
        born = _births(detections, detections.scores >= self.settings.strong_score, used, self.settings)
        if not len(born):
            return NO_INDICES, NO_INDICES
        filters = start_filters(measured.values[:, born])
        notes = book.notes
        known = notes["confirmed"] & (notes["looks"] >= _LOOKS_TO_KNOW_A_SPEED) & (notes["seen_s"] >= self.previous_s)
        expect_motion(filters, book.filters[:, :, known])
        count, before = len(born), len(book)
        new = np.zeros(count, NOTES)  # (births,) records
        new["id"] = np.arange(self._next_id, self._next_id + count)
        new["seen_s"] = new["born_s"] = self.time_s
        new["looks"] = 1
        new["confirmed"] = first
        new["class_id"] = detections.class_ids[born]
        new["box_xyxy_px"] = new["previous_xyxy_px"] = detections.boxes_xyxy_px[born]
        book.append(filters, new)
        rows = np.arange(before, before + count)
        book.vote(rows, detections.class_ids[born], detections.scores[born])
        self._next_id += count
        return rows, born


def update_together(trackers: Sequence[ByteTracker], frames: Sequence[tuple[Detections, float]]) -> list[Tracks]:
    """Give trackers of different cameras each its next frame, detections and time: as `update` does, to the same bits.

    Many small frames take little longer together than one alone, since the time goes into calls, not into objects.

    Raises:
        TimeOrderError: as `update`; then no tracker has taken anything.
    """
    for tracker, (_, time_s) in zip(trackers, frames, strict=True):
        if tracker.book is not None and time_s < tracker.time_s:
            raise TimeOrderError(f"a frame of {time_s:.3f} s came after one of {tracker.time_s:.3f} s")
    if not trackers:
        return []
    held = [0 if tracker.book is None else len(tracker.book) for tracker in trackers]
    found = [len(detections) for detections, _ in frames]
    alike = all(tracker.settings == trackers[0].settings for tracker in trackers)
    alike &= len({len(detections.class_names) for detections, _ in frames}) == 1
    if len(trackers) > 1 and (max(held) * max(found) * len(trackers) > MOST_PAIRS or not alike):
        half = len(trackers) // 2
        return update_together(trackers[:half], frames[:half]) + update_together(trackers[half:], frames[half:])
    return _Together(trackers, frames).update()


class _Together:
    """One frame of each of some cameras: their tracks and detections one behind the other, camera after camera."""

    def __init__(self, trackers: Sequence[ByteTracker], frames: Sequence[tuple[Detections, float]]) -> None:
        self._trackers = trackers
        self._settings = trackers[0].settings
        self._detections = [detections for detections, _ in frames]
        self._firsts = [tracker.book is None for tracker in trackers]
        books = []
        for tracker, (detections, time_s) in zip(trackers, frames, strict=True):
            book = tracker.book
            if book is None or time_s - tracker.time_s > self._settings.gap_s:
                book = TrackBook.empty(len(detections.class_names))
            books.append(book)
        self._book = books[0] if len(books) == 1 else TrackBook.of_all(books)
        self._whose = _numbers([len(book) for book in books])  # (tracks,) camera of each
        self._whose_found = _numbers([len(one) for one in self._detections])  # (detections,) camera of each
        last_s, now_s = [tracker.time_s for tracker in trackers], [float(time_s) for _, time_s in frames]
        self._last_s = last_s[0] if len(set(last_s)) == 1 else np.array(last_s)  # of all, or by camera
        self._now_s = now_s[0] if len(set(now_s)) == 1 else np.array(now_s)
        self._scores = _joined_up([one.scores for one in self._detections])
        self._class_ids = _joined_up([one.class_ids for one in self._detections])
        self._strong = self._scores >= self._settings.strong_score
        self._measured = measure(_joined_up([one.boxes_xyxy_px for one in self._detections]))
        self._found = Layout(self._whose_found, len(trackers))
        self._times_s = now_s

    def update(self) -> list[Tracks]:
        """What `ByteTracker.update` says of each camera."""
        book = self._book
        if len(book):
            self._age()
        rows, columns = self._match()
        if len(rows):
            self._note(rows, columns)
            book.vote(rows, self._class_ids[columns], self._scores[columns])
        for tracker, time_s in zip(self._trackers, self._times_s, strict=True):
            tracker.previous_s, tracker.time_s = tracker.time_s, time_s
            tracker.stood_still = False
        found = self._tracks(rows, columns)
        ends = _ends(self._whose, len(self._trackers)).tolist()
        for tracker, start, end in zip(self._trackers, [0, *ends], ends, strict=False):
            tracker.book = book if len(self._trackers) == 1 else book.part(start, end)
        free = self._strong.copy()
        free[columns] = False
        if count_nonzero(free):
            for camera in sorted(set(self._whose_found[free].tolist())):
                found[camera] = self._with_births(camera, columns, found[camera])
        return found

    def _of_rows(self, times_s: float | Floats) -> float | Floats:
        """A time of all, or of each camera, for each track."""
        return times_s if isinstance(times_s, float) else times_s[self._whose]

    def _age(self) -> None:
        """Forget who has been away too long, then move the rest to now."""
        book, settings = self._book, self._settings
        seen_s, confirmed = book.notes["seen_s"], book.notes["confirmed"]
        gone = seen_s < self._of_rows(self._last_s)
        if count_nonzero(gone):
            unseen_s = self._of_rows(self._now_s) - seen_s
            gone &= unseen_s > np.where(confirmed, settings.lost_s, settings.trial_s)
            if count_nonzero(gone):
                book.keep(~gone)
                self._whose = self._whose[~gone]
        predict(book.filters, self._of_rows(self._now_s - self._last_s))

    def _match(self) -> tuple[Indices, Indices]:
        """Rows of tracks and the columns of the detections that continue them."""
        book, strong = self._book, self._strong
        if not len(book) or not len(strong):
            return NO_INDICES, NO_INDICES
        tracks, found = Layout(self._whose, len(self._trackers)), self._found
        gains = self._gains(tracks, found)
        cameras, places, found_places = gains.nonzero()
        rows, columns, left_rows, left_columns = take_unrivalled(
            tracks.whereabouts(cameras, places), found.whereabouts(cameras, found_places)
        )
        if not len(left_rows):
            return rows, columns
        confirmed = book.notes["confirmed"]
        pairs = [(rows, columns)]
        for camera in sorted(set(self._whose[left_rows].tolist())):
            some_rows = left_rows[self._whose[left_rows] == camera]
            some_columns = left_columns[self._whose_found[left_columns] == camera]
            left = gains[camera][(some_rows - tracks.starts[camera])[:, None], some_columns - found.starts[camera]]
            more_rows, more_columns = _in_stages(left, confirmed[some_rows], strong[some_columns])
            pairs.append((some_rows[more_rows], some_columns[more_columns]))
        rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
        order = rows.argsort()
        return rows[order], columns[order]

    def _gains(self, tracks: Layout, found: Layout) -> Floats:
        """What each pair of a camera is worth: (cameras, most tracks of one, most detections of one)."""
        book, strong = self._book, self._strong
        notes = book.notes
        seen_s = notes["seen_s"]
        same_class = None
        if book.votes.shape[1] > 1:
            same_class = tracks.lay(notes["class_id"])[:, :, None] == found.lay(self._class_ids)[:, None]
        measured = Measured(*(found.lay(values) for values in self._measured))
        unseen_s = tracks.lay(self._of_rows(self._now_s) - seen_s)
        gains, overlap = pair_gains(tracks.lay(book.filters), unseen_s, measured, same_class)
        if tracks.real is not None:
            gains *= tracks.real[:, :, None]
        if found.real is not None:
            gains *= found.real[:, None]
        if count_nonzero(strong) < len(strong):
            # a weak detection continues only what was there in the frame before, in its place
            allowed = overlap >= self._settings.weak_overlap
            allowed &= tracks.lay(notes["confirmed"] & (seen_s >= self._of_rows(self._last_s)))[:, :, None]
            allowed |= found.lay(strong)[:, None]
            gains *= allowed
        stood_still = [tracker.stood_still for tracker in self._trackers]
        if any(stood_still):
            gains *= (overlap > 0) | ~np.array(stood_still)[:, None, None]
        return gains

    def _note(self, rows: Indices, columns: Indices) -> None:
        """Write down what was seen of the tracks that go on."""
        book, measured = self._book, self._measured
        values = measured.values[:, columns]  # (4, k)
        steady = smooth(correct(book.filters, rows, values), values, measured.areas_px[columns])
        notes = book.notes
        confirmed, boxes, previous = notes["confirmed"], notes["box_xyxy_px"], notes["previous_xyxy_px"]
        shown = rows if count_nonzero(confirmed) == len(confirmed) else rows[confirmed[rows]]
        previous[shown] = boxes[shown]
        boxes[rows] = corners_of(steady).T
        now_s = self._of_rows(self._now_s)
        notes["seen_s"][rows] = now_s if isinstance(now_s, float) else now_s[rows]
        notes["looks"][rows] += 1
        if len(shown) != len(rows):
            proven = now_s - notes["born_s"] >= self._settings.proof_s - _SAME_TIME_S
            confirmed[rows] |= proven[rows]

    def _with_births(self, camera: int, columns: Indices, going_on: Tracks) -> Tracks:
        """What one camera's tracks are with those that begin; these are shown at once in its first frame alone."""
        tracker, detections = self._trackers[camera], self._detections[camera]
        start = self._found.starts[camera]
        here = slice(start, start + len(detections))
        measured = Measured(
            self._measured.values[:, here], self._measured.corners_px[:, here], self._measured.areas_px[here]
        )
        used = columns[self._whose_found[columns] == camera] - start
        first = self._firsts[camera]
        rows, born = tracker.give_birth(detections, measured, used, first=first)
        if not first or not len(rows):
            return going_on
        assert tracker.book is not None
        return _shown(tracker.book.notes[rows], detections.scores[born], detections.class_names)

    def _tracks(self, rows: Indices, columns: Indices) -> list[Tracks]:
        """Those that go on, by camera, but for those on trial."""
        shown = self._book.notes["confirmed"][rows]
        if count_nonzero(shown) < len(shown):
            rows, columns = rows[shown], columns[shown]
        notes, scores = self._book.notes[rows], self._scores[columns]
        ends = _ends(self._whose[rows], len(self._trackers)).tolist()
        return [
            _shown(notes[start:end], scores[start:end], detections.class_names)
            for detections, start, end in zip(self._detections, [0, *ends], ends, strict=False)
        ]


def _numbers(counts: Sequence[int]) -> Indices:
    """0 as often as the first count says, 1 as often as the second..."""
    return np.zeros(counts[0], np.intp) if len(counts) == 1 else np.arange(len(counts)).repeat(counts)


def _ends(whose: Indices, cameras: int) -> Indices:
    """Where the part of each camera ends."""
    return np.bincount(whose, minlength=cameras).cumsum()


def _joined_up(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _shown(notes: NDArray[np.void], scores: NDArray[np.float32], class_names: tuple[str, ...]) -> Tracks:
    return Tracks(
        track_ids=notes["id"],
        boxes_xyxy_px=notes["box_xyxy_px"],
        scores=scores,
        class_ids=notes["class_id"],
        class_names=class_names,
        previous_boxes_xyxy_px=notes["previous_xyxy_px"],
    )


def _births(detections: Detections, strong: Flags, used: Indices, settings: TrackerSettings) -> Indices:
    """Strong detections that continue nothing, less second readings (another class) of an object already had."""
    free = strong.copy()
    free[used] = False
    born = free.nonzero()[0]
    if not len(born):
        return born
    same = iou_matrix(detections.boxes_xyxy_px[born], detections.boxes_xyxy_px) > settings.same_object_overlap
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
