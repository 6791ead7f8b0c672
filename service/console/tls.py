"""TLS of the browser view, from PEM files of its operator."""

from __future__ import annotations

import ssl

from teleopd.service.console.access import Access
from teleopd.service.console.errors import CertificateRefused, KeyEncrypted


def server_context(access: Access) -> ssl.SSLContext | None:
    """What the gateway listens with; None: without TLS.

    Raises:
        CertificateRefused: the files do not hold a certificate and its key.
        KeyEncrypted: nobody is asked for the key's pass phrase.
    """
    if access.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    key = access.private_key or access.certificate

    def pass_phrase() -> str:
        """Asked for an encrypted key only; OpenSSL itself would ask on the terminal."""
        raise KeyEncrypted(key)

    try:
        context.load_cert_chain(access.certificate, access.private_key, pass_phrase)
    except KeyEncrypted:
        raise
    except (OSError, ssl.SSLError, ValueError) as error:  # ValueError: a NUL character in a name
        raise CertificateRefused(access.certificate, access.private_key, error) from None
    return context
