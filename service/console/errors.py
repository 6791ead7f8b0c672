"""What seeing the run can fail with. Each message is one sentence for the user; the run itself goes on."""

from __future__ import annotations

from pathlib import Path


class ConsoleError(Exception):
    """Root of everything the console raises."""


class PortTaken(ConsoleError, OSError):
    """The view's port belongs to another program."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is in use, so the browser view cannot start; choose another with --view-port"
        )


class CertificateRefused(ConsoleError, ValueError):
    """TLS was asked for with files that do not serve."""

    def __init__(self, certificate: Path, private_key: Path | None, why: Exception) -> None:
        where = f"{certificate}" if private_key is None else f"{certificate} and {private_key}"
        super().__init__(
            f"{where}: no certificate with its private key ({why}), so the browser view cannot start; "
            "--view-certificate and --view-private-key want PEM files"
        )


class KeyEncrypted(ConsoleError, ValueError):
    """The private key needs a pass phrase, and a service that starts by itself has nobody to ask."""

    def __init__(self, key: Path) -> None:
        super().__init__(
            f"the key {key} is encrypted, so the browser view cannot start; give one without a pass phrase"
        )


class RenderUnavailable(ConsoleError, RuntimeError):
    """This machine cannot draw: says what to install."""


class NothingToDraw(ConsoleError, ValueError):
    """The run held no instant that could be drawn."""

    def __init__(self) -> None:
        super().__init__("the run held no robot pose, so there is no picture to draw; did the source send any frame?")


class NotShown(ConsoleError, ValueError):
    """An episode that cannot be shown again: says why."""
