"""One camera over a drawn factory floor: belts, parts that ride on them, light, shadow, noise, and the truth.

Everything follows from the seed and the frame number, so that a still and a frame of a clip are drawn by the same code
and the truth (which part is where, which crossing happens when) is arithmetic, not measurement.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.learn.data.samples import LabelledObject
from vedette.learn.data.scenes.parts import KINDS, Sprite, draw_part

WIDTH_PX, HEIGHT_PX, FPS = 1280, 720, 30
DEFECTIVE_SHARE = 0.22
LEAST_VISIBLE_SHARE = 0.4  # parts that show less than this of their box are not labelled
_BELT_PX = 170
_OCCLUDER_CLEARANCE_PX = 190  # an overhead pipe never hides the counting line's surroundings


@dataclass(frozen=True, slots=True)
class Crossing:
    """One part's anchor (bottom centre of its box) passes the counting line between `frame - 1` and `frame`."""

    line: str
    direction: str
    class_name: str
    frame: int


@dataclass(frozen=True, slots=True)
class _Part:
    sprite: Sprite
    start_px: float  # where its centre is along the belt at frame 0, in the direction of travel
    across_px: float  # its centre's offset from the belt's middle line


@dataclass(frozen=True, slots=True)
class _Belt:
    middle_px: int
    speed_px: float  # per frame; negative runs toward smaller coordinates
    parts: tuple[_Part, ...]
    texture_bgr_u8: NDArray[np.uint8]  # (belt width, length + period, 3)


@dataclass(frozen=True, slots=True)
class _Weather:
    drift_period: float
    drift_depth: float
    brightness: float
    shadow_speed: float
    shadow_start: float
    shadow_width: int
    shadow_depth: float
    noise_sigma: float


class Factory:
    """A camera's view, `WIDTH_PX` x `HEIGHT_PX` at `FPS`, for frames 0 .. `frames` - 1.

    Belts run along x (or along y when `vertical`); one counting line named `count` crosses all of them.
    """

    def __init__(self, seed: int, frames: int, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> None:
        self._random = np.random.default_rng([0x5CE4E, seed])
        self.frames = frames
        self.width_px, self.height_px = width_px, height_px
        self._scale = width_px / WIDTH_PX
        self.vertical = bool(self._random.random() < 0.3)
        # The scene is laid out lying (belts along x) and turned by exchanging axes when it is vertical.
        self._length, self._depth = (height_px, width_px) if self.vertical else (width_px, height_px)
        self._blur = float(self._random.uniform(0.0, 1.3)) * self._scale
        self._line_at = self._length * float(self._random.uniform(0.42, 0.58))
        self._belts = self._lay_belts()
        self._background = self._draw_background()
        self._weather = self._choose_weather()
        self._pipes = self._place_pipes()
        self._noise = self._draw_noise()

    @property
    def line_xyxy_px(self) -> tuple[float, float, float, float]:
        """The counting line, start and end, in pixels."""
        at = round(self._line_at)
        return (0, at, self._depth, at) if self.vertical else (at, 0, at, self._depth)

    def draw(self, frame: int) -> NDArray[np.uint8]:
        """One frame without sensor noise: (height, width, 3) uint8 BGR."""
        lying = self._background.copy()
        half = self._belt_width // 2
        for belt in self._belts:
            period = belt.texture_bgr_u8.shape[1] - self._length
            shift = int(-belt.speed_px * frame) % period
            lying[belt.middle_px - half : belt.middle_px - half + self._belt_width] = belt.texture_bgr_u8[
                :, shift : shift + self._length
            ]
            for part in belt.parts:
                _blend(lying, part.sprite, *self._corner(belt, part, frame))
        for left, right in self._pipes:
            lying[:, left:right] = self._pipe_picture(right - left)
        self._shade(lying, frame)
        return np.ascontiguousarray(lying.transpose(1, 0, 2)) if self.vertical else lying

    def draw_noisy_yuv(self, frame: int) -> NDArray[np.uint8]:
        """One frame with sensor noise on the luma, planar I420 (height * 3 / 2, width) uint8, BT.601 limited range."""
        yuv: NDArray[np.uint8] = cv2.cvtColor(self.draw(frame), cv2.COLOR_BGR2YUV_I420)
        self._add_noise(yuv[: self.height_px], frame)
        return yuv

    def draw_noisy_bgr(self, frame: int) -> NDArray[np.uint8]:
        """The same frame as (height, width, 3) uint8 BGR."""
        picture: NDArray[np.uint8] = cv2.cvtColor(self.draw_noisy_yuv(frame), cv2.COLOR_YUV2BGR_I420)
        return picture

    def objects(self, frame: int) -> tuple[LabelledObject, ...]:
        """The labelled parts of one frame: boxes of what can be seen, clipped to the picture."""
        found = []
        for belt in self._belts:
            for part in belt.parts:
                box = self._box(belt, part, frame)
                labelled = self._visible(part.sprite.class_name, box)
                if labelled is not None:
                    found.append(labelled)
        return tuple(found)

    def crossings(self) -> tuple[Crossing, ...]:
        """Every passage of the counting line in the whole clip, in order of time."""
        found = []
        for belt in self._belts:
            for part in belt.parts:
                at = np.array([self._anchor_along(belt, part, frame) for frame in (0, self.frames - 1)])
                if (at[0] - self._line_at) * (at[1] - self._line_at) >= 0:
                    continue
                frame = int(np.ceil((self._line_at - at[0]) / belt.speed_px))
                # A line drawn top to bottom (lying) or left to right (vertical) has its left on the side of larger x,
                # or of smaller y, as seen in the picture.
                forward = belt.speed_px > 0
                direction = "a_to_b" if forward == self.vertical else "b_to_a"
                found.append(Crossing("count", direction, part.sprite.class_name, frame))
        return tuple(sorted(found, key=lambda crossing: crossing.frame))

    # -- layout ---------------------------------------------------------------------------------------------------

    @property
    def _belt_width(self) -> int:
        return int(_BELT_PX * self._scale)

    def _lay_belts(self) -> tuple[_Belt, ...]:
        count = int(self._random.integers(2, 4)) if not self.vertical else int(self._random.integers(3, 5))
        pitch = self._depth / count
        belts = []
        for number in range(count):
            middle = int(pitch * (number + 0.5) + self._random.uniform(-0.08, 0.08) * pitch)
            speed = float(self._random.uniform(3.2, 6.0)) * self._scale * (1 if self._random.random() < 0.5 else -1)
            belts.append(_Belt(middle, speed, self._load_belt(speed), self._draw_belt()))
        return tuple(belts)

    def _load_belt(self, speed: float) -> tuple[_Part, ...]:
        """Parts one behind the other, enough to pass by for the whole clip."""
        reach = abs(speed) * self.frames + 2 * self._length
        position = -self._length * float(self._random.uniform(0, 0.2))
        parts = []
        while position < reach:
            kind = KINDS[int(self._random.integers(len(KINDS)))]
            size = float(self._random.uniform(84, 128)) * self._scale
            defective = bool(self._random.random() < DEFECTIVE_SHARE)
            sprite = draw_part(self._random, kind, defective=defective, size_px=size, blur_px=self._blur)
            along = self._length - position if speed > 0 else position
            parts.append(_Part(sprite, along, float(self._random.uniform(-16, 16)) * self._scale))
            position += float(self._random.uniform(150, 330)) * self._scale
        return tuple(parts)

    def _draw_belt(self) -> NDArray[np.uint8]:
        period = int(64 * self._scale)
        tone = float(self._random.uniform(42, 78))
        belt = np.full((self._belt_width, period, 3), tone, np.float32)
        belt[:, : max(2, period // 16)] *= 0.72  # a seam between slats
        belt[: max(2, self._belt_width // 28)] = belt[-max(2, self._belt_width // 28) :] = tone * 1.9  # rails
        repeats = self._length // period + 2
        texture = np.tile(belt, (1, repeats, 1))[:, : self._length + period]
        return np.clip(texture + self._random.normal(0, 2, texture.shape[:2])[..., None], 0, 255).astype(np.uint8)

    def _draw_background(self) -> NDArray[np.uint8]:
        """A concrete floor with yellow markings beside the belts: (depth, length, 3) uint8."""
        tint = self._random.uniform(88, 132) + self._random.normal(0, 5, 3)
        coarse = self._random.normal(0, 9, (self._depth // 16 + 1, self._length // 16 + 1)).astype(np.float32)
        stains = cv2.resize(coarse, (self._length, self._depth), interpolation=cv2.INTER_CUBIC)
        grain = self._random.normal(0, 3, (self._depth, self._length)).astype(np.float32)
        floor: NDArray[np.uint8] = np.clip(tint[None, None, :] + (stains + grain)[..., None], 0, 255).astype(np.uint8)
        half = self._belt_width // 2
        for belt in self._belts:
            for side in (-half - int(14 * self._scale), half + int(8 * self._scale)):
                top = belt.middle_px + side
                cv2.rectangle(floor, (0, top), (self._length, top + int(5 * self._scale)), (40, 170, 205), -1)
        return floor

    def _choose_weather(self) -> _Weather:
        random = self._random
        return _Weather(
            drift_period=float(random.uniform(300, 900)),
            drift_depth=float(random.uniform(0.03, 0.16)),
            brightness=float(random.uniform(0.75, 1.15)),
            shadow_speed=float(random.uniform(-1.5, 1.5)) * self._scale,
            shadow_start=float(random.uniform(0, self._length)),
            shadow_width=int(random.uniform(120, 300) * self._scale),
            shadow_depth=float(random.uniform(0.15, 0.5)),
            noise_sigma=float(random.uniform(1.0, 4.5)),
        )

    def _place_pipes(self) -> tuple[tuple[int, int], ...]:
        """Overhead pipes that hide what passes under them; never near the counting line."""
        pipes: list[tuple[int, int]] = []
        for _ in range(int(self._random.integers(0, 3))):
            width = int(self._random.uniform(18, 42) * self._scale)
            left = int(self._random.uniform(0, self._length - width))
            clear = abs(left + width / 2 - self._line_at) > _OCCLUDER_CLEARANCE_PX * self._scale
            if clear and all(left > other[1] or left + width < other[0] for other in pipes):
                pipes.append((left, left + width))
        return tuple(pipes)

    def _draw_noise(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Brighter and darker halves of one noise field, larger than the picture so that it can be shifted."""
        shape = (self.height_px + 64, self.width_px + 64)
        field = self._random.normal(0, self._weather.noise_sigma, shape)
        return np.clip(field, 0, 255).astype(np.uint8), np.clip(-field, 0, 255).astype(np.uint8)

    # -- drawing --------------------------------------------------------------------------------------------------

    def _centre_along(self, belt: _Belt, part: _Part, frame: int) -> float:
        return part.start_px + belt.speed_px * frame

    def _corner(self, belt: _Belt, part: _Part, frame: int) -> tuple[int, int]:
        height, width = part.sprite.premultiplied_hwc_bgr_u8.shape[:2]
        left = round(self._centre_along(belt, part, frame) - width / 2)
        return left, round(belt.middle_px + part.across_px - height / 2)

    def _box(self, belt: _Belt, part: _Part, frame: int) -> tuple[int, int, int, int]:
        """In the picture's own axes, not clipped."""
        left, top = self._corner(belt, part, frame)
        x1, y1, x2, y2 = part.sprite.box_xyxy_px
        lying = (left + x1, top + y1, left + x2, top + y2)
        return (lying[1], lying[0], lying[3], lying[2]) if self.vertical else lying

    def _anchor_along(self, belt: _Belt, part: _Part, frame: int) -> float:
        """The bottom centre of the part's box, along the direction in which the line is crossed."""
        x1, _, x2, y2 = self._box(belt, part, frame)
        return float(y2) if self.vertical else (x1 + x2) / 2

    def _pipe_picture(self, width: int) -> NDArray[np.uint8]:
        """A round, shaded pipe: (1, width, 3) uint8, broadcast over the depth."""
        shade = np.sin(np.linspace(0.25, np.pi - 0.25, width))
        colour = np.array([150, 128, 96])
        return np.asarray(colour[None, None, :] * shade[None, :, None], np.uint8)

    def _visible(self, class_name: str, box: tuple[int, int, int, int]) -> LabelledObject | None:
        x1, y1, x2, y2 = box
        clipped = (max(x1, 0), max(y1, 0), min(x2, self.width_px), min(y2, self.height_px))
        if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
            return None
        along = (clipped[1], clipped[3]) if self.vertical else (clipped[0], clipped[2])
        full = (y2 - y1) if self.vertical else (x2 - x1)
        hidden = sum(max(0, min(right, along[1]) - max(left, along[0])) for left, right in self._pipes)
        if (along[1] - along[0] - hidden) / full < LEAST_VISIBLE_SHARE:
            return None
        corners = (float(clipped[0]), float(clipped[1]), float(clipped[2]), float(clipped[3]))
        return LabelledObject(class_name, corners, truncated=clipped != box)

    def _shade(self, lying: NDArray[np.uint8], frame: int) -> None:
        weather = self._weather
        drift = weather.brightness * (1 + weather.drift_depth * np.sin(2 * np.pi * frame / weather.drift_period))
        table = np.clip(np.arange(256) * drift, 0, 255).astype(np.uint8)
        cv2.LUT(lying, table, dst=lying)
        span = self._length + weather.shadow_width
        left = int((weather.shadow_start + weather.shadow_speed * frame) % span) - weather.shadow_width
        begin, end = max(left, 0), min(left + weather.shadow_width, self._length)
        if begin < end:
            profile = np.sin(np.linspace(0, np.pi, weather.shadow_width))[begin - left : end - left]
            dark = np.clip((1 - weather.shadow_depth * profile) * 255, 0, 255).astype(np.uint8)
            band = np.ascontiguousarray(np.broadcast_to(dark[None, :, None], (lying.shape[0], end - begin, 3)))
            lying[:, begin:end] = cv2.multiply(lying[:, begin:end], band, scale=1 / 255)

    def _add_noise(self, luma: NDArray[np.uint8], frame: int) -> None:
        down, right = (frame * 37) % 64, (frame * 53) % 64
        brighter, darker = self._noise
        view = (slice(down, down + luma.shape[0]), slice(right, right + luma.shape[1]))
        cv2.add(luma, brighter[view], dst=luma)
        cv2.subtract(luma, darker[view], dst=luma)


def _blend(picture: NDArray[np.uint8], sprite: Sprite, left: int, top: int) -> None:
    """Put a sprite on the picture in place, cut off at its edges."""
    height, width = sprite.premultiplied_hwc_bgr_u8.shape[:2]
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + width, picture.shape[1]), min(top + height, picture.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    inside = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    spot = picture[y1:y2, x1:x2]
    behind = cv2.multiply(spot, sprite.transparency_hwc_u8[inside], scale=1 / 255)
    picture[y1:y2, x1:x2] = cv2.add(behind, sprite.premultiplied_hwc_bgr_u8[inside])
