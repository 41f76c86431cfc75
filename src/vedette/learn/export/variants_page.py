"""One self-contained HTML page that shows a bundle's variants side by side: no script, no request, pictures inside.

Receipts as tables, then the pictures in which variants find something else than FP32 does, most different first. Class
names come from strangers: Jinja2 escapes everything.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BundleManifest, Variant
from vedette.contracts.detections import Detections
from vedette.contracts.receipt import Receipt
from vedette.learn.export.golden_agreement import match
from vedette.version import __version__
from vedette.vision.annotate import PALETTE, draw_boxes

MOST_PICTURES = 6
LONGEST_SIDE_PX = 560
JPEG_QUALITY = 82
SAME, MISSING, EXTRA = 1, 5, 0  # places in the palette: sky blue, vermilion, orange

Picture = NDArray[np.uint8]  # (height, width, 3) BGR


@dataclass(frozen=True, slots=True)
class Shown:
    """A variant and what it found in each picture."""

    variant: Variant
    found: Sequence[Detections]


@dataclass(frozen=True, slots=True)
class _Difference:
    """What one variant finds otherwise than FP32 in one picture."""

    missing: int
    extra: int

    @property
    def words(self) -> str:
        """For a caption."""
        parts = [f"{count} {word}" for count, word in ((self.missing, "missing"), (self.extra, "extra")) if count]
        return ", ".join(parts) or "the same"


def render_variants_page(
    manifest: BundleManifest, shown: Sequence[Shown], read: Callable[[int], Picture], data_name: str | None
) -> str:
    """The page as text.

    Args:
        shown: FP32 first; all looked at the same pictures.
        read: one of these pictures by its place.
        data_name: what the pictures are from.
    """
    from jinja2 import Environment, StrictUndefined

    template = resources.files("vedette.learn.export").joinpath("templates/variants.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    baseline = shown[0].variant.receipt
    slowest = max((one.variant.receipt.ms_per_picture or 0.0 for one in shown), default=0.0)
    pictures = [_row(shown, number, read) for number in _most_different(shown)]
    return environment.from_string(template).render(
        name=manifest.name,
        version=__version__,
        data_name=data_name,
        pictures_seen=len(shown[0].found),
        score=manifest.thresholds.score,
        rows=[_receipt_row(one.variant, baseline, manifest, slowest) for one in shown],
        variants=[one.variant for one in shown[1:]],
        classes=_class_rows(shown),
        hosts=sorted({one.variant.receipt.host for one in shown if one.variant.receipt.host}),
        pictures=pictures,
        colours={
            name: _css(PALETTE[place]) for name, place in (("same", SAME), ("missing", MISSING), ("extra", EXTRA))
        },
    )


def _receipt_row(variant: Variant, baseline: Receipt, manifest: BundleManifest, slowest_ms: float) -> dict[str, Any]:
    receipt = variant.receipt
    ms, network = receipt.ms_per_picture, receipt.network_ms
    return {
        "name": variant.name,
        "engines": ", ".join(engine.value for engine in variant.engines),
        "mib": sum(manifest.files[name].size_bytes for name in variant.files) / 2**20,
        "accuracy": receipt.accuracy,
        "change": receipt.change,
        "golden": receipt.golden,
        "ms": ms,
        "share": 100 * ms / slowest_ms if ms and slowest_ms else 0.0,
        "network_ms": network,
        "faster": baseline.network_ms / network if network and baseline.network_ms else None,
        "evidence": receipt.evidence,
        "engine": receipt.engine,
        "kept": receipt.kept_layers,
        "calibration": receipt.calibration,
    }


def _class_rows(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """For each class its AP50 in FP32 and what every variant changes, in points."""
    names = next(
        ([c.name for c in one.variant.receipt.change.classes] for one in shown if one.variant.receipt.change), []
    )
    rows = []
    for place, name in enumerate(names):
        cells = [
            None if one.variant.receipt.change is None else one.variant.receipt.change.classes[place] for one in shown
        ]
        first = next(cell for cell in cells if cell is not None)
        rows.append({"name": name, "fp32": first.ap50 - first.change_ap50, "cells": cells[1:]})
    return rows


def _most_different(shown: Sequence[Shown]) -> list[int]:
    """The places of the pictures in which the variants differ, the most different first."""
    counts = []
    for number, expected in enumerate(shown[0].found):
        differences = [_compare(expected, one.found[number]) for one in shown[1:]]
        counts.append(sum(one.missing + one.extra for one in differences))
    order = sorted(range(len(counts)), key=lambda number: -counts[number])
    return [number for number in order if counts[number]][:MOST_PICTURES]


def _compare(expected: Detections, found: Detections) -> _Difference:
    matched = len(match(expected, found).expected)
    return _Difference(len(expected) - matched, len(found) - matched)


def _row(shown: Sequence[Shown], number: int, read: Callable[[int], Picture]) -> list[dict[str, str]]:
    """One picture as every variant sees it."""
    picture, expected = read(number), shown[0].found[number]
    row = [
        {"name": shown[0].variant.name, "words": f"{len(expected)} found", "url": _draw(picture, expected, expected)}
    ]
    for one in shown[1:]:
        found = one.found[number]
        words = _compare(expected, found).words
        row.append({"name": one.variant.name, "words": words, "url": _draw(picture, expected, found)})
    return row


def _draw(picture: Picture, expected: Detections, found: Detections) -> str:
    """A data URL: what both find in one colour, what only one of them finds in others."""
    ratio = min(1.0, LONGEST_SIDE_PX / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * ratio)), max(1, round(picture.shape[0] * ratio)))
    small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    pairs = match(expected, found)
    missing = expected.select(np.setdiff1d(np.arange(len(expected)), pairs.expected))
    extra = found.select(np.setdiff1d(np.arange(len(found)), pairs.found))
    for part, place, word in (
        (found.select(pairs.found), SAME, ""),
        (missing, MISSING, "missing "),
        (extra, EXTRA, "extra "),
    ):
        labels = [f"{word}{name} {score:.2f}" for name, score in zip(part.names, part.scores, strict=True)]
        colours = np.full(len(part), place, np.int32)  # (n,)
        if place == SAME:  # plain boxes: their labels would hide what differs
            for x1, y1, x2, y2 in np.rint(part.boxes_xyxy_px * ratio).astype(int).tolist():
                cv2.rectangle(small, (x1, y1), (x2, y2), PALETTE[SAME], 1, cv2.LINE_AA)
        else:
            draw_boxes(small, part.boxes_xyxy_px * ratio, labels, colours)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def _css(bgr: tuple[int, int, int]) -> str:
    return f"#{bgr[2]:02x}{bgr[1]:02x}{bgr[0]:02x}"
