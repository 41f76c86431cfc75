"""How Vedette writes numbers into label files: enough decimals that whole pixels come back, and no more."""

DECIMALS = 10  # a picture of 100 000 px still comes back to 1e-5 px


def format_number(value: float) -> str:
    """`0.15`, `12`, `-0.0000000001`: fixed point without trailing zeros."""
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def relative_line(
    class_number: str, box_xyxy_px: tuple[float, float, float, float], width_px: int, height_px: int
) -> str:
    """`class cx cy w h`, relative to the picture: one line of a Darknet label file."""
    left, top, right, bottom = box_xyxy_px
    relative = (
        (left + right) / 2 / width_px,
        (top + bottom) / 2 / height_px,
        (right - left) / width_px,
        (bottom - top) / height_px,
    )
    return " ".join([class_number, *(format_number(value) for value in relative)])
