"""Archives are checked again where they are unpacked: a hostile one ends the deployment, nothing is left outside."""

from __future__ import annotations

import bz2
import gzip
import http.server
import io
import json
import os
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.local_host import LocalHost, plan_of, revision_of, tar_of
from towline.host.runner.unpacking import MEANT, unpack

Member = tuple[str, dict[str, Any], bytes]


def tar_with(*members: Member) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, fields, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in fields.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(data))
    return raw.getvalue()


def zip_with(name: str, mode: int, data: bytes) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = mode << 16
        archive.writestr(info, data)
    return raw.getvalue()


HOSTILE: dict[str, Callable[[str], bytes]] = {
    "absolute": lambda out: tar_with((f"{out}/x", {}, b"x")),
    "dot-dot": lambda out: tar_with(("a/../../../../../../x", {}, b"x")),
    "through a link": lambda out: tar_with(("l", {"type": tarfile.SYMTYPE, "linkname": out}, b""), ("l/x", {}, b"x")),
    "hard link outside": lambda out: tar_with(("h", {"type": tarfile.LNKTYPE, "linkname": f"{out}/secret"}, b"")),
    "hard link through a link": lambda out: tar_with(
        ("l", {"type": tarfile.SYMTYPE, "linkname": out}, b""),
        ("h", {"type": tarfile.LNKTYPE, "linkname": "l/secret"}, b""),
    ),
    "device": lambda out: tar_with(("d", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b"")),
    "fifo": lambda out: tar_with(("f", {"type": tarfile.FIFOTYPE}, b"")),
    "bomb": lambda out: tar_with(("zeros", {}, bytes(3_000_000))),
    "many": lambda out: tar_with(*((f"{number}", {}, b"") for number in range(200))),
    "torn": lambda out: tar_of({"a": "a" * 100_000, "b": "b"})[:-300],
    "zip dot-dot": lambda out: zip_with("../../../../x", 0o100644, b"x"),
    "zip device": lambda out: zip_with("d", 0o020644, b""),
}


# What the runner reads by itself and what it leaves to tarfile must come out the same.
KINDS: dict[str, Callable[[], bytes]] = {
    "GNU, long names": lambda: tar_as(tarfile.GNU_FORMAT, "d/" * 60 + "f"),
    "POSIX, long names": lambda: tar_as(tarfile.PAX_FORMAT, "d/" * 150 + "f"),
    "POSIX, a prefix": lambda: tar_as(tarfile.USTAR_FORMAT, "d" * 90 + "/" + "f" * 90),
    "POSIX, fractions of a second": lambda: tar_as(tarfile.PAX_FORMAT, "f", mtime=1577836800.5),
    "GNU, a number in base 256": lambda: tar_as(tarfile.GNU_FORMAT, "f", uid=2**22),
    "names of other letters": lambda: tar_as(tarfile.GNU_FORMAT, "zoë/ß"),
    "not compressed": lambda: gzip.decompress(tar_as(tarfile.GNU_FORMAT, "a/f")),
    "two gzip members": lambda: b"".join(map(gzip.compress, halves(gzip.decompress(tar_as(tarfile.GNU_FORMAT, "f"))))),
    "bzip2": lambda: bz2.compress(gzip.decompress(tar_as(tarfile.GNU_FORMAT, "a/f"))),
    "no end": lambda: gzip.compress(without_end(gzip.decompress(tar_as(tarfile.GNU_FORMAT, "a/f")))),
}


def tar_as(kind: int, name: str, **fields: Any) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", format=kind) as tar:
        for member, more, data in (
            ("plain", {"mode": 0o640}, b"first"),
            (name, {"mode": 0o750, **fields}, bytes(range(256)) * 700),
            ("dir/", {"type": tarfile.DIRTYPE, "mode": 0o711}, b""),
            ("link", {"type": tarfile.SYMTYPE, "linkname": "plain"}, b""),
            ("other", {"type": tarfile.LNKTYPE, "linkname": "plain", "mode": 0o640}, b""),
        ):
            info = tarfile.TarInfo(member)
            info.size, info.mtime = len(data), 1577836800
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def halves(data: bytes) -> tuple[bytes, bytes]:
    return data[:700], data[700:]


def without_end(data: bytes) -> bytes:
    """Cut behind the last member."""
    while data.endswith(bytes(512)):
        data = data[:-512]
    return data


def looks(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Mode, owner, time and content of everything below."""
    found = {}
    for path in folder.rglob("*"):
        info = path.lstat()
        content = bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        time = 0 if path.is_symlink() else int(info.st_mtime)
        found[str(path.relative_to(folder))] = info.st_mode, info.st_uid, time, content
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_tar_comes_out_as_tarfile_reads_it(host: LocalHost, tmp_path: Path, kind: str) -> None:
    archive = KINDS[kind]()
    host.deploy("d-1", archive, plan_of())
    expected = tmp_path / "expected"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(expected)
    found = looks(host.deployment("d-1") / "deployment-archive")
    assert set(found) == set(looks(expected))
    made = {"/".join(name.split("/")[:n]) for name in found for n in range(1, name.count("/") + 1)}  # without a member
    assert {k: v for k, v in found.items() if k not in made} == {
        k: (v[0], 0, *v[2:]) for k, v in looks(expected).items() if k not in made
    }, "as tarfile, but all of it is root's until Install"


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_fails_at_download_bundle(host: LocalHost, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "secret").write_text("secret")
    archive = HOSTILE[kind](str(out))
    revision = revision_of(archive, "zip" if kind.startswith("zip") else "tgz")
    limits = {"unpacked_bytes": 1_000_000, "members": 100}
    call = host.deploy("d-1", archive, plan_of({"/": "/srv"}), revision=revision, limits=limits)
    end = call.events[-1]
    assert (end["outcome"], end["failed_event"], end["error_code"]) == ("failed", "DownloadBundle", 5), end
    assert not host.path("/srv").exists()
    assert [path.name for path in out.iterdir()] == ["secret"]
    assert not (tmp_path / "x").exists() and not (host.root / "x").exists()


def test_a_link_that_nothing_follows_is_taken_as_it_is(host: LocalHost) -> None:
    archive = tar_with(
        ("app/a.txt", {}, b"a"), ("app/current", {"type": tarfile.SYMTYPE, "linkname": "/opt/elsewhere"}, b"")
    )
    host.deploy("d-1", archive, plan_of({"app": "/srv"}))
    assert host.path("/srv/current").readlink() == Path("/opt/elsewhere")


def test_a_link_out_to_a_directory_is_refused_before_anything_is_changed(host: LocalHost, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "secret").write_text("secret")
    host.deploy("d-1", tar_of({"app/old.txt": "old"}), plan_of({"app": "/srv"}))
    archive = tar_with(
        ("app/a.txt", {}, b"a"), ("app/storage", {"type": tarfile.SYMTYPE, "linkname": str(shared)}, b"")
    )
    end = host.deploy("d-2", archive, plan_of({"app": "/srv"})).events[-1]
    assert (end["outcome"], end["failed_event"]) == ("failed", "Install"), end
    assert "outside of the archive" in end["message"]
    assert sorted(path.name for path in host.path("/srv").iterdir()) == ["old.txt"]


def test_a_link_out_to_a_file_is_made_as_a_link_and_its_target_stays_as_it_is(host: LocalHost, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("tool")
    tool.chmod(0o640)
    archive = tar_with(("app/tool", {"type": tarfile.SYMTYPE, "linkname": str(tool)}, b""))
    host.deploy("d-1", archive, plan_of({"app": "/srv", "app/tool": "/opt"}))
    assert [host.path(path).readlink() for path in ("/srv/tool", "/opt/tool")] == [tool, tool]
    host.deploy("d-2", tar_of({"app/b.txt": "b"}), plan_of({"app": "/srv"}))
    assert not host.path("/srv/tool").is_symlink()
    assert (tool.read_text(), tool.stat().st_mode & 0o7777) == ("tool", 0o640)


def test_set_id_bits_are_cleared_with_a_warning(host: LocalHost) -> None:
    archive = tar_of({"app/run": "x"}, {"app/run": 0o6755})
    call = host.deploy("d-1", archive, plan_of({"app": "/srv"}))
    assert host.path("/srv/run").stat().st_mode & 0o7777 == 0o755
    assert "set-user-id" in call.kinds("warning")[0]["message"]


def test_another_archive_than_the_revision_s_is_never_taken(host: LocalHost) -> None:
    right, wrong = tar_of({"a": "right"}), tar_of({"a": "wrong"})
    revision = {**revision_of(right), "size": len(wrong)}
    with host.call("deploy", "d-1", right, plan=plan_of({"a": "/srv"}), revision=revision) as call:
        end = call.finish(wrong)
    assert (end["kind"], end["code"]) == ("refused", "WrongArchive") and "SHA-256" in end["message"]
    assert not host.deployment("d-1").exists()


def test_an_archive_of_another_size_is_not_even_sent(host: LocalHost) -> None:
    archive = tar_of({"a": "a"})
    with host.call("deploy", "d-1", archive, plan=plan_of()) as call:
        assert call.finish(archive + b"more")["code"] == "WrongArchive"


@pytest.fixture
def web() -> Iterator[dict[str, Any]]:
    """A server for one archive; `answers` are the statuses to give, then 200; `kind` is how the body comes."""
    state: dict[str, Any] = {"archive": b"", "answers": [], "asked": [], "kind": "plain"}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            state["asked"].append(self.path)
            status = state["answers"].pop(0) if state["answers"] else 200
            body, kind = state["archive"] if status == 200 else b"", state["kind"]
            if kind == "redirect" and "moved" not in self.path:
                self.send_response(307)
                self.send_header("Location", "/moved?" + self.path.partition("?")[2])
                self.end_headers()
                return
            self.send_response(status)
            if kind == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            elif kind != "no length":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state["url"] = f"http://127.0.0.1:{server.server_address[1]}/bundle?signature=secret"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


ARCHIVE = tar_of({"a.txt": "a"})


def test_a_host_fetches_by_url_and_never_writes_it_down(host: LocalHost, web: dict[str, Any]) -> None:
    web["archive"] = ARCHIVE
    call = host.deploy("d-1", ARCHIVE, plan_of({"a.txt": "/srv"}), url=web["url"])
    assert call.events[-1]["outcome"] == "succeeded" and not call.kinds("need")
    files = [path for path in host.root.rglob("*") if path.is_file()]
    assert len(files) > 4 and not [path for path in files if b"signature" in path.read_bytes()]


def test_an_expired_url_is_asked_for_anew(host: LocalHost, web: dict[str, Any]) -> None:
    web.update(archive=ARCHIVE, answers=[403])
    with host.call("deploy", "d-1", ARCHIVE, plan=plan_of(), url=web["url"]) as call:
        assert call.until("need")["what"] == "url"
        call.say({"reply": "url", "url": web["url"] + "&new"})
        assert call.finish()["outcome"] == "succeeded"
    assert web["asked"][-1].endswith("&new")


@pytest.mark.parametrize("trouble", ["error", "other archive", "nobody there"])
def test_what_the_url_does_not_give_comes_through_the_connection(
    host: LocalHost, web: dict[str, Any], trouble: str
) -> None:
    web.update(archive=ARCHIVE if trouble == "error" else b"other", answers=[500] if trouble == "error" else [])
    url = "http://127.0.0.1:9/bundle?signature=secret" if trouble == "nobody there" else web["url"]
    call = host.deploy("d-1", ARCHIVE, plan_of({"a.txt": "/srv"}), url=url)
    need = call.kinds("need")[0]
    assert need["what"] == "archive" and need["reason"] and "signature" not in need["reason"]
    assert host.path("/srv/a.txt").exists()


def test_an_archive_that_is_here_already_is_not_fetched(host: LocalHost) -> None:
    host.deploy("d-1", ARCHIVE, plan_of())
    again = host.deploy("d-2", ARCHIVE, plan_of({"a.txt": "/srv"}))
    assert not again.kinds("need") and again.events[-1]["outcome"] == "succeeded"


def test_an_archive_that_cannot_be_had_leaves_the_host_as_it_is(host: LocalHost) -> None:
    with host.call("deploy", "d-1", ARCHIVE, plan=plan_of()) as call:
        assert call.finish(None)["code"] == "NotInThisTest"
    assert not host.state("journals/d-1.jsonl").exists()
    assert not host.deployment("d-1").exists()


@pytest.mark.parametrize("kind", ["chunked", "redirect", "no length"])
def test_what_is_not_plain_http_is_fetched_as_well(host: LocalHost, web: dict[str, Any], kind: str) -> None:
    """Such answers are for urllib: S3 behind a proxy of one's own may give them."""
    web.update(archive=ARCHIVE, kind=kind)
    call = host.deploy("d-1", ARCHIVE, plan_of({"a.txt": "/srv"}), url=web["url"])
    assert call.events[-1]["outcome"] == "succeeded" and not call.kinds("need")


def self_signed(folder: Path) -> Path:
    """A certificate of localhost with its key in one file, vouched for by nobody."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(pem))
    return path


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_server_of_https_is_checked(host: LocalHost, tmp_path: Path, is_trusted: bool) -> None:
    certificate = self_signed(tmp_path)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(ARCHIVE)))
            self.end_headers()
            self.wfile.write(ARCHIVE)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """The host hangs up, as it should."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    host.env = {"PATH": "/usr/bin:/bin", **({"SSL_CERT_FILE": str(certificate)} if is_trusted else {})}
    try:
        url = f"https://localhost:{server.server_address[1]}/bundle?signature=secret"
        call = host.deploy("d-1", ARCHIVE, plan_of({"a.txt": "/srv"}), url=url)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert call.events[-1]["outcome"] == "succeeded"
    assert ["certificate" in need["reason"].lower() for need in call.kinds("need")] == ([] if is_trusted else [True])


def test_an_archive_that_unpacks_to_what_was_counted_is_taken(host: LocalHost) -> None:
    archive = tar_of({"a": "x" * 100, "b": "y" * 2000})
    revision = {**revision_of(archive), "unpacked_bytes": 10240}
    end = host.deploy("d-1", archive, plan_of({"a": "/srv"}), revision=revision).events[-1]
    assert end["outcome"] == "succeeded", end


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owners_are_written_beside_an_archive_only_where_install_needs_them(tmp_path: Path) -> None:
    bundle, target = tmp_path / "bundle.tgz", tmp_path / "archive"
    owners = Path(f"{target}{MEANT}")
    bundle.write_bytes(tar_of({"shared": "x", "plain": "x"}, modes={"shared": 0o666}))
    assert unpack(str(bundle), "tgz", str(target), {}) == []
    assert list(json.loads(owners.read_text())) == ["shared"]
    bundle.write_bytes(tar_of({"shared": "x", "plain": "x"}))
    assert unpack(str(bundle), "tgz", str(target), {}) == []
    assert not owners.exists()
