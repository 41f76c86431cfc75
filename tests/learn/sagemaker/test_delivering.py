"""What of a run becomes a job's model: all that its report shows, no checkpoints."""

from pathlib import Path

from vedette.learn.sagemaker.container.delivering import copy_run


def test_a_run_is_delivered_with_the_folders_that_its_report_shows(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("best.weights", "report.html", "worst/01.jpg", "tensorboard/events", "checkpoints/1/a", ".hidden"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    assert copy_run(run, tmp_path / "model")
    found = {str(path.relative_to(tmp_path / "model")) for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert found == {"best.weights", "report.html", "worst/01.jpg", "tensorboard/events"}
