"""What the catalogue keeps of towline's agents: `agent/NAME` the keys of a host, `invite/NAME` its invitation."""

from __future__ import annotations

from towline.model.base import ApiShape


class AgentKey(ApiShape):
    """A public key of a host, base64; `since` ISO 8601."""

    key_id: str
    public_key: str
    since: str = ""


class AgentRecord(ApiShape):
    """The keys that a host may sign with: one, or two while it is rotated. None: revoked."""

    instance_name: str
    keys: tuple[AgentKey, ...] = ()
    revoked_at: str = ""
    revoked_by: str = ""


class InviteRecord(ApiShape):
    """An invitation. The token itself is kept nowhere. `used_by`: id of the key that it was traded for."""

    instance_name: str
    token_hash: str
    expires_at: float
    invited_by: str = ""
    used_by: str = ""
    used_at: str = ""
