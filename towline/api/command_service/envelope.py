"""Signs deployment specifications as AWS's agent wants them: PKCS7 in PEM, content attached, certificate inside.

Agents 1.x check neither signature nor certificate, agents 2.x the signature against the enclosed certificate: what they
trust is the TLS connection. So the key is made at each start and nothing of it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

FORMAT = "PKCS7/JSON"
_LIFE = timedelta(days=3650)


class SpecificationSigner:
    """A key and a self-signed certificate of this process."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "towline deployment specifications")])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _LIFE)
            .sign(self._key, hashes.SHA256())
        )

    def envelope(self, specification: Mapping[str, Any]) -> dict[str, str]:
        """The `GenericEnvelope` of a specification."""
        data = json.dumps(specification).encode()
        builder = PKCS7SignatureBuilder().set_data(data).add_signer(self._certificate, self._key, hashes.SHA256())
        return {"Format": FORMAT, "Payload": builder.sign(Encoding.PEM, [PKCS7Options.Binary]).decode()}
