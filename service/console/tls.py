"""TLS of the browser view, from PEM files of its operator."""

from __future__ import annotations

import ssl

from teleopd.service.console.access import Access
from teleopd.service.console.errors import CertificateRefused


def server_context(access: Access) -> ssl.SSLContext | None:
    """What the gateway listens with; None: without TLS.

    Raises:
        CertificateRefused: the files do not hold a certificate and its key.
    """
    if access.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(access.certificate, access.private_key)
    except (OSError, ssl.SSLError) as error:
        raise CertificateRefused(access.certificate, access.private_key, error) from None
    return context
