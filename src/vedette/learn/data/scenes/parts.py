"""The parts on the belts, drawn once as sprites: gears, plates and rings, some of them defective.

A sprite is a premultiplied BGR picture with its alpha, rotated and blurred for good; blending it costs two OpenCV calls
a frame. Every choice comes from the generator that is passed in, so one seed draws one part.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

KINDS = ("gear", "plate", "ring")
DEFECTIVE = "defective"
CLASSES = (*KINDS, DEFECTIVE)

_SUPERSAMPLE = 2  # parts are drawn this much larger and reduced, for smooth edges
_METALS_BGR = ((196, 188, 178), (150, 172, 196), (120, 160, 182), (176, 150, 128), (140, 190, 160))
_RUST_BGR = (28, 62, 150)


@dataclass(frozen=True, slots=True)
class Sprite:
    """One part, ready to blend. `box_xyxy_px` is the tight box of its visible pixels inside the sprite."""

    class_name: str
    premultiplied_hwc_bgr_u8: NDArray[np.uint8]  # (h, w, 3) colour * alpha
    transparency_hwc_u8: NDArray[np.uint8]  # (h, w, 3) 255 - alpha, three equal planes
    box_xyxy_px: tuple[int, int, int, int]


def draw_part(random: np.random.Generator, kind: str, *, defective: bool, size_px: float, blur_px: float) -> Sprite:
    """Draw one part of a kind, `size_px` across, at a random angle and in a random metal."""
    side = int(size_px * _SUPERSAMPLE * 1.5)
    radius = size_px * _SUPERSAMPLE / 2
    mask = _outline(random, kind, side, radius)  # (side, side) uint8
    colour = _shaded_metal(random, mask)
    if defective:
        colour, mask = _damage(random, colour, mask, radius)
    angle = float(random.uniform(0, 360))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0)
    colour = cv2.warpAffine(colour, turn, (side, side), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(mask, turn, (side, side), flags=cv2.INTER_LINEAR)
    small = (side // _SUPERSAMPLE, side // _SUPERSAMPLE)
    colour = cv2.resize(colour, small, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, small, interpolation=cv2.INTER_AREA)
    if blur_px > 0:
        colour = cv2.GaussianBlur(colour, (0, 0), blur_px)
        mask = cv2.GaussianBlur(mask, (0, 0), blur_px)
    alpha = mask.astype(np.float32)[..., None] / 255  # (h, w, 1) in 0..1
    x, y, width, height = cv2.boundingRect((mask > 100).astype(np.uint8))
    return Sprite(
        class_name=DEFECTIVE if defective else kind,
        premultiplied_hwc_bgr_u8=(colour * alpha).astype(np.uint8),
        transparency_hwc_u8=np.repeat(255 - mask[..., None], 3, axis=2),
        box_xyxy_px=(x, y, x + width, y + height),
    )


def _outline(random: np.random.Generator, kind: str, side: int, radius: float) -> NDArray[np.uint8]:
    mask = np.zeros((side, side), np.uint8)  # (side, side) 0 or 255
    centre = (side // 2, side // 2)
    if kind == "gear":
        teeth = int(random.integers(9, 14))
        steps = np.arange(teeth * 4) * (2 * np.pi / (teeth * 4))
        reach = np.where(np.arange(teeth * 4) % 4 < 2, radius, radius * 0.78)
        points = np.stack([np.cos(steps) * reach, np.sin(steps) * reach], axis=1) + side / 2  # (4 * teeth, 2)
        cv2.fillPoly(mask, [points.astype(np.int32)], 255)
        cv2.circle(mask, centre, int(radius * 0.22), 0, -1)
    elif kind == "plate":
        width, height = radius * 1.9, radius * float(random.uniform(1.0, 1.3))
        left, top = side / 2 - width / 2, side / 2 - height / 2
        cv2.rectangle(mask, (int(left), int(top)), (int(left + width), int(top + height)), 255, -1)
        hole = int(radius * 0.14)
        for across in (0.16, 0.84):
            for down in (0.2, 0.8):
                cv2.circle(mask, (int(left + width * across), int(top + height * down)), hole, 0, -1)
    else:
        cv2.circle(mask, centre, int(radius), 255, -1)
        cv2.circle(mask, centre, int(radius * float(random.uniform(0.5, 0.62))), 0, -1)
    return mask


def _shaded_metal(random: np.random.Generator, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brushed metal: a base colour, a slanting gradient, fine streaks and a dark rim."""
    side = mask.shape[0]
    base = np.array(_METALS_BGR[int(random.integers(len(_METALS_BGR)))], np.float32) + random.normal(0, 8, 3)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    gradient = ramp[None, :] * float(random.uniform(-22, 22)) + ramp[:, None] * float(random.uniform(-22, 22))
    streaks = np.repeat(random.normal(0, 5, (side, 1)).astype(np.float32), side, axis=1)
    picture = base[None, None, :] + (gradient + streaks)[..., None]  # (side, side, 3) float32
    rim = cv2.subtract(mask, cv2.erode(mask, np.ones((7, 7), np.uint8)))
    picture[rim > 0] *= 0.55
    return np.clip(picture, 0, 255).astype(np.uint8)


def _damage(
    random: np.random.Generator, colour: NDArray[np.uint8], mask: NDArray[np.uint8], radius: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A rust stain over a good part of the piece, and a bite out of its edge."""
    centre = mask.shape[0] / 2
    angle = float(random.uniform(0, 2 * np.pi))
    bite = (int(centre + np.cos(angle) * radius * 0.92), int(centre + np.sin(angle) * radius * 0.92))
    mask = mask.copy()
    cv2.circle(mask, bite, int(radius * float(random.uniform(0.3, 0.42))), 0, -1)
    stain = np.zeros_like(mask)
    for _ in range(5):
        turn, reach = float(random.uniform(0, 2 * np.pi)), float(random.uniform(0.25, 0.75)) * radius
        spot = (int(centre + np.cos(turn) * reach), int(centre + np.sin(turn) * reach))
        cv2.circle(stain, spot, int(radius * float(random.uniform(0.26, 0.42))), 255, -1)
    strength = cv2.GaussianBlur(stain, (0, 0), radius * 0.08).astype(np.float32)[..., None] / 255 * 0.88
    rust = np.array(_RUST_BGR, np.float32) + random.normal(0, 10, 3)
    return (colour * (1 - strength) + rust * strength).clip(0, 255).astype(np.uint8), mask
