"""Archives: what is read of good ones, and that each kind of bad one is refused by name."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from towline.bundles.archive import Bundle, read_archive, read_directory
from towline.bundles.members import BundleLimits
from towline.errors import InvalidBundle, OurFault

APPSPEC = b"version: 0.0\nos: linux\n"

Mode = Literal["w", "w:gz", "w:xz", "w:bz2"]


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(
    path: Path,
    *members: tuple[tarfile.TarInfo, bytes],
    mode: Mode = "w:gz",
    appspec: str = "appspec.yml",
) -> Path:
    with tarfile.open(path, mode) as archive:
        for info, data in (*([member(appspec, APPSPEC)] if appspec else []), *members):
            archive.addfile(info, io.BytesIO(data))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


HOSTILE = {
    "an absolute path": ([member("/etc/passwd", b"x")], "/etc/passwd", "absolute"),
    "a path that climbs": ([member("a/../../x", b"x")], "a/../../x", r"'\.\.'"),
    "a file below a link": ([link("d", "app"), member("d/x", b"x")], "d/x", "is a link"),
    "a file below a link that leaves": ([link("d", "/var/shared"), member("d/x", b"x")], "d/x", "is a link"),
    "a link below a link that leaves": ([link("d", "/var"), link("d/x", "y")], "d/x", "is a link"),
    "a file below a link that comes later": ([member("d/x", b"x"), link("d", "/var")], "d/x", "is a link"),
    "a hard link through a link": ([link("d", "/etc"), link("h", "d/passwd", tarfile.LNKTYPE)], "h", "no file"),
    "a file below a file": ([member("d", b"x"), member("d/x", b"x")], "d/x", "is a file"),
    "a hard link that leaves": ([link("h", "../x", tarfile.LNKTYPE)], "../x", r"'\.\.'"),
    "a hard link to nothing": ([link("h", "nope", tarfile.LNKTYPE)], "h", "nope"),
    "a hard link to a link": ([link("s", "appspec.yml"), link("h", "s", tarfile.LNKTYPE)], "h", "no file"),
    "a device": ([member("dev", type=tarfile.CHRTYPE)], "dev", "a device"),
    "a block device": ([member("dev", type=tarfile.BLKTYPE)], "dev", "a device"),
    "a pipe": ([member("p", type=tarfile.FIFOTYPE)], "p", "a named pipe"),
    "a name that is not UTF-8": ([member("caf\udce9", b"x")], r"caf\\udce9", "UTF-8"),
    "the top as a file": ([member(".", b"x")], r"\.", "top"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_of_a_tar_are_refused_by_name(case: str, tmp_path: Path) -> None:
    members, name, why = HOSTILE[case]
    path = tmp_path / "bundle.tgz"
    with tarfile.open(path, "w:gz", encoding="utf-8", errors="surrogateescape", format=tarfile.GNU_FORMAT) as archive:
        for info, data in (member("appspec.yml", APPSPEC), *members):
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(InvalidBundle, match=why) as caught:
        read_archive(path, "tgz")
    assert name.replace(r"\.", ".").replace("\\\\", "\\") in str(caught.value).replace("\\\\", "\\")
    assert "bundle.tgz" in str(caught.value)


def zipped(path: Path, *members: tuple[str, int, bytes], system: int = 3) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, data in (("appspec.yml", 0o100644, APPSPEC), *members):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = system, mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "data", "why"),
    [
        ("/etc/passwd", 0o100644, b"x", "absolute"),
        ("../up.txt", 0o100644, b"x", r"'\.\.'"),
        ("l", 0o120777, b"", "link to nothing"),
        ("dev", 0o020644, b"", "neither a file"),
        ("p", 0o010644, b"", "neither a file"),
    ],
)
def test_hostile_members_of_a_zip_are_refused_by_name(
    name: str, mode: int, data: bytes, why: str, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "bundle.zip", (name, mode, data))
    with pytest.raises(InvalidBundle, match=why) as caught:
        read_archive(path, "zip")
    assert repr(name) in str(caught.value)


def test_bombs_are_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "b.tgz", member("zeros", bytes(3_000_000)))
    with pytest.raises(InvalidBundle, match="more than 2000000 bytes"):
        read_archive(path, "tgz", limits=BundleLimits(unpacked_bytes=2_000_000))
    with pytest.raises(InvalidBundle, match="more than 1 members"):
        read_archive(path, "tgz", limits=BundleLimits(members=1))
    zipped(tmp_path / "b.zip", ("zeros", 0o100644, bytes(3_000_000)))
    with pytest.raises(InvalidBundle, match="more than 2000000 bytes"):
        read_archive(tmp_path / "b.zip", "zip", limits=BundleLimits(unpacked_bytes=2_000_000))
    assert read_archive(path, "tgz").listing.by_path["zeros"].size == 3_000_000


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def broken_header(data: bytes) -> bytes:
    return data[:1024] + b"garbage!" * 64 + data[1536:]


@pytest.mark.parametrize(
    ("bundle_type", "spoil"),
    [
        ("tar", lambda _: b""),
        ("tar", lambda _: b"not an archive at all"),
        ("tgz", lambda _: b"not an archive at all"),
        ("zip", lambda _: b"not an archive at all"),
        ("tar", truncated),
        ("tgz", truncated),
        ("zip", truncated),
        ("zip", lambda data: data[1000:]),  # its directory names places in front of the file
        ("tar", broken_header),
        ("tgz", lambda data: data[:-20] + bytes(20)),
        ("tgz", gzip.decompress),  # a plain tar that is called tgz
        ("zip", lambda data: data.replace(b"x" * 64, b"y" * 64)),  # a wrong checksum
    ],
)
def test_broken_archives_are_refused(bundle_type: str, spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    noise = os.urandom(200_000)
    if bundle_type == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("appspec.yml", APPSPEC)
            archive.writestr("x", b"x" * 1000)
            archive.writestr("noise", noise)
    else:
        tar(path, member("x", noise), mode="w:gz" if bundle_type == "tgz" else "w")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InvalidBundle, match=f"not a sound {bundle_type} archive"):
        read_archive(path, bundle_type)  # type: ignore[arg-type]


def test_a_good_archive_is_listed_with_digests_and_marks(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "b.tgz",
        member("./app", type=tarfile.DIRTYPE, mode=0o2775),
        member("./app/run.sh", b"#!/bin/sh\r\nexit 0\r\n", mode=0o755),
        member("app/deep/er/x", b"\xef\xbb\xbf#!/bin/sh\n"),
        link("current", "app/deep"),
        link("app/hard", "app/run.sh", tarfile.LNKTYPE),
    )
    bundle = read_archive(path, "tgz")
    assert (bundle.appspec_name, bundle.appspec) == ("appspec.yml", APPSPEC)
    assert [m.path for m in bundle.listing.members] == [
        "app", "app/deep", "app/deep/er", "app/deep/er/x", "app/hard", "app/run.sh", "appspec.yml", "current",
    ]  # fmt: skip
    run = bundle.listing.by_path["app/run.sh"]
    assert (run.mode, run.marks, bundle.listing.by_path["app/deep/er/x"].marks) == ("0755", ("crlf",), ("bom",))
    assert bundle.listing.by_path["app/hard"].sha256 == run.sha256
    found = bundle.listing.find("current/er/../er/x")
    assert found and found.path == "app/deep/er/x"


LONG = APPSPEC + b"#" * 5000 + b"\n"

WHICH_APPSPEC = {
    "the first member's, in a directory that is no member": ([member("top/appspec.yml", LONG)], LONG),
    "not the first member's": ([member("x"), member("appspec.yml", LONG)], LONG),
    "the last of two": ([member("appspec.yml", APPSPEC), member("appspec.yml", LONG)], LONG),
    "a hard link's": ([member("spec", LONG), link("appspec.yml", "spec", tarfile.LNKTYPE)], LONG),
    "a hard link's that came later": (
        [member("spec", LONG), member("appspec.yml", APPSPEC), link("appspec.yml", "spec", tarfile.LNKTYPE)],
        LONG,
    ),
    "a link's into a directory": ([member("spec/appspec.yml", LONG), link("appspec.yml", "spec/appspec.yml")], LONG),
    "not one that lies deeper": ([member("a/appspec.yml", b"x"), member("appspec.yaml", LONG)], LONG),
}


@pytest.mark.parametrize("case", WHICH_APPSPEC)
def test_the_appspec_is_read_whole_and_is_the_one_that_counts(case: str, tmp_path: Path) -> None:
    members, expected = WHICH_APPSPEC[case]
    assert read_archive(tar(tmp_path / "b.tgz", *members, appspec=""), "tgz").appspec == expected


def test_tar_is_told_by_its_content_as_gnu_tar_does(tmp_path: Path) -> None:
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        assert read_archive(tar(tmp_path / "b", mode=mode), "tar").appspec == APPSPEC


def test_a_zip_without_modes_and_with_a_link_to_its_appspec(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("appspec.yml")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "deploy/spec")
        fat = zipfile.ZipInfo("deploy/spec")
        fat.create_system, fat.external_attr = 0, 0x20
        archive.writestr(fat, APPSPEC)
    bundle = read_archive(path, "zip")
    assert bundle.appspec == APPSPEC
    assert bundle.listing.by_path["deploy/spec"].mode == "0644"


SURROUNDED = {
    "one directory with an AppSpec": ({"top/appspec.yml": APPSPEC, "top/x": b""}, ["appspec.yml", "x"]),
    "only one level": ({"a/top/appspec.yml": APPSPEC}, None),
    "a second entry defeats it": ({"top/appspec.yml": APPSPEC, "__MACOSX/y": b""}, None),
    "a hidden one, too": ({"top/appspec.yml": APPSPEC, ".z": b""}, None),
    "any name with appspec in it": ({"top/MyAppSpec.bak": b"", "top/x": b""}, None),
    "appspec.yaml will do": ({"top/appspec.yaml": APPSPEC}, ["appspec.yaml"]),
    "yml comes first": ({"appspec.yaml": b"no", "appspec.yml": APPSPEC}, ["appspec.yaml", "appspec.yml"]),
    "another case does not": ({"AppSpec.yml": APPSPEC}, None),
}


@pytest.mark.parametrize("case", SURROUNDED)
def test_a_surrounding_directory_is_taken_away(case: str, tmp_path: Path) -> None:
    files, expected = SURROUNDED[case]
    path = tar(tmp_path / "b.tgz", *(member(name, data) for name, data in files.items()), appspec="")
    if expected is None:
        with pytest.raises(InvalidBundle, match=r"no appspec\.yml"):
            read_archive(path, "tgz")
    else:
        bundle = read_archive(path, "tgz")
        assert [m.path for m in bundle.listing.members] == expected
        assert bundle.appspec == APPSPEC


LINKS_OUT = {
    "absolute": ([link("storage", "/var/shared")], ["storage"]),
    "climbing": ([link("app/l", "../../etc")], ["app/l"]),
    "through another link": ([link("s", "."), link("t", "s/../x")], ["t"]),
    "through one that leaves": ([link("a", "/opt"), link("b", "a/tool")], ["a", "b"]),
    "a circle": ([link("s", "t"), link("t", "s")], []),
    "inside": ([link("s", "app/x"), member("app/x", b"x"), link("app/y", "../s")], []),
    "to nothing, inside": ([link("s", "gone")], []),
}


@pytest.mark.parametrize("case", LINKS_OUT)
def test_links_that_lead_out_are_let_pass_and_told(case: str, tmp_path: Path) -> None:
    members, told = LINKS_OUT[case]
    listing = read_archive(tar(tmp_path / "b.tgz", *members), "tgz").listing
    assert [member.path for member in listing.links_out] == told
    assert all(listing.find(path) is None for path in told)


def test_links_in_a_circle_are_not_taken_for_links_that_lead_out(tmp_path: Path) -> None:
    links = [link("s", "t"), link("t", "s"), link("d", "gone"), link("app/up", "..")]
    listing = read_archive(tar(tmp_path / "b.tgz", member("app/x", b"x"), *links), "tgz").listing
    assert [member.path for member in listing.links_in_circles] == ["s", "t"]
    assert listing.find("s") is None
    assert listing.find_link("s") and listing.find_link("d") and not listing.find_link("gone")


def test_a_link_out_of_a_zip_and_one_out_of_a_surrounding_directory(tmp_path: Path) -> None:
    path = zipped(tmp_path / "b.zip", ("l", 0o120777, b"/etc/passwd"))
    assert [member.target for member in read_archive(path, "zip").listing.links_out] == ["/etc/passwd"]
    path = tar(tmp_path / "b.tgz", member("top/appspec.yml", APPSPEC), link("top/l", "../top/appspec.yml"), appspec="")
    assert [member.path for member in read_archive(path, "tgz").listing.links_out] == ["l"]


def test_an_appspec_that_is_a_link_out_of_the_bundle_is_none(tmp_path: Path) -> None:
    path = tar(tmp_path / "b.tgz", link("appspec.yml", "/etc/appspec.yml"), appspec="")
    with pytest.raises(InvalidBundle, match=r"no appspec\.yml"):
        read_archive(path, "tgz")


@pytest.mark.parametrize("bit", [0o4755, 0o2755, 0o6755])
def test_setuid_and_setgid_bits_are_cleared_and_told(bit: int, tmp_path: Path) -> None:
    found = read_archive(tar(tmp_path / "b.tgz", member("su", b"x", mode=bit)), "tgz").listing.by_path["su"]
    assert (found.mode, found.marks) == ("0755", ("setid",))
    found = read_archive(zipped(tmp_path / "b.zip", ("su", 0o100000 | bit, b"x")), "zip").listing.by_path["su"]
    assert (found.mode, found.marks) == ("0755", ("setid",))


def test_the_error_for_a_missing_appspec_says_what_there_is(tmp_path: Path) -> None:
    path = tar(tmp_path / "b.tgz", member("x", b""), member("deploy/appspec.yml", APPSPEC), appspec="")
    with pytest.raises(InvalidBundle) as caught:
        read_archive(path, "tgz")
    assert "There is deploy/appspec.yml: it must lie at the top of the bundle" in str(caught.value)


def test_a_directory_is_read_by_the_same_rules(tmp_path: Path) -> None:
    root = tmp_path / "app"
    (root / ".git").mkdir(parents=True)
    (root / "appspec.yml").write_bytes(APPSPEC)
    (root / "d").mkdir()
    (root / "d" / "x").write_text("x")
    bundle: Bundle = read_directory(root)
    assert [m.path for m in bundle.listing.members] == ["appspec.yml", "d", "d/x"]
    os.mkfifo(root / "p")
    with pytest.raises(InvalidBundle, match="'p'"):
        read_directory(root)
    (root / "p").unlink()
    (root / "l").symlink_to("/etc")
    assert [m.path for m in read_directory(root).listing.links_out] == ["l"]


def test_a_file_that_cannot_be_read_is_not_the_bundles_fault(tmp_path: Path) -> None:
    with pytest.raises(OurFault):
        read_archive(tmp_path / "absent.tgz", "tgz")


MISNAMED = {
    "an ending too many": (["appspec.yml.txt", "._appspec.yml"], "There is appspec.yml.txt: call it appspec.yml"),
    "what macOS keeps": (["._appspec.yml", "x"], "._appspec.yml is what macOS keeps beside a file, not the AppSpec"),
    "deeper, and macOS": (["._appspec.yml", "a/b/appspec.yml"], "There is a/b/appspec.yml: it must lie at the top"),
    "nothing like it": (["x"], "It must be called appspec.yml and lie at the top"),
}


@pytest.mark.parametrize("case", MISNAMED)
def test_the_file_that_was_meant_as_the_appspec_is_named(case: str, tmp_path: Path) -> None:
    names, hint = MISNAMED[case]
    for name in names:
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_text("x")
    with pytest.raises(InvalidBundle) as caught:
        read_directory(tmp_path / "d")
    assert caught.value.hint.startswith(hint)


def test_a_thousand_nested_directories_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
    monkeypatch.undo()
    assert len(read_directory(tmp_path).listing.members) == 1101
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # pytest's own clean-up is recursive
