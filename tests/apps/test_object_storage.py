"""Commands that are given an address in S3 where they take a folder: data, bundles, pictures, runs."""

import json
import sys
from pathlib import Path

import cv2
import pytest

import vedette
from drawn_shapes import draw_data, write_cfg
from label_sets import write_picture, write_voc
from simulators.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from small_bundle import make_bundle, make_picture
from small_network import write_network
from vedette.apps.aws_settings import s3_settings
from vedette.apps.cli import run_command
from vedette.apps.object_storage import cache_folder, local_bundle, local_data, local_folder, open_place
from vedette.apps.pipeline_file import flags_to_pipeline, parse_pipeline, read_pipeline
from vedette.apps.run import open_pipeline_detector
from vedette.bundle_folder import BundleError, open_bundle
from vedette.contracts.errors import VedetteError
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.versions_digests import DigestMemory
from vedette.learn.data.versions_push import push_version
from vedette.storage.errors import AccessDeniedError


@pytest.fixture(autouse=True)
def environment(rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**rclone_s3.environment(), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/object storage/{tmp_path.name}"


def upload(folder: Path, place: str) -> None:
    store = open_place(place)
    for path in folder.rglob("*"):
        if path.is_file():
            store.write(path.relative_to(folder).as_posix(), path.read_bytes())


def test_a_pushed_data_set_is_checked(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_voc(tmp_path / "data", {"one": [("dog", (1, 1, 20, 20))], "two": [("cat", (5, 5, 30, 25))]})
    push_version(data, open_place(place), "latest", SilentProgress(), DigestMemory(None))
    here = run_command(["data", "check", str(data), "--json"]), json.loads(capsys.readouterr().out)

    there = run_command(["data", "check", place, "--json"]), json.loads(capsys.readouterr().out)

    assert there == here
    assert run_command(["data", "check", f"{place}#latest"]) == here[0]
    assert run_command(["data", "check", f"{place}#other"]) == 1
    assert "has no version 'other'; there are: latest" in capsys.readouterr().err
    assert run_command(["data", "check", place, "--repair", "clip"]) == 2


def test_training_takes_a_pushed_data_set_and_resumes_without_the_address(place: str, tmp_path: Path) -> None:
    data, run = draw_data(tmp_path / "data", 8), tmp_path / "run"
    push_version(data, open_place(place), "latest", SilentProgress(), DigestMemory(None))
    begin = ["train", "--data", place, "--model", str(write_cfg(tmp_path)), "--epochs", "1", "--batch", "4"]

    assert run_command([*begin, "--device", "cpu", "--out", str(run)]) == 0
    assert (run / "best.weights").is_file()
    assert run_command(["train", "--out", str(run), "--resume"]) == 0


def test_a_damaged_copy_in_the_cache_is_mended(place: str, tmp_path: Path) -> None:
    data = write_voc(tmp_path / "data", {"one": [("dog", (1, 1, 20, 20))]})
    push_version(data, open_place(place), "latest", SilentProgress(), DigestMemory(None))
    picture = next(local_data(Path(place)).rglob("*.jpg"))
    good = picture.read_bytes()
    picture.write_bytes(b"damaged")

    assert local_data(Path(place)) in picture.parents
    assert picture.read_bytes() == good


def test_plain_files_in_s3_are_a_data_set_too(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_voc(tmp_path / "data", {"one": [("dog", (1, 1, 20, 20))], "two": []})
    upload(data, place)
    run_command(["data", "check", str(data), "--json"])
    here = capsys.readouterr().out

    run_command(["data", "check", place, "--json"])
    assert capsys.readouterr().out == here

    store = open_place(place)
    gone = next(found.name for found in store.list() if found.name.endswith("two.jpg"))
    store.delete([gone])
    copy = local_folder(Path(place))
    assert not (copy / gone).exists()
    assert sorted(path.name for path in copy.rglob("*.jpg")) == ["one.jpg"]
    changed = next(found.name for found in store.list() if found.name.endswith("one.jpg"))
    store.write(changed, b"another picture")
    assert (local_folder(Path(place)) / changed).read_bytes() == b"another picture"


def test_nothing_in_s3_is_told(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", "check", place]) == 1
    assert "nothing is stored there" in capsys.readouterr().err
    assert run_command(["data", "check", "s3://nobody-has-it/x"]) == 1
    assert "there is no bucket 'nobody-has-it'" in capsys.readouterr().err


def test_bundle_and_pictures_from_s3_are_detected(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path / "bundle")
    upload(tmp_path / "bundle", f"{place}/bundle")
    shots = tmp_path / "shots"
    shots.mkdir()
    cv2.imwrite(str(shots / "one.png"), make_picture({(0, 0): "red"}, scale=2))
    cv2.imwrite(str(shots / "two.jpg"), make_picture({(1, 0): "green"}, scale=3))
    upload(shots, f"{place}/shots")
    flags = ["--out", str(tmp_path / "out"), "--json", "--engine", "onnxruntime"]

    assert run_command(["detect", f"{place}/bundle", f"{place}/shots", *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [entry["image"] for entry in report] == [f"{place}/shots/one.png", f"{place}/shots/two.jpg"]
    assert [entry["detections"][0]["class"] for entry in report] == ["red", "green"]
    assert (tmp_path / "out" / "one.png").is_file()

    assert run_command(["detect", f"{place}/bundle", f"{place}/shots/two.jpg", *flags]) == 0
    assert [entry["image"] for entry in json.loads(capsys.readouterr().out)] == [f"{place}/shots/two.jpg"]
    assert run_command(["detect", f"{place}/bundle", f"{place}/shots/three.jpg", *flags]) == 1
    assert "there is no such picture" in capsys.readouterr().err
    assert run_command(["detect", f"{place}/bundle", f"{place}/shots", "--out", "s3://bucket/out"]) == 2
    assert not Path("s3:").exists()
    detector = vedette.load(f"{place}/bundle", "onnxruntime")
    assert detector.manifest.name == open_bundle(tmp_path / "bundle").manifest.name


def test_a_bundle_is_downloaded_once_and_verified(place: str, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    upload(tmp_path / "bundle", place)
    kept = local_bundle(place)
    assert open_bundle(kept).digest == open_bundle(tmp_path / "bundle").digest
    assert kept.is_relative_to(cache_folder())

    open_place(place).write("model.onnx", b"changed in S3")
    assert local_bundle(place) == kept  # what was verified is used
    (kept / "model.onnx").write_bytes(b"changed here")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        local_bundle(place)
    open_place(place).write("model.onnx", (tmp_path / "bundle" / "model.onnx").read_bytes())
    assert open_bundle(local_bundle(place)).digest == open_bundle(tmp_path / "bundle").digest


@pytest.mark.parametrize("missing", ["bundle.json.sha256", "bundle.json", "model.onnx"])
def test_half_a_bundle_is_none(missing: str, place: str, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    upload(tmp_path / "bundle", place)
    open_place(place).delete([missing])

    with pytest.raises(BundleError, match=missing.replace(".", r"\.")):
        local_bundle(place)

    assert not [*(cache_folder() / "bundles").glob("*")]


def test_a_bundle_is_packed_into_s3(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights, names = write_network(tmp_path)
    flags = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names), "--json"]

    assert run_command(["pack", "--out", f"{place}/bundle", *flags]) == 0
    report = json.loads(capsys.readouterr().out)

    assert report["bundle"] == f"{place}/bundle"
    assert open_bundle(local_bundle(f"{place}/bundle")).digest == report["digest"]
    before = {found.name: found.etag for found in open_place(f"{place}/bundle").list()}
    assert run_command(["pack", "--out", f"{place}/bundle", *flags]) == 2
    assert "there is a bundle already" in capsys.readouterr().err
    assert {found.name: found.etag for found in open_place(f"{place}/bundle").list()} == before
    assert run_command(["pack", "--out", f"{place}/other", *flags[:-2], "nowhere.names"]) != 0
    assert [*open_place(f"{place}/other").list()] == []


def test_variants_are_calibrated_from_s3_and_their_page_stays_here(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, weights, names = write_network(tmp_path / "net")
    for number in range(3):
        write_picture(tmp_path / "pictures" / f"{number}.png")
    upload(tmp_path / "pictures", f"{place}/pictures")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    flags = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names)]
    flags += ["--variants", "fp32,int8_qdq", "--calibration", f"{place}/pictures"]

    assert run_command(["pack", "--out", f"{place}/belt", *flags]) == 0

    receipt = open_bundle(local_bundle(f"{place}/belt")).manifest.variants[1].receipt
    assert receipt.calibration is not None and receipt.calibration.pictures == 3
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["belt-variants.html"]


def test_a_pipeline_file_may_name_a_bundle_in_s3(tmp_path: Path) -> None:
    text = "bundle: s3://bucket/bundle\ncameras: [{name: a, url: a.mp4}]\n"
    (tmp_path / "pipeline.yaml").write_text(text)
    assert read_pipeline(tmp_path / "pipeline.yaml").bundle == "s3://bucket/bundle"
    assert parse_pipeline(text, "here").bundle == "s3://bucket/bundle"


@pytest.fixture
def aws_files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-west-1\n"
        "[profile work]\nregion = eu-central-1\nendpoint_url = http://127.0.0.1:9\n"
        "[profile lab]\nservices = lab\n[services lab]\ns3 =\n  endpoint_url = http://127.0.0.1:10\n"
        "[profile half]\nsso_session = none\nsso_account_id = 1\nsso_role_name = x\n"
    )
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = canary-default\n"
        "[work]\naws_access_key_id = AKWORK\naws_secret_access_key = canary-work\naws_session_token = canary-token\n"
        "[lab]\naws_access_key_id = AKLAB\naws_secret_access_key = canary-lab\n"
    )
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def settings_in(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> object:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return s3_settings(environ)


@pytest.mark.parametrize(
    ("environ", "key", "region", "endpoint"),
    [
        ({}, "AKDEFAULT", "eu-west-1", None),
        ({"AWS_PROFILE": "work"}, "AKWORK", "eu-central-1", "http://127.0.0.1:9"),
        ({"AWS_PROFILE": "lab"}, "AKLAB", None, "http://127.0.0.1:10"),
        ({"AWS_PROFILE": "work", "AWS_REGION": "us-west-2"}, "AKWORK", "us-west-2", "http://127.0.0.1:9"),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, "AKDEFAULT", "eu-west-1", "http://b"),
        ({"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "canary"}, "AKENV", "eu-west-1", None),
    ],
)
def test_settings_are_those_of_the_aws_tools(
    environ: dict[str, str],
    key: str,
    region: str | None,
    endpoint: str | None,
    aws_files: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_in(monkeypatch, {**aws_files, **environ})

    assert settings.credentials()["access_key_id"] == key
    assert (settings.region, settings.endpoint_url) == (region, endpoint)
    assert "canary" not in repr(settings)


@pytest.mark.parametrize("profile", ["nobody", "half"])
def test_a_profile_that_cannot_be_used_is_told(
    profile: str, aws_files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AccessDeniedError, match="AWS credentials: ") as caught:
        settings_in(monkeypatch, {**aws_files, "AWS_PROFILE": profile})
    assert "canary" not in str(caught.value)


def test_a_profile_opens_a_store(
    rclone_s3: S3Server, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[profile box]\nregion = us-east-1\nendpoint_url = {rclone_s3.url}\n")
    (tmp_path / "credentials").write_text(
        f"[box]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    settings_in(
        monkeypatch,
        {
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_PROFILE": "box",
        },
    )
    store = open_place(place)
    store.write("a", b"content")
    assert open_place(place).read("a", 100) == b"content"


def test_without_botocore_variables_suffice_and_a_profile_is_told(
    aws_files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    monkeypatch.setitem(sys.modules, "botocore", None)
    keys = {"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "canary"}
    assert s3_settings({**aws_files, **keys}).credentials()["access_key_id"] == "AKENV"
    with pytest.raises(VedetteError, match="the AWS profile work needs 'boto3'"):
        s3_settings({**aws_files, "AWS_PROFILE": "work"})
    assert s3_settings({"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}).credentials is None


def test_run_opens_a_bundle_in_s3(place: str, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    upload(tmp_path / "bundle", place)
    settings = flags_to_pipeline(bundle=Path(place), cameras=["a.mp4"], engine="onnxruntime")

    opened, detector = open_pipeline_detector(settings)

    assert opened.digest == open_bundle(tmp_path / "bundle").digest
    assert detector.engine_name == "onnxruntime"


def test_a_bundle_in_s3_is_evaluated_on_data_in_s3(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path / "bundle")
    upload(tmp_path / "bundle", f"{place}/bundle")
    data = write_voc(tmp_path / "data", {"one": [("red", (1, 1, 20, 20))]})
    picture = make_picture({(0, 0): "red"})
    cv2.imwrite(str(data / "JPEGImages" / "one.jpg"), picture)
    push_version(data, open_place(f"{place}/data"), "v1", SilentProgress(), DigestMemory(None))
    flags = ["--json", "--engine", "onnxruntime"]
    assert run_command(["evaluate", str(tmp_path / "bundle"), "--data", str(data), *flags]) == 0
    here = json.loads(capsys.readouterr().out)

    assert run_command(["evaluate", f"{place}/bundle", "--data", f"{place}/data#v1", *flags]) == 0

    there = json.loads(capsys.readouterr().out)
    assert here["map50"] == there["map50"]
    assert {key for key in here if here[key] != there[key]} <= {"data", "model", "images_per_s", "ms_per_picture"}
