"""What deepstream-app prints, the awkward lines too."""

import pytest

from vedette.edge.deepstream.perf_lines import LineKind, read_line
from vedette.edge.deepstream.program import MOST_LINE_BYTES, LineCutter


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("**PERF:  30.02 (30.01)\t29.98 (29.99)\t", (30.02, 29.98)),
        ("**PERF:  0.00 (0.00)\t", (0.0,)),
        ("PERF(0): 30.02 (30.01)\t", (30.02,)),
        ("**PERF:  -nan (nan)\t12.50 (12.50)\t\r", (0.0, 12.5)),
        ("Playing... **PERF:  5.00 (5.00)\t", (5.0,)),
    ],
)
def test_rates_are_read(text: str, rates: tuple[float, ...]) -> None:
    line = read_line(text.encode())
    assert (line.kind, line.rates_fps, line.instance) == (LineKind.RATES, rates, 0)


def test_the_instance_of_a_rate_is_told() -> None:
    assert read_line(b"PERF(1): 7.00 (7.00)\t").instance == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("**PERF:  FPS 0 (Avg)\tFPS 1 (Avg)\t", LineKind.HEADING),
        ("**PERF:  30.02 (30.01)\t29.98 (29", LineKind.BROKEN),
        ("**PERF:  30.02 (30.01)\t29.98", LineKind.BROKEN),
        ("**PERF:  30.02 (30.01)\t**PERF:  30.02 (30.01)\t", LineKind.BROKEN),
        ("**PERF:  ", LineKind.BROKEN),
        ("App run successful", LineKind.SUCCESS),
        ("App run failed", LineKind.FAILURE),
        ("** WARN: <parse_tracker:1732>: Unknown key 'enable-past-frame' for group [tracker]", LineKind.WARNING),
        ("ERROR from src_elem0: Could not open resource", LineKind.ERROR),
        ("**ERF:  30.02 (30.01)", LineKind.OTHER),
        ("", LineKind.OTHER),
    ],
)
def test_what_gives_no_rates(text: str, kind: LineKind) -> None:
    line = read_line(text.encode())
    assert (line.kind, line.rates_fps) == (kind, ())


def test_garbage_is_made_fit_for_a_terminal() -> None:
    line = read_line(b"\x1b[31mERROR\x1b[0m \xff\xfe\x00\x07 in\telement" + b"x" * 1000)
    assert line.kind is LineKind.ERROR
    assert line.text.startswith("ERROR \ufffd\ufffd in element")
    assert len(line.text) == 400


def test_lines_are_put_together_from_any_pieces() -> None:
    whole = b"one\r\ntwo\n\n   \nthree\nrest"
    for size in range(1, len(whole) + 1):
        cutter = LineCutter()
        lines = [line for at in range(0, len(whole), size) for line in cutter.feed(whole[at : at + size])]
        assert (lines, cutter.rest) == ([b"one", b"two", b"three"], b"rest")


def test_a_line_without_an_end_takes_bounded_memory() -> None:
    cutter = LineCutter()
    for _ in range(100):
        assert cutter.feed(b"x" * 4096) == []
    assert len(cutter.rest) == MOST_LINE_BYTES
    assert cutter.feed(b"\nnext\n")[1] == b"next"
