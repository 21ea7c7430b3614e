"""The hosts' public keys, as the catalogue has them, and the invitations that are traded for them."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from towline.agents.sign_in import key_id_of, new_token, token_hash
from towline.catalogue.repository import Catalogue, CatalogueConflict, of_kind
from towline.errors import AuthenticationRefused, Conflict, HostRefused
from towline.model.catalogue.records import Change, Record
from towline.model.fleet.agent_records import AgentKey, AgentRecord, InviteRecord

KEPT_SECONDS = 600.0
"""How long keys are believed without a read: an idle poll must cost Temporal nothing, and gets nothing either."""
BUSY_SECONDS = 10.0
"""How long they are believed of a host that is at work."""
UNKNOWN_SECONDS = 1.0
"""How often an unknown key makes the catalogue be read."""
INVITE_SECONDS = 24 * 3600.0
ATTEMPTS = 5


class AgentKeys:
    """Reads and writes the records of agents. Every method that awaits raises TemporalUnavailable."""

    def __init__(self, catalogue: Catalogue, *, clock: Callable[[], float] = time.time) -> None:
        self._catalogue, self._clock = catalogue, clock
        self._known: dict[str, AgentRecord] = {}
        self._read_at = 0.0

    # ── sign-in ──

    async def public_key(self, name: str, key_id: str, *, is_busy: bool = False) -> bytes:
        """Return the key of this id that a host may sign with. Raises AuthenticationRefused: unknown, revoked."""
        found = self._find(name, key_id)
        age = self._clock() - self._read_at
        if age > (BUSY_SECONDS if is_busy else KEPT_SECONDS) or (found is None and age > UNKNOWN_SECONDS):
            await self.read()
            found = self._find(name, key_id)
        if found is None:
            raise self._refusal(name)
        return base64.b64decode(found.public_key)

    async def check_known(self, name: str) -> None:
        """Read the catalogue. Raises HostRefused for a host without a key: it was never invited, or is revoked."""
        await self.read()
        if name not in self._known or not self._known[name].keys:
            refusal = self._refusal(name)
            raise HostRefused(refusal.message, refusal.hint, code=refusal.code)

    async def read(self) -> None:
        """Bring the copy of the keys up to date."""
        self._known = await self.records()
        self._read_at = self._clock()

    async def records(self) -> dict[str, AgentRecord]:
        """Return what is known of all agents, by the instance's name."""
        return of_kind(await self._catalogue.read_all("agent"), "agent", AgentRecord.model_validate)

    def _find(self, name: str, key_id: str) -> AgentKey | None:
        record = self._known.get(name)
        return next((key for key in record.keys if key.key_id == key_id), None) if record else None

    def _refusal(self, name: str) -> AuthenticationRefused:
        record = self._known.get(name)
        invite = f"Invite it: towline agent invite {name} --endpoint URL"
        if record is None:
            return AuthenticationRefused(f"{name} has no agent: no key of it is known", invite, code="AgentUnknown")
        if not record.keys:
            when = f"at {record.revoked_at} by {record.revoked_by}"
            return AuthenticationRefused(f"the agent of {name} was revoked {when}", invite, code="AgentRevoked")
        return AuthenticationRefused(f"{name} signs with a key that is not its own", invite, code="AgentUnknown")

    # ── invitations ──

    async def invite(self, names: Iterable[str], *, by: str = "", seconds: float = INVITE_SECONDS) -> dict[str, str]:
        """Make invitations that replace earlier ones; return the tokens by name. They are kept nowhere."""
        tokens = {name: new_token() for name in names}
        expires = self._clock() + seconds
        for _ in range(ATTEMPTS):
            found = await self._catalogue.read(f"invite/{name}" for name in tokens)
            changes = []
            for name, token in tokens.items():
                record = InviteRecord(
                    instance_name=name, token_hash=token_hash(token), expires_at=expires, invited_by=by
                )
                changes.append(_change(f"invite/{name}", found.get(f"invite/{name}"), record))
            try:
                await self._catalogue.write(changes)
            except CatalogueConflict:
                continue
            return tokens
        raise Conflict("the same instances are being invited by another command", "Try again.")

    async def enroll(self, name: str, token: str, public_key: bytes) -> AgentRecord:
        """Trade an invitation for a key, in one versioned update: used up and stored, or neither.

        The same key again is no error: the answer may have been lost. Raises AuthenticationRefused.
        """
        key_id = key_id_of(public_key)
        for _ in range(ATTEMPTS):
            found = await self._catalogue.read([f"invite/{name}", f"agent/{name}"])
            invite = self._checked_invite(name, token, key_id, found.get(f"invite/{name}"))
            record = AgentRecord(instance_name=name, keys=(self._key(public_key),))
            if invite.used_by == key_id:
                return record
            used = invite.model_copy(update={"used_by": key_id, "used_at": self._now()})
            changes = [
                _change(f"invite/{name}", found.get(f"invite/{name}"), used),
                _change(f"agent/{name}", found.get(f"agent/{name}"), record),
            ]
            try:
                await self._catalogue.write(changes)
            except CatalogueConflict:
                continue
            return record
        raise Conflict(f"the agent of {name} is being changed by others", "Try again.")

    def _checked_invite(self, name: str, token: str, key_id: str, found: Record | None) -> InviteRecord:
        invite = InviteRecord.model_validate(found.value) if found else None
        if invite is None or not hmac.compare_digest(invite.token_hash, token_hash(token)):
            raise _not_invited(name, "the invitation is not known", "InviteUnknown")
        if invite.used_by and invite.used_by != key_id:
            raise _not_invited(name, f"the invitation was used at {invite.used_at}", "InviteUsed")
        if invite.expires_at < self._clock():
            raise _not_invited(name, f"the invitation expired at {_iso(invite.expires_at)}", "InviteExpired")
        return invite

    # ── keys ──

    async def rotate(self, name: str, key_id: str, public_key: bytes) -> None:
        """Add a host's next key beside the one that it signs with; others go. Idempotent."""
        new = self._key(public_key)

        def rotated(record: AgentRecord) -> AgentRecord:
            kept = tuple(key for key in record.keys if key.key_id == key_id and key.key_id != new.key_id)
            return record.model_copy(update={"keys": (new, *kept)})

        await self._change(name, rotated)
        await self.read()

    async def settle(self, name: str, key_id: str) -> None:
        """The host signs with this key: the others go."""

        def settled(record: AgentRecord) -> AgentRecord:
            return record.model_copy(update={"keys": tuple(key for key in record.keys if key.key_id == key_id)})

        await self._change(name, settled)
        await self.read()

    async def revoke(self, name: str, *, by: str = "") -> None:
        """Take a host's keys. Raises HostRefused where it has none."""
        await self.check_known(name)
        revoked = {"keys": (), "revoked_at": self._now(), "revoked_by": by}
        await self._change(name, lambda record: record.model_copy(update=revoked))

    async def _change(self, name: str, change: Callable[[AgentRecord], AgentRecord]) -> None:
        for _ in range(ATTEMPTS):
            found = (await self._catalogue.read([f"agent/{name}"])).get(f"agent/{name}")
            if found is None:
                raise self._refusal(name)
            try:
                await self._catalogue.write(
                    [_change(found.key, found, change(AgentRecord.model_validate(found.value)))]
                )
            except CatalogueConflict:
                continue
            return
        raise Conflict(f"the agent of {name} is being changed by others", "Try again.")

    def _key(self, public_key: bytes) -> AgentKey:
        return AgentKey(
            key_id=key_id_of(public_key), public_key=base64.b64encode(public_key).decode(), since=self._now()
        )

    def _now(self) -> str:
        return _iso(self._clock())


def public_key_of(text: str) -> bytes:
    """The 32 bytes of a public key. Raises AuthenticationRefused for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 32:
        raise AuthenticationRefused("that is no Ed25519 public key", code="WrongKey")
    return data


def _change(key: str, found: Record | None, record: AgentRecord | InviteRecord) -> Change:
    value = record.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return Change(key=key, version=found.version if found else None, value=value)


def _not_invited(name: str, why: str, code: str) -> AuthenticationRefused:
    return AuthenticationRefused(f"{name}: {why}", f"Make a new one: towline agent invite {name}", code=code)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
