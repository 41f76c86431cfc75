"""What can be wrong between the keys of a deepstream-app configuration, and between it and a version or board."""

import re
from collections.abc import Iterator, Mapping

from vedette.edge.deepstream.dialects import Dialect
from vedette.edge.deepstream.findings import Finding, Severity
from vedette.edge.deepstream.key_file import Entry, KeyFile
from vedette.edge.deepstream.key_values import read_integer
from vedette.edge.deepstream.targets import Target

# group pattern, key -> what deepstream-app 9.1 knows (its deepstream_config.h and deepstream_sinks.h)
_ENUMS: tuple[tuple[str, str, range, str], ...] = (
    (
        r"source\d+|source-attr-all",
        "type",
        range(1, 10),
        "1 V4L2, 2 URI, 3 several URIs, 4 RTSP, 5 CSI, 6-8 audio, 9 IPC",
    ),
    (r"sink\d+", "type", range(1, 7), "1 none, 2 window, 3 file, 4 RTSP, 5 display without desktop, 6 messages"),
    (r"sink\d+", "codec", range(1, 4), "1 H.264, 2 H.265, 3 MPEG-4"),
    (r"sink\d+", "container", range(1, 3), "1 MP4, 2 MKV"),
    (r"sink\d+", "enc-type", range(2), "0 hardware, 1 software"),
    (r"tiled-display", "enable", range(4), "0 off, 1 on, 2 and 3 with a demultiplexer"),
    (r".*gie\d*", "plugin-type", range(2), "0 nvinfer, 1 nvinferserver"),
    (r".*", "nvbuf-memory-type", range(5), "0 default, 1 pinned, 2 device, 3 unified, 4 surface array"),
)
_OLD_TRACKERS = re.compile(r"libnvds_(mot_klt|mot_iou|nvdcf)\.so")


def check_app(file: KeyFile, dialect: Dialect | None, target: Target | None) -> Iterator[Finding]:
    """Findings of one application file."""
    yield from _check_enums(file)
    yield from _check_batches(file)
    yield from _check_tracker(file, dialect)
    for group in file.groups:
        if re.fullmatch(r"sink\d+", group):
            yield from _check_sink(file, file.of_group(group), dialect, target)
    if "source-list" in file.groups and "source-attr-all" not in file.groups:
        yield Finding(
            file.source, file.groups["source-list"], Severity.ERROR, "[source-list] needs a [source-attr-all] too"
        )


def is_on(entries: Mapping[str, Entry]) -> bool:
    """Whether a group's `enable` is anything but 0."""
    enable = entries.get("enable")
    return enable is not None and integer_of(enable) not in {0, None}


def integer_of(entry: Entry | None) -> int | None:
    """The number of an entry, None where there is none or it is wrong (that is told elsewhere)."""
    try:
        return None if entry is None else read_integer(entry.value)
    except ValueError:
        return None


def _say(file: KeyFile, entry: Entry, severity: Severity, message: str) -> Finding:
    return Finding(file.source, entry.line, severity, f"[{entry.group}] {message}")


def _check_enums(file: KeyFile) -> Iterator[Finding]:
    for entry in file.entries:
        for pattern, key, allowed, meaning in _ENUMS:
            number = integer_of(entry) if entry.key == key and re.fullmatch(pattern, entry.group) else None
            if number is not None and number not in allowed:
                yield _say(file, entry, Severity.ERROR, f"{key}={number} means nothing: {meaning}")


def _check_batches(file: KeyFile) -> Iterator[Finding]:
    """Batches smaller than the number of sources make cameras wait for each other; two detectors with one id end it."""
    sources = [file.of_group(group) for group in file.groups if re.fullmatch(r"source\d+", group)]
    count = sum(max(integer_of(source.get("num-sources")) or 1, 1) for source in sources if is_on(source))
    entry = file.get("streammux", "batch-size")
    size = integer_of(entry)
    if entry is not None and size is not None and count and size < count and "source-list" not in file.groups:
        yield _say(
            file, entry, Severity.WARNING, f"batch-size={size} is less than the {count} sources that are enabled"
        )
    owners: dict[int, str] = {}
    for group in file.groups:
        entries = file.of_group(group)
        if not re.fullmatch(r"primary-gie|secondary-gie\d+", group) or not is_on(entries):
            continue
        identity = integer_of(entries.get("gie-unique-id"))
        if identity is not None and owners.setdefault(identity, group) != group:
            yield _say(
                file, entries["gie-unique-id"], Severity.ERROR,
                f"gie-unique-id={identity} is that of [{owners[identity]}] already",
            )  # fmt: skip


def _check_tracker(file: KeyFile, dialect: Dialect | None) -> Iterator[Finding]:
    entries = file.of_group("tracker")
    library = entries.get("ll-lib-file")
    if library is not None and _OLD_TRACKERS.search(library.value) and dialect is not None:
        yield _say(
            file, library, Severity.ERROR,
            f"{library.value.rpartition('/')[2]} ended with DeepStream 5.1; since 6.0 it is "
            "libnvds_nvmultiobjecttracker.so with an ll-config-file",
        )  # fmt: skip
    config = entries.get("ll-config-file")
    if config is not None and "nvdcf" in config.value.lower():
        for key in ("tracker-width", "tracker-height"):
            entry = entries.get(key)
            number = integer_of(entry)
            if entry is not None and number is not None and number % 32:
                yield _say(file, entry, Severity.WARNING, f"{key}={number}: NvDCF wants multiples of 32")


def _check_sink(
    file: KeyFile, entries: Mapping[str, Entry], dialect: Dialect | None, target: Target | None
) -> Iterator[Finding]:
    kind = integer_of(entries.get("type"))
    if not is_on(entries) or kind is None:
        return
    if kind == 6:
        yield from _check_message_sink(file, entries, dialect)
    if kind == 5 and dialect is not None and target is not None and dialect.overlay_sink and not target.is_jetson:
        yield _say(file, entries["type"], Severity.ERROR, f"type=5 is for Jetson only in DeepStream {dialect.version}")
    encoder = entries.get("enc-type")
    hardware = integer_of(encoder) in {0, None}
    if kind in {3, 4} and target is not None and not target.has_encoder and hardware:
        yield _say(
            file, encoder or entries["type"], Severity.ERROR,
            f"the {target.title} has no video encoder: write enc-type=1 (software)",
        )  # fmt: skip


def _check_message_sink(file: KeyFile, entries: Mapping[str, Entry], dialect: Dialect | None) -> Iterator[Finding]:
    new_api = entries.get("msg-conv-msg2p-new-api")
    if "disable-msgconv" not in entries and (new_api is None or new_api.value.strip() in {"0", "false"}):
        yield _say(
            file, new_api or entries["type"], Severity.WARNING,
            "without msg-conv-msg2p-new-api=1 deepstream-app sends no message at all (deepstream-test5-app does)",
        )  # fmt: skip
    library = entries.get("msg-broker-proto-lib")
    if library is None:
        yield _say(file, entries["type"], Severity.ERROR, "a sink of type 6 needs msg-broker-proto-lib")
    elif dialect is not None and not dialect.mqtt_adaptor and "libnvds_mqtt_proto" in library.value:
        yield _say(
            file, library, Severity.ERROR,
            f"DeepStream {dialect.version} has no MQTT adaptor: send to Kafka, or build an adaptor of your own",
        )  # fmt: skip
    address = entries.get("msg-broker-conn-str")
    needs_parts = library is not None and re.search(r"kafka|mqtt|redis|amqp", library.value) is not None
    if address is not None and needs_parts and ";" not in address.value and ":" in address.value:
        yield _say(file, address, Severity.ERROR, "write host;port: semicolons, not colons, separate the parts")
