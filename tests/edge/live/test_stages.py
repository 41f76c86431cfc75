"""Stages: what the page shows of the work before the watching."""

import math

import pytest

from vedette.edge.live.stages import MAX_LINES, MAX_PICTURES, MAX_POINTS, Series, StageBoard, StageProgress, StageState


def states(board: StageBoard) -> list[tuple[str, str]]:
    return [(stage["title"], stage["state"]) for stage in board.to_json()]


def test_stages_stand_in_the_planned_order_and_the_next_ends_the_one_before() -> None:
    board = StageBoard()
    board.plan(["draw", "train", "watch"])
    board.update("draw", progress=0.5)
    assert states(board) == [("draw", "running"), ("train", "waiting"), ("watch", "waiting")]
    board.update("train", progress=0.0)
    assert states(board) == [("draw", "done"), ("train", "running"), ("watch", "waiting")]
    assert board.to_json()[0]["progress"] == 1.0
    board.finish()
    assert states(board)[1] == ("train", "done")


def test_a_failed_stage_stays_failed_when_the_rest_is_finished() -> None:
    board = StageBoard()
    board.update("train", progress=0.4)
    board.update("train", state=StageState.FAILED, note="the loss is not finite")
    board.finish()
    stage = board.to_json()[0]
    assert (stage["state"], stage["note"], stage["progress"]) == ("failed", "the loss is not finite", 0.4)


def test_what_is_left_out_of_an_update_stays() -> None:
    board = StageBoard()
    board.update("train", progress=0.2, note="epoch 1", lines=["a"], pictures={"batch": b"\xff\xd8"})
    board.update("train", progress=0.3)
    stage = board.to_json()[0]
    assert (stage["progress"], stage["note"], stage["lines"]) == (0.3, "epoch 1", ["a"])
    assert board.picture(0, 0) == b"\xff\xd8"


def test_every_change_changes_the_version() -> None:
    board = StageBoard()
    versions = [board.version]
    for change in (lambda: board.plan(["a"]), lambda: board.update("a", progress=0.1), board.finish):
        change()
        versions.append(board.version)
    assert len(set(versions)) == 4


def test_the_time_left_follows_from_progress_and_time_spent() -> None:
    board = StageBoard()
    board.update("train", progress=0.25)
    stage = board.to_json()[0]
    assert stage["left_s"] == pytest.approx(stage["spent_s"] * 3)
    board.update("train", state=StageState.DONE)
    assert board.to_json()[0]["left_s"] is None


def test_memory_is_bounded() -> None:
    board = StageBoard()
    points = tuple((float(i), float(i)) for i in range(10_000))
    board.update(
        "train",
        lines=[str(i) for i in range(100)],
        pictures={str(i): b"x" for i in range(50)},
        series=[Series("loss", points, "loss")],
    )
    stage = board.to_json()[0]
    assert stage["lines"] == [str(i) for i in range(100 - MAX_LINES, 100)]
    assert [picture["caption"] for picture in stage["pictures"]] == [str(i) for i in range(50 - MAX_PICTURES, 50)]
    assert len(stage["series"][0]["points"]) == MAX_POINTS
    assert stage["series"][0]["points"][0] == (0.0, 0.0)
    assert stage["series"][0]["points"][-1] == (9_999.0, 9_999.0)


def test_a_point_that_is_not_finite_is_left_out() -> None:
    board = StageBoard()
    board.update("train", series=[Series("loss", ((0.0, 2.0), (1.0, math.nan), (2.0, math.inf), (3.0, 1.0)), "loss")])
    assert board.to_json()[0]["series"][0]["points"] == ((0.0, 2.0), (3.0, 1.0))


def test_a_picture_that_changes_gets_another_address() -> None:
    board = StageBoard()
    board.update("train", pictures={"batch": b"one"})
    before = board.to_json()[0]["pictures"][0]["src"]
    board.update("train", pictures={"batch": b"two"})
    after = board.to_json()[0]["pictures"][0]["src"]
    assert before != after
    assert before.partition("?")[0] == after.partition("?")[0] == "/stages/0/0"
    assert board.picture(0, 1) is None
    assert board.picture(1, 0) is None


def test_progress_becomes_a_stage_with_curves_over_all_of_its_parts() -> None:
    board = StageBoard()
    progress = StageProgress(board, "Train")
    for epoch in (1, 2):
        progress.start(f"epoch {epoch}", 10, "batches")
        for batch in range(10):
            progress.advance(1, loss=5.0 - epoch - batch / 10)
    progress.say("best so far")
    stage = board.to_json()[0]
    assert (stage["title"], stage["progress"], stage["note"]) == ("Train", 1.0, "epoch 2: 10 of 10 batches")
    assert stage["lines"] == ["best so far"]
    assert [point[0] for point in stage["series"][0]["points"]] == [float(n) for n in range(1, 21)]


def test_curves_of_long_work_keep_their_first_and_last_points() -> None:
    board = StageBoard()
    progress = StageProgress(board, "Train")
    progress.start("all", 5_000, "batches")
    for batch in range(5_000):
        progress.advance(1, loss=float(batch))
    points = board.to_json()[0]["series"][0]["points"]
    assert 100 < len(points) <= MAX_POINTS
    assert (points[0], points[-1]) == ((1.0, 0.0), (5_000.0, 4_999.0))
