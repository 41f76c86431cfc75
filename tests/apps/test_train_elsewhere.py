"""`vedette train --on sagemaker`: what is asked for, what is sent before, and what is refused before anything is."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from described_jobs import COMPLETED, DESCRIBED, RUN, archive, files_of
from drawn_shapes import draw_data, write_cfg
from simulators.s3_servers import BUCKET, S3Server
from simulators.scripted_aws import Answer, ScriptedAws, refusal, scripted_aws
from vedette.apps import job_ending, train_elsewhere
from vedette.apps.cli import run_command
from vedette.apps.job_asking import plan_job, send
from vedette.apps.job_flags import JobFlags
from vedette.apps.object_storage import open_place
from vedette.contracts.errors import InputError, UsageError
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.versions import find_version
from vedette.learn.sagemaker.job_service import JobService

ROLE = "arn:aws:iam::123456789012:role/vedette-training"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/vedette:1"
AWS_IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-gpu-py312"
UNKNOWN: Answer = refusal("ValidationException", "Requested resource not found.")
CREATED: Answer = (200, {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/one"})


@pytest.fixture(autouse=True, scope="module")
def models() -> Iterator[None]:
    """Botocore's service models are read once for all tests here."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.loaders.create_loader", lambda *_: loader)
        yield


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("drawn") / "Belt Parts", 6)


@pytest.fixture(autouse=True)
def place(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An output of its own for each test; nothing of this computer's settings."""
    endpoints = {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": moto_s3.url, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name, value in {**moto_s3.environment(), **endpoints}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(job_ending, "LOOK_EVERY_S", 0.0)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return f"s3://{BUCKET}/{tmp_path.name}"


class Service:
    """SageMaker as it answers in a test."""

    def __init__(self, server: ScriptedAws) -> None:
        self._server = server

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What was created; held against botocore's own model of the service."""
        found = [content for operation, content in self._server.asked if operation == "CreateTrainingJob"]
        model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
        shape = model.operation_model("CreateTrainingJob").input_shape
        for request in found:
            assert ParamValidator().validate(request, shape).generate_report() == ""
        return found

    def describe(self, *answers: Answer) -> None:
        self._server.answers["DescribeTrainingJob"] = [*answers]


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with scripted_aws(DescribeTrainingJob=[UNKNOWN], CreateTrainingJob=[CREATED]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", server.url)
        yield Service(server)


def train(*flags: str, role: str = ROLE, image: str = IMAGE) -> int:
    usual = ["--detach"] if "--wait" not in flags else []
    usual += ["--instance", "ml.g5.xlarge"] if "--instance" not in flags else []
    return run_command(["train", "--on", "sagemaker", "--out", "run", "--role", role, "--image", image, *usual, *flags])


def channels_of(request: dict[str, Any]) -> dict[str, str]:
    return {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in request["InputDataConfig"]}


def stored(address: str) -> dict[str, bytes]:
    store = open_place(address)
    return {one.name: store.read(one.name, 1 << 20) for one in store.list()}


def test_local_data_is_pushed_and_the_job_trains_on_that_version(
    sagemaker: Service, shapes: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = train(
        "--data", str(shapes), "--output", place, "--upload", f"{place}/data", "--job-name", "belt-1", "--epochs", "3",
        "--batch", "4", "--size", "96x64", "--seed", "7", "--val-every", "2", "--patience", "5", "--device", "cuda",
        "--precision", "bf16", "--spot", "--max-run", "4h", "--max-wait", "8h",
    )  # fmt: skip

    told = capsys.readouterr()
    assert code == 0, told.err
    (request,) = sagemaker.requests
    version = find_version(open_place(f"{place}/data"), "latest")
    assert request["TrainingJobName"] == "belt-1"
    assert request["HyperParameters"] == {
        "epochs": "3", "batch": "4", "size": "96x64", "seed": "7", "val-every": "2", "patience": "5",
        "device": "cuda", "precision": "bf16", "data-version": version,
    }  # fmt: skip
    assert channels_of(request) == {"train": f"{place}/data/"}
    assert request["OutputDataConfig"]["S3OutputPath"] == place
    assert request["CheckpointConfig"]["S3Uri"] == f"{place}/belt-1/checkpoints"
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 14400, "MaxWaitTimeInSeconds": 28800}
    assert (request["EnableManagedSpotTraining"], request["ResourceConfig"]["InstanceCount"]) == (True, 1)
    assert "12 of 12 files sent" in told.err
    assert "vedette jobs follow belt-1 --out run\n" in told.out
    assert not Path("run").exists()


def test_a_file_that_changes_while_it_is_sent_is_not_stored_under_its_old_digest(place: str, tmp_path: Path) -> None:
    wheel = tmp_path / "vedette-1-py3-none-any.whl"
    wheel.write_bytes(b"as it was checked")
    flags = JobFlags(role=ROLE, instance="ml.g5.xlarge", image=AWS_IMAGE, wheel=str(wheel), output=place)
    plan = plan_job(flags, {"data": f"{place}/data"}, "us-east-1")
    wheel.write_bytes(b"changed meanwhile")

    with pytest.raises(InputError, match=r"vedette-1-py3-none-any\.whl changed while it was sent"):
        send(plan, SilentProgress())

    assert [*open_place(plan.files[0].folder).list()] == []
    plan = plan_job(flags, {"data": f"{place}/data"}, "us-east-1")
    send(plan, SilentProgress())
    assert [one.size_bytes for one in open_place(plan.files[0].folder).list()] == [17]


def test_what_is_there_already_is_not_sent_again(
    sagemaker: Service, shapes: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, cfg = Path("start.weights"), write_cfg(Path())
    content = bytes(20) + b"w" * 988  # a header, and the numbers of the first layer
    weights.write_bytes(content)
    given = ("--data", str(shapes), "--output", place, "--upload", f"{place}/data", "--weights", str(weights),
             "--model", str(cfg))  # fmt: skip
    assert train(*given) == 0
    before = capsys.readouterr().err
    assert train(*given) == 0
    again = capsys.readouterr().err

    assert "sending start.weights" in before
    assert "sending" not in again
    assert "0 of 12 files sent" in again
    first, second = sagemaker.requests
    assert first["HyperParameters"] == second["HyperParameters"]
    assert stored(channels_of(first)["weights"]) == {"start.weights": content}


def test_a_cfg_of_ones_own_travels_in_a_channel(sagemaker: Service, shapes: Path, place: str) -> None:
    cfg = write_cfg(Path())

    assert train("--data", str(shapes), "--output", place, "--upload", f"{place}/data", "--model", str(cfg)) == 0

    (request,) = sagemaker.requests
    assert "model" not in request["HyperParameters"]
    assert stored(channels_of(request)["cfg"]) == {cfg.name: cfg.read_bytes()}


def test_how_it_learns_travels_as_hyper_parameters_and_files(sagemaker: Service, shapes: Path, place: str) -> None:
    cfg, weights = write_cfg(Path()), Path("start.weights")
    weights.write_bytes(bytes(20) + b"w" * 988)
    Path("mine.yaml").write_text("recipe: darknet\nnet: {max_batches: 20}\n")
    Path("rare.yaml").write_text("brick: 3\n")
    given = ("--data", str(shapes), "--output", place, "--upload", f"{place}/data", "--model", str(cfg),
             "--weights", str(weights), "--freeze", "1", "--unfreeze-after", "50%")  # fmt: skip

    assert train(*given, "--recipe", "mine.yaml", "--class-weights", "rare.yaml") == 0
    assert train(*given, "--recipe", "darknet", "--class-weights", "brick=2,tile=0.5", "--epochs", "2") == 0

    files, texts = sagemaker.requests
    held = {"freeze": "1", "unfreeze-after": "50%"}
    version = {"data-version": files["HyperParameters"]["data-version"]}
    assert files["HyperParameters"] == {**held, **version}
    assert {*channels_of(files)} == {"train", "cfg", "weights", "recipe", "class-weights"}
    assert stored(channels_of(files)["recipe"]) == {"mine.yaml": Path("mine.yaml").read_bytes()}
    assert stored(channels_of(files)["class-weights"]) == {"rare.yaml": b"brick: 3\n"}
    how = {"recipe": "darknet", "class-weights": "brick=2,tile=0.5", "epochs": "2"}
    assert texts["HyperParameters"] == {**held, **version, **how}
    assert {*channels_of(texts)} == {"train", "cfg", "weights"}


def test_a_recipe_of_the_file_is_sent_and_a_flag_takes_its_place(sagemaker: Service, place: str) -> None:
    open_place(f"{place}/data").write("some", b"thing")
    Path("mine.yaml").write_text("learning_rate: 0.002\n")
    Path("job.yaml").write_text(f"output: {place}\nhyperparameters: {{recipe: mine.yaml, class_weights: balanced}}\n")
    Path("stored.yaml").write_text(f"output: {place}\nchannels: {{recipe: {place}/r}}\n")

    assert train("--job", "job.yaml", "--data", f"{place}/data") == 0
    assert train("--job", "stored.yaml", "--data", f"{place}/data", "--recipe", "vedette") == 0

    sent, flag = sagemaker.requests
    assert stored(channels_of(sent)["recipe"]) == {"mine.yaml": b"learning_rate: 0.002\n"}
    assert sent["HyperParameters"] == {"class_weights": "balanced"}
    assert {*channels_of(flag)} == {"train"}
    assert flag["HyperParameters"] == {"recipe": "vedette"}


def test_a_model_takes_the_place_of_the_files_cfg(sagemaker: Service, shapes: Path, place: str) -> None:
    open_place(f"{place}/data").write("some", b"thing")
    cfg = write_cfg(Path())
    Path("job.yaml").write_text(f"output: {place}\nchannels: {{cfg: {place}/nets}}\n")
    common = ("--job", "job.yaml", "--data", f"{place}/data")

    assert train(*common, "--model", "yolov3") == 0
    assert train(*common, "--model", str(cfg)) == 0
    assert train(*common) == 0

    family, own, stays = sagemaker.requests
    assert {*channels_of(family)} == {"train"}
    assert family["HyperParameters"] == {"model": "yolov3"}
    assert stored(channels_of(own)["cfg"]) == {cfg.name: cfg.read_bytes()}
    assert own["HyperParameters"] == stays["HyperParameters"] == {}
    assert channels_of(stays)["cfg"].startswith(f"{place}/nets")


@pytest.mark.parametrize("model", ["yolov3", "own.cfg"])
def test_a_cfg_and_a_model_in_one_file_are_refused(
    sagemaker: Service, place: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    open_place(f"{place}/data").write("some", b"thing")
    write_cfg(Path()).rename("own.cfg")
    Path("job.yaml").write_text(
        f"output: {place}\nchannels: {{cfg: {place}/nets}}\nhyperparameters: {{model: {model}}}\n"
    )

    assert train("--job", "job.yaml", "--data", f"{place}/data") != 0

    assert "'model' is a hyper-parameter and 'cfg' a channel; leave one of them out" in capsys.readouterr().err
    assert not sagemaker.requests


def test_an_image_of_aws_gets_the_wheel(sagemaker: Service, shapes: Path, place: str) -> None:
    wheel = Path("vedette-9.9.9-py3-none-any.whl")
    wheel.write_bytes(b"a wheel")

    assert train("--data", str(shapes), "--output", place, "--upload", f"{place}/data", "--wheel", str(wheel),
                 image=AWS_IMAGE) == 0  # fmt: skip

    (request,) = sagemaker.requests
    assert stored(channels_of(request)["code"]) == {wheel.name: b"a wheel"}
    assert request["AlgorithmSpecification"]["TrainingImage"] == AWS_IMAGE
    assert request["AlgorithmSpecification"]["ContainerEntrypoint"][:2] == ["/bin/sh", "-c"]


def test_data_in_s3_are_named_with_their_version(sagemaker: Service, place: str) -> None:
    open_place(f"{place}/data").write("some", b"thing")

    assert train("--data", f"{place}/data#2026-11", "--output", place) == 0

    (request,) = sagemaker.requests
    assert channels_of(request) == {"train": f"{place}/data/"}
    assert request["HyperParameters"] == {"data-version": "2026-11"}


def test_the_models_go_to_the_usual_bucket_of_the_account(sagemaker: Service, place: str) -> None:
    open_place(f"{place}/data").write("some", b"thing")

    assert train("--data", f"{place}/data") == 0

    (request,) = sagemaker.requests
    assert request["OutputDataConfig"]["S3OutputPath"] == "s3://sagemaker-us-east-1-123456789012/jobs"


def test_a_file_gives_settings_and_flags_count_before_it(sagemaker: Service, place: str) -> None:
    open_place(f"{place}/data").write("some", b"thing")
    Path("job.yaml").write_text(
        f"role: {ROLE}\ninstance: ml.g4dn.xlarge\nimage: {IMAGE}\noutput: {place}\nvolume_gb: 80\nspot: true\n"
        f"max_run: 4h\nmax_wait: 8h\nname: from-the-file\nchannels: {{train: {place}/data}}\n"
        "hyperparameters: {model: yolov3, epochs: 9, val_every: 3}\ntags: {cost-centre: 4711}\n"
    )

    code = run_command(["train", "--on", "sagemaker", "--out", "run", "--detach", "--job", "job.yaml",
                        "--instance", "ml.p3.2xlarge", "--epochs", "2", "--val-every", "1"])  # fmt: skip

    assert code == 0
    (request,) = sagemaker.requests
    assert request["TrainingJobName"] == "from-the-file"
    assert request["ResourceConfig"] == {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 80}
    assert request["HyperParameters"] == {"model": "yolov3", "epochs": "2", "val-every": "1"}
    assert request["StoppingCondition"]["MaxWaitTimeInSeconds"] == 28800
    assert {"Key": "cost-centre", "Value": "4711"} in request["Tags"]


def test_spot_machines_of_the_file_can_be_declined(sagemaker: Service, place: str) -> None:
    open_place(f"{place}/data").write("some", b"thing")
    Path("job.yaml").write_text(f"output: {place}\nspot: true\n")

    assert train("--job", "job.yaml", "--data", f"{place}/data", "--no-spot") == 0
    assert sagemaker.requests[0]["EnableManagedSpotTraining"] is False


def test_a_detached_job_is_told_as_json(sagemaker: Service, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    open_place(f"{place}/data").write("some", b"thing")
    sagemaker.describe(UNKNOWN, (200, DESCRIBED))

    assert train("--data", f"{place}/data", "--output", place, "--json") == 0

    assert json.loads(capsys.readouterr().out)["status"] == "InProgress"


def test_a_job_is_waited_for_and_its_run_fetched(
    sagemaker: Service, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    open_place(f"{place}/data").write("some", b"thing")
    artefact = {"S3ModelArtifacts": f"{place}/one/output/model.tar.gz"}
    open_place(f"{place}/one/output").write("model.tar.gz", archive(RUN))
    sagemaker.describe(UNKNOWN, (200, DESCRIBED), (200, {**COMPLETED, "ModelArtifacts": artefact}))

    code = train("--wait", "--data", f"{place}/data", "--output", place, "--job-name", "one", "--price-per-hour", "1.5")

    assert code == 0
    assert files_of(Path("run")) == RUN
    assert "cost:   1.50" in capsys.readouterr().out


REFUSED = [
    (("--data", "{shapes}", "--epochs", "0"), 2, "--epochs must be at least 1"),
    (("--data", "{shapes}", "--size", "100"), 2, "multiples of 32"),
    (("--data", "{shapes}", "--model", "yolov9"), 2, "neither a cfg file nor one of"),
    (("--data", "{shapes}", "--model", "none.cfg"), 2, "--model none.cfg: cannot be read: No such file"),
    (("--data", "{shapes}", "--weights", "none.weights"), 2, "--weights none.weights: cannot be read"),
    (("--data", "{shapes}", "--weights", "{shapes}/JPEGImages/p000.jpg"), 1, "p000.jpg"),
    (("--data", "{place}/x", "--model", "yolov9"), 2, "neither a cfg file nor one of"),
    (("--data", "{shapes}", "--wheel", "other.whl"), 2, "give a file vedette-*.whl"),
    (("--data", "{shapes}", "--spot"), 2, "spot training needs a max wait"),
    (("--data", "{shapes}", "--instance", "ml.g5.tiny"), 2, "'ml.g5.tiny' is none of ml.g5.xlarge"),
    (("--data", "{shapes}", "--epochs", "3", "--time-budget", "5m"), 2, "exclude each other"),
    (("--data", "{shapes}", "--max-run", "soon"), 2, "max_run: no time"),
    (("--data", "{shapes}", "--price-per-hour", "-1"), 2, "give what one machine costs"),
    (("--data", "{shapes}", "--resume"), 2, "a job that is interrupted goes on by itself"),
    (("--data", "{shapes}", "--output", "/models"), 2, "--output /models: give s3://BUCKET/PREFIX"),
    (("--data", "{shapes}", "--job", "none.yaml"), 2, "none.yaml: cannot be read"),
    (("--data", "{shapes}", "--recipe", "none.yaml"), 2, "--recipe none.yaml: cannot be read"),
    (("--data", "{shapes}", "--recipe", "{shapes}/Annotations/p000.xml"), 2, "p000.xml: "),
    (("--data", "{shapes}", "--freeze", "3"), 2, "add --weights"),
    (("--data", "{shapes}", "--freeze", "some"), 2, "not 'backbone' or a number of layers"),
    (("--data", "{shapes}", "--class-weights", "stone=2"), 2, "names 'stone'; the data has the classes brick, tile"),
    (("--data", "{shapes}", "--class-weights", "brick=-1"), 2, "brick=-1 must be a number above 0"),
    (("--data", "nowhere"), 2, "--data nowhere: is no folder"),
    (("--data", "{empty}"), 1, "{empty}"),
    (("--data", "{place}/nothing"), 1, "nothing is stored there"),
    ((), 2, "--data is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "code", "told"), REFUSED, ids=[told[:30] for _, _, told in REFUSED])
def test_what_cannot_work_is_refused_before_anything_is_sent(
    flags: tuple[str, ...], code: int, told: str,
    sagemaker: Service, shapes: Path, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    empty = tmp_path / "empty"
    empty.mkdir()
    names = {"shapes": shapes, "empty": empty, "place": place}
    filled = [flag.format(**names) for flag in flags]
    output = [] if "--output" in filled else ["--output", place]

    assert train(*output, "--upload", f"{place}/data", *filled) == code

    assert told.format(**names) in capsys.readouterr().err
    assert sagemaker.requests == []
    assert stored(place) == {}


def test_pictures_outside_of_the_folder_are_refused(
    sagemaker: Service, shapes: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path("linked")
    (data / "JPEGImages").mkdir(parents=True)
    for path in shapes.rglob("*.jpg"):
        (data / "JPEGImages" / path.name).symlink_to(path)
    (data / "Annotations").mkdir()
    for path in shapes.rglob("*.xml"):
        (data / "Annotations" / path.name).write_bytes(path.read_bytes())

    assert train("--data", str(data), "--output", place, "--upload", f"{place}/data") == 1

    assert "6 pictures lie outside of it and would not be sent" in capsys.readouterr().err
    assert stored(place) == {}
    assert sagemaker.requests == []


def test_a_name_that_is_taken_is_refused(
    sagemaker: Service, shapes: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sagemaker.describe((200, DESCRIBED))

    assert train("--data", str(shapes), "--output", place, "--upload", f"{place}/data", "--job-name", "one") == 2

    assert "there is one of this name already" in capsys.readouterr().err
    assert stored(place) == {}


def test_a_run_folder_that_is_taken_is_refused(
    sagemaker: Service, shapes: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    Path("run/notes.txt").write_text("mine")

    assert train("--data", str(shapes), "--output", place, "--upload", f"{place}/data") == 1

    assert "run is not empty" in capsys.readouterr().err
    assert stored(place) == {}


def test_without_an_image_both_ways_are_told(
    sagemaker: Service, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["train", "--on", "sagemaker", "--out", "run", "--data", f"{place}/x", "--role", ROLE,
                        "--instance", "ml.g5.xlarge"])  # fmt: skip

    told = capsys.readouterr().err
    assert code == 2
    assert "your image in ECR" in told
    assert "--wheel dist/vedette-*.whl" in told


def test_a_role_that_is_none_is_refused(sagemaker: Service, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--data", f"{place}/x", role="vedette") == 2
    assert "--role must be an ARN" in capsys.readouterr().err


def test_flags_of_a_job_need_a_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "--data", "x", "--out", "run", "--spot"]) == 2
    assert "add --on sagemaker, or --on simulator" in capsys.readouterr().err


def test_what_aws_refuses_in_the_end_is_told(
    shapes: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = refusal("ResourceLimitExceeded", "The account-level service limit 'ml.g5.xlarge' is 0 Instances.")
    with scripted_aws(DescribeTrainingJob=[UNKNOWN], CreateTrainingJob=[full]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", server.url)
        assert train("--data", str(shapes), "--output", place, "--upload", f"{place}/data") == 1

    assert "the account's quota does not hold this" in capsys.readouterr().err


def test_who_loses_the_service_right_after_creation_knows_the_way_back(
    sagemaker: Service, shapes: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sagemaker.describe(UNKNOWN, refusal("AccessDeniedException", "not any more"))

    flags = ("--output", place, "--upload", f"{place}/data", "--job-name", "lonely", "--region", "us-east-1")
    assert train("--wait", "--data", str(shapes), *flags) == 1

    told = capsys.readouterr().err
    assert len(sagemaker.requests) == 1
    assert "come back:  vedette jobs follow lonely --out run --region us-east-1\n" in told
    assert "sagemaker:DescribeTrainingJob" in told


def test_a_push_that_is_interrupted_creates_nothing(
    sagemaker: Service, shapes: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vedette.learn.data.versions_push.push_version", interrupted)

    assert train("--data", str(shapes), "--output", place, "--upload", f"{place}/data") == 130

    said = capsys.readouterr().err
    assert "no job was created" in said and "vedette: interrupted" in said
    assert sagemaker.requests == []


def test_ctrl_c_while_a_job_is_being_created_says_that_it_may_run(
    sagemaker: Service, shapes: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create = JobService.create

    def interrupted(self: JobService, request: dict[str, Any]) -> None:
        create(self, request)
        raise KeyboardInterrupt

    monkeypatch.setattr(JobService, "create", interrupted)

    flags = ("--data", str(shapes), "--output", place, "--upload", f"{place}/data", "--job-name", "belt-7")
    assert train(*flags) == 130

    assert len(sagemaker.requests) == 1
    assert "it may run: vedette jobs show belt-7" in capsys.readouterr().err


def test_the_guide_names_every_flag() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "sagemaker-jobs.md").read_text("utf-8")
    names = {f"--{one.name.replace('_', '-')}" for one in fields(JobFlags)} | {"--detach"}

    assert [name for name in sorted(names) if not re.search(rf"`{name}[ `]", guide)] == []


SIMULATED = {"image": IMAGE, "output": "s3://simulated/jobs"}


def test_a_rehearsal_takes_the_file_but_for_what_is_in_the_account(shapes: Path) -> None:
    Path("job.yaml").write_text(
        f"role: {ROLE}\ninstance: ml.g4dn.xlarge\nimage: {AWS_IMAGE}\nwheel: s3://factory/wheels\n"
        "output: s3://factory/jobs\ncheckpoints: s3://factory/kept\nchannels: {train: s3://factory/data}\n"
        "hyperparameters: {epochs: 9}\n"
    )

    plan = plan_job(JobFlags(job=Path("job.yaml")), {"data": shapes}, "us-east-1", SIMULATED)

    assert plan.values == {
        "role": ROLE, "instance": "ml.g4dn.xlarge", "image": IMAGE, "output": "s3://simulated/jobs",
        "channels": {"train": "s3://simulated/datasets/Belt-Parts"},
        "hyperparameters": {"epochs": 9, "data-version": "0" * 64},
    }  # fmt: skip
    assert plan.data == shapes


@pytest.mark.parametrize(
    ("channels", "told"),
    [
        ("{train: s3://factory/data}", "--data is missing"),
        ("{weights: s3://factory/weights}", "a rehearsal has no channel 'weights'"),
    ],
)
def test_a_rehearsal_cannot_take_channels_of_the_account(channels: str, told: str) -> None:
    Path("job.yaml").write_text(f"role: {ROLE}\nchannels: {channels}\n")

    with pytest.raises(UsageError, match=told):
        plan_job(JobFlags(job=Path("job.yaml")), {}, "us-east-1", SIMULATED)


def test_a_rehearsal_sees_nothing_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "factory")
    monkeypatch.delenv("NO_PROXY", raising=False)
    before = dict(os.environ)

    with train_elsewhere._environment({"AWS_REGION": "simulated"}):
        seen = {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
        proxied = os.environ["NO_PROXY"]

    assert seen == {"AWS_REGION": "simulated"}
    assert "127.0.0.1" in proxied
    assert dict(os.environ) == before
