"""Addresses: what they mean, and which are refused."""

from pathlib import Path

import pytest

from vedette.storage.address import Address, is_s3_address, is_safe_name, parse_address
from vedette.storage.errors import AddressError


@pytest.mark.parametrize(
    ("text", "bucket", "path"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://bucket/a/b b/ü/", "bucket", "a/b b/ü"),
        (Path("s3://bucket/a"), "bucket", "a"),  # a Path has one slash less
    ],
)
def test_addresses_in_s3(text: str | Path, bucket: str, path: str) -> None:
    address = parse_address(text)
    assert (address.bucket, address.path, address.is_s3) == (bucket, path, True)
    assert is_s3_address(text)
    assert str(address) == f"s3://{bucket}/{path}".rstrip("/")


def test_a_local_folder_is_an_address(tmp_path: Path) -> None:
    assert parse_address(tmp_path / "a" / ".." / "b") == Address("", str(tmp_path / "b"))
    assert not is_s3_address("s3/folder")
    assert not is_s3_address(tmp_path)


def test_an_address_is_parted_into_folder_and_name() -> None:
    assert parse_address("s3://bucket/a/b.jpg").parted() == (Address("bucket", "a"), "b.jpg")
    assert parse_address("s3://bucket/b.jpg").parted() == (Address("bucket", ""), "b.jpg")
    assert parse_address("/a/b.jpg").parted() == (Address("", "/a"), "b.jpg")


@pytest.mark.parametrize(
    "text",
    ["", "gs://bucket/x", "http://host/x", "s3://b/x", "s3://bu cket/x", "s3://bucket/a/../b", "s3://bucket/a//b"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "../a",
        "a\\b",
        "C:/a",
        "a\nb",
        "a\0b",
        "\udcff",
        "x" * 256,
        "a/" * 600,
    ],
)
def test_names_that_are_not_safe(name: str) -> None:
    assert not is_safe_name(name)


@pytest.mark.parametrize("name", ["a", "a b/ü/日本.jpg", "..a", "a..b", "%2e%2e/x", "x" * 255])
def test_names_that_are_safe(name: str) -> None:
    assert is_safe_name(name)
