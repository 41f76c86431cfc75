"""A small VOC data set drawn for tests of training, and a network small enough to learn it in seconds."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 96, 64
COLOURS_BGR = {"brick": (40, 40, 210), "tile": (210, 60, 40)}

SMALL_CFG = f"""[net]
width={WIDTH}
height={HEIGHT}
channels=3

""" + "\n".join(
    [
        f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
        for filters in (8, 16, 24, 32)
    ]
    + [
        "[convolutional]\nbatch_normalize=1\nfilters=32\nsize=3\nstride=1\npad=1\nactivation=leaky\n",
        "[convolutional]\nfilters=14\nsize=1\nstride=1\npad=1\nactivation=linear\n",
        "[yolo]\nmask=0,1\nanchors=14,14, 26,20\nclasses=2\nnum=2\nscale_x_y=2.0\n",
    ]
)


def draw_data(root: Path, count: int, seed: int = 0) -> Path:
    """`count` pictures with one to three coloured rectangles each, as VOC."""
    rng = np.random.default_rng(seed)
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        image = rng.integers(90, 130, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        objects = []
        for slot in range(1 + number % 3):
            name = list(COLOURS_BGR)[(number + slot) % 2]
            width, height = int(rng.integers(12, 27)), int(rng.integers(12, 25))
            left = slot * 32 + int(rng.integers(0, 32 - width + 1)) if width <= 32 else slot * 32
            top = int(rng.integers(0, HEIGHT - height))
            image[top : top + height, left : left + width] = COLOURS_BGR[name]
            objects.append(
                f"<object><name>{name}</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
                f"<xmax>{left + width}</xmax><ymax>{top + height}</ymax></bndbox></object>"
            )
        cv2.imwrite(str(root / "JPEGImages" / f"p{number:03d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        (root / "Annotations" / f"p{number:03d}.xml").write_text(
            f"<annotation><filename>p{number:03d}.jpg</filename><size><width>{WIDTH}</width><height>{HEIGHT}</height>"
            f"<depth>3</depth></size>{''.join(objects)}</annotation>"
        )
    return root


def write_splits(root: Path, **splits: range) -> None:
    """ImageSets/Main lists."""
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    for name, numbers in splits.items():
        (folder / f"{name}.txt").write_text("".join(f"p{number:03d}\n" for number in numbers))


def write_cfg(folder: Path) -> Path:
    """The small network's cfg."""
    path = folder / "small.cfg"
    path.write_text(SMALL_CFG)
    return path
