"""`vedette deepstream render` on the command line, and what its run.sh does where a stand-in is deepstream-app."""

import ctypes
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from simulators.tensorrt_boxes import become_box_without_bindings
from simulators.tensorrt_standin import MAGIC
from small_bundle import CLASSES, make_bundle, make_manifest, make_model, make_picture
from vedette.apps.cli import run_command
from vedette.bundle_folder import write_bundle
from vedette.contracts.bundle import EngineName, Precision, Variant
from vedette.contracts.frame import ResizeMode
from vedette.contracts.receipt import Receipt
from vedette.edge.deepstream.key_file import read_key_file
from vedette.edge.deepstream.key_values import read_string
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.zoo import make_cfg
from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.quantize_qdq import QdqStyle, quantize_qdq
from vedette.vision.resize import plan_placement

CAMERA_SECRET, BROKER_SECRET = "p@ss:wo/rd 'x'\\", "hunter2 $HOME"
PIPELINE = """\
version: 1
bundle: bundle
cameras:
  - {name: gate, url: "rtsp://10.0.0.1/main", username: admin, password_env: GATE_PASSWORD}
  - {name: hall, url: "rtsp://10.0.0.2/main", username: guest, password_file: hall.txt}
  - {name: open, url: "rtsp://10.0.0.3/main"}
events:
  - {kind: mqtt, host: broker, topic: site/events, username: box, password_file: mqtt.txt}
"""
RENDER = ["--target", "orin-nano", "--deepstream", "7.1", "--inferences-per-second", "100"]


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    (tmp_path / "hall.txt").write_text("second\n")
    (tmp_path / "mqtt.txt").write_text(BROKER_SECRET + "\n")
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE)
    return path


def test_a_folder_is_rendered_that_passes_the_check(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pipeline.parent / "out"

    assert run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["detections_per_second_and_camera"] == 6.0
    assert document["interval"] == 4
    assert set(document["files"]) >= {"app.txt", "README.md", "run.sh", "model.onnx"}
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == document["files"]
    assert os.access(out / "run.sh", os.X_OK)
    assert (
        run_command(["deepstream", "check", str(out), "--deepstream", "7.1", "--target", "orin-nano", "--strict"]) == 0
    )


def test_where_events_go_does_not_depend_on_where_the_folder_is_run(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.write_text(PIPELINE + "  - {kind: file, path: seen/events.jsonl}\n")
    monkeypatch.chdir(pipeline.parent.parent)
    relative = Path(pipeline.parent.name, pipeline.name)
    assert run_command(["deepstream", "render", str(relative), *RENDER, "--out", str(pipeline.parent / "out")]) == 0
    targets = json.loads((pipeline.parent / "out" / "vedette.json").read_text())["pipeline"]["events"]
    assert targets[0]["password_file"] == str(pipeline.parent / "mqtt.txt")
    assert targets[1]["path"] == str(pipeline.parent / "seen" / "events.jsonl")


def test_no_secret_is_in_any_file(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_PASSWORD", CAMERA_SECRET)
    out = pipeline.parent / "out"
    run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out)])

    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"10.0.0.1" in content
    for secret in (CAMERA_SECRET, BROKER_SECRET, "second\n"):
        assert secret.encode() not in content


def test_the_cost_of_the_network_comes_from_the_cfg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = make_cfg("yolov3-tiny", len(CLASSES), 64, 64)
    contents = {"model.onnx": make_model(), "labels.txt": b"", "model.cfg": cfg.encode()}
    write_bundle(tmp_path / "bundle", make_manifest(), contents)
    path = tmp_path / "p.yaml"
    path.write_text("bundle: bundle\ncameras: [{name: a, url: 'rtsp://h/a'}]\n")

    assert run_command(["deepstream", "render", str(path), *RENDER[:4], "--out", str(tmp_path / "out"), "--json"]) == 0
    cost = plan_network(parse_cfg(cfg, "x"), 64, 64).bflops
    assert json.loads(capsys.readouterr().out)["most_inferences_per_second"] == pytest.approx(1800 / cost, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--target", "jetson-nano", "--deepstream", "7.1"], 1, "does not run on the Jetson Nano"),
        (["--target", "toaster", "--deepstream", "7.1"], 1, "'toaster' is no target"),
        (["--target", "orin-nano", "--deepstream", "7.1"], 2, "give --inferences-per-second"),
        (["--target", "jetson-nano", "--deepstream", "6.0.1", "--inferences-per-second", "9"], 1, "no MQTT adaptor"),
        ([*RENDER, "--camera-size", "big"], 2, "WIDTHxHEIGHT"),
        ([*RENDER[:-1], "inf"], 2, "--inferences-per-second inf: give a number from 0.01"),
        ([*RENDER[:-1], "1e-300"], 2, "--inferences-per-second 1e-300: give a number from 0.01"),
        ([*RENDER, "--kafka", "broker"], 2, "HOST:PORT/TOPIC"),
        ([*RENDER, "--camera-size", "7680x4320"], 1, "decodes 498 Mpixel/s"),
    ],
)
def test_what_cannot_be_rendered_is_one_message_and_leaves_nothing(
    pipeline: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = pipeline.parent / "out"

    assert run_command(["deepstream", "render", str(pipeline), *arguments, "--out", str(out)]) == code
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_is_there_is_kept(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pipeline.parent / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    assert run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine"]


NANO = ["--target", "jetson-nano", "--deepstream", "6.0.1", "--inferences-per-second", "9", "--kafka", "b:9092/t"]


@pytest.mark.parametrize(
    ("precision", "board", "code", "words"),
    [
        ("bf16", RENDER, 2, "nvinfer knows FP32, FP16 and INT8 only"),
        ("int8", NANO, 2, "the Jetson Nano 4 GB's GPU does not compute in 8 bits"),
        ("int8", RENDER, 1, "pack it with --variants fp32,int8_qdq_symmetric --calibration DATA"),
    ],
)
def test_a_precision_that_would_be_another_one_is_refused(
    pipeline: Path, precision: str, board: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = pipeline.parent / "out"
    pipeline.write_text(PIPELINE + f"detect: {{precision: {precision}}}\n")

    assert run_command(["deepstream", "render", str(pipeline), *board, "--out", str(out)]) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not out.exists()


def write_int8_bundle(folder: Path) -> bytes:
    """FP32, and Q/DQ for TensorRT beside it."""
    placement = plan_placement(64, 64, 64, 64, ResizeMode.STRETCH)
    pictures = tuple(make_picture({(number, 0): "red", (0, number): "green"})[..., ::-1] for number in range(4))
    model = quantize_qdq(
        make_model(), CalibrationPictures(pictures, (placement,) * 4, make_manifest().input), QdqStyle.TENSORRT
    )
    plain = make_manifest()
    int8 = Variant(
        name="int8_qdq_symmetric", file="model_int8.onnx", precision=Precision.INT8, engines=(EngineName.TENSORRT,),
        receipt=Receipt(),
    )  # fmt: skip
    contents = {"model.onnx": make_model(), "model_int8.onnx": model, "labels.txt": b"red\ngreen\nblue\n"}
    write_bundle(folder, plain.model_copy(update={"variants": (*plain.variants, int8)}), contents)
    return model


def test_int8_is_the_bundles_own_model_and_is_built_by_trtexec(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "bundle")
    model = write_int8_bundle(tmp_path / "bundle")
    pipeline.write_text(PIPELINE + "detect: {precision: int8}\n")
    out = tmp_path / "out"
    assert run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out)]) == 0

    nvinfer = read_key_file((out / "config_infer_primary.txt").read_bytes(), "x").of_group("property")
    engine = out / "model.onnx_b3_gpu0_int8.engine"
    assert (nvinfer["network-mode"].value, nvinfer["model-engine-file"].value) == ("1", engine.name)
    assert "onnx-file" not in nvinfer  # else nvinfer would make FP16 of it when the engine does not suit it
    assert (out / "model.onnx").read_bytes() == model
    assert "trtexec" in (out / "README.md").read_text()
    assert run_command(["deepstream", "check", str(out), "--strict"]) == 0

    (out / "libnvds_infer_vedette.so").touch()
    environment = install(tmp_path, "echo ran\n")
    for version in ("8.2.1", "8.6.2", "10.3.0"):
        trtexec = become_box_without_bindings(version, tmp_path, monkeypatch)
        engine.unlink(missing_ok=True)
        done = subprocess.run(
            [out / "run.sh"], env={**environment, "TRTEXEC": str(trtexec), "GATE_PASSWORD": "x"}, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
        header = json.loads(engine.read_bytes().removeprefix(MAGIC).partition(b"\n")[0])
        assert header["version"] == version
        assert header["profiles"] == [{"input": [[1, 3, 64, 64], [3, 3, 64, 64], [3, 3, 64, 64]]}]
        built_at = engine.stat().st_mtime_ns
        assert subprocess.run([out / "run.sh"], env=environment, check=False, timeout=60).returncode == 0
        assert engine.stat().st_mtime_ns == built_at  # built once

    (out / "model.onnx").write_bytes(b"no model")
    engine.unlink()
    done = subprocess.run(
        [out / "run.sh"], env={**environment, "TRTEXEC": str(trtexec)}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "trtexec failed, see build_engine.log" in done.stderr
    assert not engine.exists()


def install(folder: Path, script: str) -> dict[str, str]:
    """A DeepStream with nothing in it but a stand-in for deepstream-app and the adaptor."""
    sdk = folder / "sdk"
    (sdk / "lib").mkdir(parents=True)
    for kind in ("mqtt", "kafka"):
        (sdk / "lib" / f"libnvds_{kind}_proto.so").touch()
    app = folder / "deepstream-app"
    app.write_text(f'#!/bin/bash\n[ "$1" = --version ] && {{ echo "deepstream-app version 7.1.0"; exit; }}\n{script}')
    app.chmod(0o755)
    return {**os.environ, "DEEPSTREAM_DIR": str(sdk), "DEEPSTREAM_APP": str(app), "GATE_PASSWORD": CAMERA_SECRET}


@pytest.fixture
def rendered(pipeline: Path) -> Path:
    out = pipeline.parent / "out"
    assert run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out)]) == 0
    (out / "libnvds_infer_vedette.so").touch()
    return out


def test_run_puts_passwords_into_a_private_copy_that_is_gone_afterwards(rendered: Path) -> None:
    environment = install(
        rendered.parent, 'stat -c "%a" "$2"; grep ^uri "$2"; echo "$USER_MQTT/$PASSWORD_MQTT"; exit 7\n'
    )

    done = subprocess.run(
        [rendered / "run.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines() == [
        "600",
        "uri=rtsp://admin:p%40ss%3Awo%2Frd%20%27x%27%5C@10.0.0.1/main",
        "uri=rtsp://guest:second@10.0.0.2/main",
        "uri=rtsp://10.0.0.3/main",
        f"box/{BROKER_SECRET}",
    ]
    assert list(rendered.glob(".app.*")) == []
    assert "p%40ss" not in done.stderr


KAFKA_SECRET = "p=a\\s's \"w#rd é"
KAFKA = """\
version: 1
bundle: bundle
cameras: [{name: gate, url: "rtsp://10.0.0.1/main"}]
events:
  - {kind: kafka, brokers: ["kafka:9094"], topic: site, tls: true, username: box, password_file: kafka.txt,
     mechanism: SCRAM-SHA-512}
"""


def as_the_adaptor_reads_it(key_file: bytes) -> dict[str, str]:
    """g_key_file_get_string, strip_quote, nvds_kafka_parse_proto_cfg."""
    entry = read_key_file(key_file, "broker").get("message-broker", "proto-cfg")
    assert entry is not None
    value = read_string(entry.value)
    assert len(value.encode()) < 1024
    assert value[0] == value[-1] == '"'
    return dict(part.split("=", 1) for part in value[1:-1].split(";"))


def test_kafkas_password_is_in_a_private_copy_of_the_adaptors_file_only(pipeline: Path) -> None:
    pipeline.write_text(KAFKA)
    (pipeline.parent / "kafka.txt").write_text(KAFKA_SECRET + "\n")
    out = pipeline.parent / "out"
    assert run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out)]) == 0
    (out / "libnvds_infer_vedette.so").touch()
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert KAFKA_SECRET.encode() not in content
    assert "sasl.password" not in as_the_adaptor_reads_it((out / "cfg_broker.txt").read_bytes())
    kept = pipeline.parent / "kept"
    environment = install(
        pipeline.parent,
        f'name=$(sed -n "s/^msg-broker-config=//p" "$2"); stat -c "%a" "$2" "$name"; cp "$name" {kept}\n'
        'diff "$2" app.txt\n',
    )

    done = subprocess.run([out / "run.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60)

    modes = done.stdout.splitlines()[:2]
    assert modes == ["600", "600"], done.stderr
    assert len([line for line in done.stdout.splitlines() if line[:1] in "<>"]) == 2  # the one line that names the copy
    settings = as_the_adaptor_reads_it(kept.read_bytes())
    assert settings == {
        "enable.idempotence": "true",
        "security.protocol": "sasl_ssl",
        "ssl.ca.location": "/etc/ssl/certs/ca-certificates.crt",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "box",
        "sasl.password": KAFKA_SECRET,
    }
    Producer({**settings, "bootstrap.servers": "127.0.0.1:1"})  # librdkafka takes every one of them
    assert list(out.glob(".app.*")) == list(out.glob(".broker.*")) == []
    assert "w#rd" not in done.stderr


def test_a_password_that_the_adaptor_would_cut_stops_the_start(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.write_text(KAFKA)
    secret, out = pipeline.parent / "kafka.txt", pipeline.parent / "out"
    assert run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out)]) == 0
    (out / "libnvds_infer_vedette.so").touch()
    environment = install(pipeline.parent, "echo started\n")
    for word, complaint in (("a;b", "takes no password with ';'"), ("a" * 1000, "the password is too long")):
        secret.write_text(word)
        done = subprocess.run(
            [out / "run.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode != 0
        assert done.stdout == ""
        assert complaint in done.stderr
        assert list(out.glob(".app.*")) == list(out.glob(".broker.*")) == []

    capsys.readouterr()
    for old, new, complaint in (
        ("username: box", "username: 'b;x'", "takes no user name with ';'"),
        (", password_file: kafka.txt", "", "has a user and no password"),
    ):
        pipeline.write_text(KAFKA.replace(old, new))
        command = ["deepstream", "render", str(pipeline), *RENDER, "--out", str(pipeline.parent / "other")]
        assert run_command(command) == 1
        assert complaint in capsys.readouterr().err


def test_a_recording_of_an_earlier_start_is_kept(pipeline: Path) -> None:
    pipeline.write_text(PIPELINE.replace("admin, password_env: GATE_PASSWORD", "admin") + "record: rec\n")
    out = pipeline.parent / "out"
    assert run_command(["deepstream", "render", str(pipeline), *RENDER, "--out", str(out)]) == 0
    (out / "libnvds_infer_vedette.so").touch()
    environment = install(pipeline.parent, "echo new > record.mkv\n") | {"TZ": "UTC"}
    (out / "record.mkv").write_text("old\n")
    os.utime(out / "record.mkv", (1_800_000_000, 1_800_000_000))

    done = subprocess.run([out / "run.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert (out / "record.mkv").read_text() == "new\n"
    assert (out / "record-20270115T080000.mkv").read_text() == "old\n"


def test_run_hands_a_signal_on_and_cleans_up(rendered: Path) -> None:
    environment = install(
        rendered.parent, "trap 'echo ended; exit 3' TERM\necho started\nwhile :; do sleep 0.1; done\n"
    )
    with subprocess.Popen([rendered / "run.sh"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        assert process.stdout.readline() == "ended\n"
        assert process.wait(timeout=deadline - time.monotonic()) == 3
    assert list(rendered.glob(".app.*")) == []


def test_run_tells_how_the_app_ended_however_fast_it_does_so(rendered: Path) -> None:
    handler = "signal.signal(signal.SIGTERM, lambda *_: os._exit(3))"
    app = f"import os, signal; {handler}; print('started', flush=True); signal.pause()"
    environment = install(rendered.parent, f'exec python3 -c "{app}"\n')
    for _ in range(12):
        with subprocess.Popen([rendered / "run.sh"], env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 3
    assert list(rendered.glob(".app.*")) == []


def test_run_says_what_is_missing(rendered: Path) -> None:
    environment = install(rendered.parent, "exit 0\n")
    without_password = {name: value for name, value in environment.items() if name != "GATE_PASSWORD"}

    def complaint(given: dict[str, str]) -> str:
        done = subprocess.run([rendered / "run.sh"], env=given, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0
        return done.stderr

    assert "GATE_PASSWORD is empty or not set" in complaint(without_password)
    (rendered.parent / "hall.txt").write_text("\n")
    assert "the first line of" in complaint(environment)
    (rendered.parent / "sdk" / "lib" / "libnvds_mqtt_proto.so").unlink()
    assert "libnvds_mqtt_proto.so is missing" in complaint(environment)
    assert "is not installed" in complaint({**environment, "DEEPSTREAM_APP": "", "PATH": "/usr/bin:/bin"})


def test_the_parser_is_built_from_source_against_the_installed_header(rendered: Path) -> None:
    environment = install(rendered.parent, "echo ran\n")
    includes = rendered.parent / "sdk" / "sources" / "includes"
    (rendered / "libnvds_infer_vedette.so").unlink()

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [rendered / "run.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    assert "install the DeepStream SDK" in run().stderr
    includes.mkdir(parents=True)
    (includes / "nvdsinfer_custom_impl.h").write_text("#define FOUND 1\n")
    compiler = rendered.parent / "g++"
    compiler.write_text('#!/bin/bash\necho "$@" > compiled\nwhile [ "$1" != -o ]; do shift; done\ntouch "$2"\n')
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    environment["CXX"] = str(compiler)
    (rendered / "parser").mkdir(exist_ok=True)
    (rendered / "parser" / "box.cpp").write_text("")

    assert "ran" in run().stdout
    assert str(includes) in (rendered / "compiled").read_text()
    assert (rendered / "libnvds_infer_vedette.so").exists()


@pytest.mark.parametrize("generation", ["8", "9"])
def test_the_packaged_parser_builds_without_a_warning(rendered: Path, generation: str) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++: apt-get install g++")
    environment = install(rendered.parent, "exit 0\n")
    headers = Path(__file__).parent.parent / "edge" / "deepstream" / "headers" / generation
    shutil.copytree(headers, rendered.parent / "sdk" / "sources" / "includes")
    (rendered / "libnvds_infer_vedette.so").unlink()

    done = subprocess.run(
        [rendered / "build_parser.sh"], env=environment, capture_output=True, text=True, check=False, timeout=120
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    library = ctypes.CDLL(str(rendered / "libnvds_infer_vedette.so"))
    assert library.NvDsInferParseVedette is not None
