"""The catalogue of public weights says nothing that its own cfg files contradict, and its checks find other files."""

import hashlib
import re
import struct
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.errors import CfgError, PublicFileError, PublicNameError, WeightsError
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.public_weights import (
    NETWORKS,
    Checksum,
    PublicFile,
    PublicNetwork,
    count_parameters,
    find_network,
    verify_file,
    verify_weights,
)
from vedette.learn.darknet.zoo import make_cfg

HEADER_BYTES = (20, 16)
CHECKED_BY_STRUCTURE = {
    "yolov4-csp",
    "yolov7-tiny",
    "yolov7",
    "yolov4-tiny.conv.29",
}  # nobody that could be named published their sums


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_every_file_has_safe_addresses_and_a_proof(network):
    for file in network.files:
        assert file.urls
        for url in file.urls:
            assert urlsplit(url).scheme == "https"
            assert url.endswith("/" + file.name)
        if file.checksum is not None:
            digits = {"sha256": 64, "sha512": 128}[file.checksum.algorithm]
            assert re.fullmatch(rf"[0-9a-f]{{{digits}}}", file.checksum.digest)
            assert file.checksum.stated_by
    assert network.cfg.checksum is not None
    assert network.names.checksum is not None
    assert (network.weights.checksum is None) == (network.name in CHECKED_BY_STRUCTURE)
    assert network.weights.checksum is not None or network.weights.size_bytes is not None


def test_no_two_files_share_a_checksum():
    digests = {
        file.name: file.checksum.digest for network in NETWORKS.values() for file in network.files if file.checksum
    }
    assert len(set(digests.values())) == len(digests)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(PublicNameError, match="'yolov9' are known here; there are yolov3-tiny, yolov3,"):
        find_network("yolov9")


@pytest.mark.real_data
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_cfg_names_and_sizes_are_those_of_the_pinned_commit(real_data, network):
    cfg = real_data / "darknet" / "cfg" / network.cfg.name

    verify_file(cfg, network.cfg)
    verify_file(real_data / "darknet" / "names" / network.names.name, network.names)

    params = count_parameters(network, cfg)
    if network.weights.size_bytes is not None:
        assert network.weights.size_bytes - 4 * params in HEADER_BYTES
    if network.backbone_layers is not None:
        assert network.weights.name.endswith(f".conv.{network.backbone_layers}")
        assert 0 < params < plan_network(read_cfg(cfg)).params
        assert plan_network(read_cfg(cfg)).layers[network.backbone_layers - 1].params > 0


def file_of(name: str, content: bytes, algorithm: str = "sha256") -> PublicFile:
    digest = hashlib.new(algorithm, content).hexdigest()
    return PublicFile(name, (f"https://example.org/{name}",), len(content), Checksum(algorithm, digest, "its author"))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_size_and_checksum_are_held(tmp_path, algorithm):
    path = tmp_path / "a.weights"
    file = file_of("a.weights", b"0123456789", algorithm)

    path.write_bytes(b"0123456789")
    verify_file(path, file)
    path.write_bytes(b"012345678")
    with pytest.raises(PublicFileError, match=r"has 9 bytes, the published a\.weights has 10"):
        verify_file(path, file)
    path.write_bytes(b"0123456780")
    with pytest.raises(PublicFileError, match=f"its {algorithm.upper()} is [0-9a-f]+, its author states [0-9a-f]+"):
        verify_file(path, file)
    with pytest.raises(PublicFileError, match="cannot be read"):
        verify_file(tmp_path / "none", file)


def small_network(folder, backbone_layers=None) -> PublicNetwork:
    text = make_cfg("yolov3-tiny", 1, 32, 32)
    (folder / "small.cfg").write_text(text)
    files = (PublicFile("small.weights", (), None, None), file_of("small.cfg", text.encode()), file_of("a.names", b""))
    return PublicNetwork("small", "for tests", *files, backbone_layers)


def test_weights_are_held_against_the_plan_of_their_cfg(tmp_path):
    network = small_network(tmp_path)
    cfg, path = tmp_path / "small.cfg", tmp_path / "small.weights"
    values = np.ones(count_parameters(network, cfg), "<f4")
    header = struct.pack("<iiiQ", 0, 2, 5, 0)

    path.write_bytes(header + values.tobytes())
    verify_weights(path, network, cfg)
    for broken in (
        header + values[:-1].tobytes(),
        header + np.append(values[:-1], np.float32("nan")).tobytes(),
        b"<a>",
    ):
        path.write_bytes(broken)
        with pytest.raises(WeightsError):
            verify_weights(path, network, cfg)
    cfg.write_text("[net]")
    with pytest.raises(CfgError):
        verify_weights(path, network, cfg)


def test_a_backbone_must_end_after_its_layer(tmp_path):
    network = small_network(tmp_path, backbone_layers=3)
    cfg, path = tmp_path / "small.cfg", tmp_path / "small.weights"
    path.write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0) + np.ones(count_parameters(network, cfg), "<f4").tobytes())

    verify_weights(path, network, cfg)

    with pytest.raises(PublicFileError, match=r"holds the first 3 layers of small\.cfg, not 5"):
        verify_weights(path, replace(network, backbone_layers=5), cfg)
