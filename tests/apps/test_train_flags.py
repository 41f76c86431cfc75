"""The flags of `vedette train` that few runs need: what they ask for here, and that they reach a job elsewhere."""

import json
from pathlib import Path

import pytest

from drawn_shapes import draw_data
from vedette.apps.cli import run_command
from vedette.apps.job_asking import plan_job
from vedette.apps.job_checking import check_data
from vedette.apps.job_flags import JobFlags
from vedette.apps.pack_darknet import PackOptions
from vedette.apps.train_flags import TrainFlags
from vedette.contracts.errors import InputError, UsageError
from vedette.learn.sagemaker.container.hyperparameters import flags_of, parse_hyperparameters
from vedette.learn.training.settings import TrainSettings

ALL = TrainFlags(
    deterministic=True, single_class=True, class_name="thing", leaks="drop", unjudged="keep", tensorboard=True
)


def test_settings_are_what_was_asked_for_and_nothing_else() -> None:
    assert TrainFlags().asked() == {}
    assert TrainFlags(single_class=True).asked() == {"single_class": "object"}
    settings = {
        "deterministic": True,
        "single_class": "thing",
        "leaks": "drop",
        "unjudged": "keep",
        "tensorboard": True,
    }
    assert ALL.asked() == settings
    with pytest.raises(UsageError, match="add --single-class"):
        TrainFlags(class_name="thing").asked()


def test_they_travel_with_a_job_as_they_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    role = "arn:aws:iam::123456789012:role/training"
    given = JobFlags(role=role, instance="ml.m5.large", image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/v:1")
    trained = {name: value for name, value in ALL.travelling().items() if value is not None}
    plan = plan_job(given, {**trained, "data": Path("s3://bucket/pictures")}, "eu-west-1")
    flags = flags_of(parse_hyperparameters(dict(plan.parameters)).train)
    expected = [
        "--deterministic=true",
        "--single-class=true",
        "--tensorboard=true",
        "--class-name=thing",
        "--leaks=drop",
        "--unjudged=keep",
    ]
    assert sorted(flags) == sorted(expected)
    assert run_command(["train", "--out", str(tmp_path / "run"), *flags]) == 2  # understood, but for the data
    assert "--data is missing" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--folds trains here"):
        TrainFlags(folds=3).travelling()


def test_classes_that_only_validation_has_are_refused_before_a_job_is_paid_for(tmp_path: Path) -> None:
    data = draw_data(tmp_path / "data", 8)
    lists = data / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("".join(f"p{number:03d}\n" for number in range(6)))
    (lists / "val.txt").write_text("p006\np007\n")
    label = data / "Annotations" / "p007.xml"
    label.write_text(label.read_text().replace("<name>tile", "<name>Tile"))
    settings = TrainSettings(data=data, model="yolov3-tiny")
    with pytest.raises(InputError, match="train has 'tile', spelt otherwise"):
        check_data(settings)
    assert check_data(TrainSettings(data=data, model="yolov3-tiny", single_class="thing")).classes == ("thing",)


def test_a_run_with_one_class_is_packed_on_data_with_several(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    options = PackOptions(tmp_path / "b", run / "c", run / "w", run / "n", run=run, data=tmp_path / "data")
    assert options.evidence.class_map is None
    (run / "class-map.json").write_text(json.dumps({"brick": "thing"}))
    assert options.evidence.class_map == run / "class-map.json"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class-name", "face"], "add --single-class"),
        (["--single-class", "--class-name", " "], "must not be empty"),
        (["--deterministic", "--time-budget", "5m"], "--deterministic and --time-budget exclude each other"),
        (["--leaks", "some"], ""),
    ],
)
def test_flags_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert run_command(["train", "--data", "nowhere", "--out", str(tmp_path / "run"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
