"""Gets everything that must be on the host before the first event."""

import os
import time

from towline.host.runner.constants import ARCHIVE, BUNDLE, CHUNK, HTTP_SECONDS, KEPT_PLAN, REPLY_SECONDS, VERSION
from towline.host.runner.download import get_plainly
from towline.host.runner.errors import Disconnected, Refused, cannot_store, why
from towline.host.runner.files import read_bytes, read_json, remove, sha256_of, touch, write_all, write_json
from towline.host.runner.kept_scripts import last_revision_problem
from towline.host.runner.places import Group
from towline.host.runner.readiness import lacking
from towline.host.runner.text import as_name, as_text
from towline.host.runner.undo import (
    find_undo,
    has_archive,
    keep_bundle_of,
    nothing_to_go_back_to,
    revision_kept_in,
    succeeded_before,
)


class Preparation:
    """Everything that must be there before the first event: the archive, its plan, the plan of what runs now."""

    def __init__(self, order, host, wire):
        self.order, self.host, self.wire = order, host, wire
        self.group = Group(host, order["group"]["id"])
        self.directory = host.deployment(self.group.id, order["deployment"])

    def run(self):
        """Completes the order; raises Refused with nothing begun."""
        if self.order["do"] == "undo":
            self._undo()
        else:
            self._check_host()
            self._archive()
        if self.order.get("plan") is not None:
            self._keep_plan()
        for directory in {self.group.last_install(), self.group.most_recent()}:
            if directory and directory != self.directory and not self._is_only_nothing():
                self._plan_of(directory)
        if self.order["do"] == "deploy":
            self._refuse(filter(None, [last_revision_problem(self.host, self.order)]))

    def _check_host(self):
        """Raises Refused for what would make the deployment fail behind ApplicationStop."""
        here = os.path.exists(self.directory + "/" + BUNDLE)
        self._refuse(lacking(self.host, dict(self.order, revision=None) if here else self.order)[0])

    def _refuse(self, problems):
        """Raises Refused if there are any."""
        problems = "; ".join(problems)
        if problems:
            hint = "Nothing was begun. Mend it on the host or in the AppSpec, then deploy again."
            raise Refused("HostNotReady", problems, hint)

    def _is_only_nothing(self):
        return self.order.get("undo_kind") in ("nothing", "unknown")

    def _undo(self):
        kind, found = find_undo(self.host, self.order)
        self.order.update(undo_kind=kind, creator="codeDeployRollback", revision=None, plan=None)
        if kind in ("nothing", "unknown"):
            self.order["nothing"] = found
        elif kind == "install":
            if not has_archive(found):
                self._fetch_again(found)
                return
            self._plan_of(found)
            revision, plan, behavior = revision_kept_in(found)
            keep_bundle_of(found, self.directory)
            self.order.update(revision=revision, plan=plan, file_exists_behavior=behavior, undo_from=found)

    def _fetch_again(self, found):
        """Somebody has removed what was kept to go back to: the caller has it still, by its digest."""
        try:
            reply = self._ask("revision", what="revision", deployment=as_text(os.path.basename(found)))
        except Refused as refused:
            if refused.code in ("Stopped", "NoReply"):
                raise
            raise nothing_to_go_back_to(found, ", and it cannot be had again: " + refused.message) from None
        revision, plan = as_name(reply.get("revision")) or {}, as_name(reply.get("plan"))
        if revision.get("sha256") != succeeded_before(self.host, self.order["undo"]).get("sha256") or not isinstance(
            plan, dict
        ):
            raise nothing_to_go_back_to(found, ", and what the caller has under that id is another one")
        self.order.update(revision=revision, plan=plan, url=reply.get("url"), undo_from=found)
        self.order["file_exists_behavior"] = reply.get("file_exists_behavior")
        self._archive()

    def _keep_plan(self):
        """Beside the archive, so that the next stop, and undo, need nobody."""
        os.makedirs(self.directory, 0o755, exist_ok=True)
        kept = {"v": VERSION, "undoes": self.order.get("undo") if self.order["do"] == "undo" else None}
        for name in ("deployment", "group", "creator", "type", "revision", "plan", "file_exists_behavior"):
            kept[name] = self.order.get(name)
        write_json(self.directory + "/" + KEPT_PLAN, kept)

    def _plan_of(self, directory):
        """An archive that AWS's agent left has no plan yet: the caller compiles it from its AppSpec."""
        archive = directory + "/" + ARCHIVE
        if os.path.exists(directory + "/" + KEPT_PLAN) or not os.path.isdir(archive):
            return
        for name in ("appspec.yml", "appspec.yaml"):
            appspec = read_bytes(archive + "/" + name)
            if appspec is not None:
                need = {"what": "plan", "deployment": as_text(os.path.basename(directory))}
                reply = self._ask("plan", appspec=as_text(appspec), name=name, **need)
                kept = {"v": VERSION, "deployment": os.path.basename(directory), "plan": as_name(reply.get("plan"))}
                write_json(directory + "/" + KEPT_PLAN, dict(kept, of_aws_agent=True))
                return

    # -- the archive

    def _archive(self):
        revision = self.order.get("revision") or {}
        bundle = self.directory + "/" + BUNDLE
        if self._is_right(bundle, revision) or self._link_known(bundle, revision):
            return
        existed = os.path.isdir(self.directory)
        os.makedirs(self.directory, 0o755, exist_ok=True)
        try:
            self._fetch(bundle, revision)
        except (Refused, Disconnected):
            remove(bundle + ".part")
            if not existed:
                os.rmdir(self.directory)
            raise

    def _is_right(self, path, revision):
        size = revision.get("size")
        if not os.path.isfile(path) or (size is not None and os.path.getsize(path) != size):
            return False
        return sha256_of(path)[0] == revision["sha256"]

    def _link_known(self, bundle, revision):
        """The same archive may be here under another deployment's name."""
        base = self.host.deployments + "/" + self.group.id
        for name in os.listdir(base) if os.path.isdir(base) else ():
            known = "%s/%s" % (base, name)
            kept = read_json(known + "/" + KEPT_PLAN) or {}
            if (kept.get("revision") or {}).get("sha256") != revision["sha256"] or known == self.directory:
                continue
            if self._is_right(known + "/" + BUNDLE, revision):
                keep_bundle_of(known, self.directory)
                return True
        return False

    def _fetch(self, bundle, revision):
        """By the URL if there is one, asked for anew if it has expired, else through the connection."""
        reason = "there is no URL"
        url, renewals = self.order.get("url"), 0
        while url:
            status, reason = self._download(url, bundle, revision)
            if reason is None:
                return
            url = None
            if status in (401, 403) and renewals < 1:
                renewals += 1
                url = self._ask("url", what="url").get("url")
        reply = self._ask("archive", what="archive", reason=reason)
        if revision.get("size") is not None and reply.get("size") != revision["size"]:
            message = "the archive has %s bytes, the revision %s" % (reply.get("size"), revision["size"])
            raise Refused("WrongArchive", message)
        failed = self._store(self.wire.pieces(reply["size"]), bundle, revision)
        if failed:
            raise Refused("WrongArchive", failed)

    def _download(self, url, bundle, revision):
        """(HTTP status or 0, why it failed or None)."""
        try:
            status, answer = get_plainly(url)
            if status >= 400:
                return status, "the URL answers %d" % status
            if answer is None:
                return self._download_by_urllib(url, bundle, revision)
            with answer:
                return 0, self._store(self._pieces_of(answer), bundle, revision)
        except (OSError, ValueError) as error:  # URLError, timeouts and TLS are OSErrors; never show the URL: a secret
            reason = getattr(error, "reason", None) or (why(error) if isinstance(error, OSError) else "")
            return 0, "the URL cannot be read: %s" % as_text(str(reason or type(error).__name__))

    def _pieces_of(self, answer):
        """The body as it comes. A source may be slow: a stop ends the wait for it, and so does the caller's leaving."""
        while True:
            piece = answer.read1(CHUNK)
            if not piece:
                return
            yield piece
            if self.wire.wait(0) and "halt" in (self.wire.line(5) or {}):
                raise Refused("Stopped", "halted on request, before anything was begun")

    def _download_by_urllib(self, url, bundle, revision):
        import http.client
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(url, timeout=HTTP_SECONDS) as answer:
                return 0, self._store(self._pieces_of(answer), bundle, revision)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "the URL answers %d" % error.code
        except http.client.HTTPException as error:
            return 0, "the URL's answer breaks off: %s" % type(error).__name__

    def _store(self, pieces, bundle, revision):
        """Writes and checks; the name is given only to what is right. Returns what was wrong, or None."""
        import hashlib

        digest, size, told = hashlib.sha256(), 0, time.monotonic()
        expected = revision.get("size")
        fd = os.open(bundle + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for piece in pieces:
                size += len(piece)
                if expected is not None and size > expected:
                    return "the archive is longer than the revision's %d bytes" % expected
                digest.update(piece)
                try:
                    write_all(fd, piece)
                except OSError as error:
                    raise cannot_store("the archive", error) from None
                if time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    touch(self.host.asked(self.order["deployment"]))
                    self.wire.send({"kind": "transfer", "bytes": size, "size": expected})
        finally:
            os.close(fd)
        if expected is not None and size != expected:
            return "the archive has %d bytes, the revision %d" % (size, expected)
        if digest.hexdigest() != revision["sha256"]:
            return "the archive's SHA-256 is %s, the revision's %s" % (digest.hexdigest(), revision["sha256"])
        os.rename(bundle + ".part", bundle)
        self.wire.send({"kind": "transfer", "bytes": size, "size": size})
        return None

    def _ask(self, reply, **fields):
        """A `need`, and the caller's answer to it."""
        self.wire.send(dict(fields, kind="need"))
        ends = time.monotonic() + REPLY_SECONDS
        while True:
            answer = self.wire.line(max(0.0, ends - time.monotonic()))
            if answer is None:
                raise Refused("NoReply", "no answer to the need for: %s" % fields["what"])
            if "halt" in answer:
                raise Refused("Stopped", "halted on request, before anything was begun")
            if answer.get("reply") == "none":
                raise Refused(answer.get("code") or "NotToBeHad", answer.get("message") or "it cannot be had")
            if answer.get("reply") == reply:
                return answer
