"""Reads SSH settings from the catalogue at each connect, so that a corrected towline.yaml takes effect at once."""

from __future__ import annotations

import asyncio
import logging

from towline.catalogue.repository import Catalogue, of_kind
from towline.errors import TowlineError
from towline.model.fleet.current import current_ssh
from towline.model.fleet.instance import SshSettings, Target
from towline.model.fleet.targets import NamedSshSettings

READ_SECONDS = 5.0
"""A catalogue that does not answer for so long keeps no worker from a host: the frozen settings are used."""

log = logging.getLogger("towline.worker")


class CurrentSettings:
    """Reads the catalogue; connects that begin together share one read."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def of(self, target: Target) -> SshSettings:
        """Returns a target's current settings, or the frozen ones if the catalogue cannot be read. Never raises."""
        frozen = target.ssh or SshSettings()
        if not target.source:  # frozen by an older version
            return frozen
        try:
            async with asyncio.timeout(READ_SECONDS):
                read = self._catalogue.read([target.source]), self._catalogue.read_all("ssh")
                sources, ssh = await asyncio.gather(*read)
        except (TowlineError, TimeoutError) as error:
            log.warning("%s: its SSH settings are those of the deployment's start: %s", target.name, error)
            return frozen
        named = of_kind(ssh, "ssh", NamedSshSettings.model_validate)
        source = sources.get(target.source)
        return current_ssh(target, source.value if source else None, named)
