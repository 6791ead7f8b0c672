"""The fleet as a table in the terminal and as a page; both show what was heard as text and nothing more."""

from __future__ import annotations

import html
import threading
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rich import box
from rich.table import Table
from rich.text import Text

from teleopd.service.telemetry.fleet import Row

HEADINGS = ("robot", "connection", "mode", "operator", "source", "battery", "alarms", "heard")
MODE_STYLE = {
    "IDLE": "cyan", "READY": "cyan", "ARMED": "yellow", "ACTIVE": "bold green", "HOLD": "bold yellow",
    "RETURN": "bold magenta", "DAMPED": "bold red",
}  # fmt: skip
CONNECTION_STYLE = {"ONLINE": "green", "OFFLINE": "dim"}
LOW_BATTERY = 20.0
"""[%]"""


def cells(row: Row) -> tuple[str, ...]:
    """One robot as words, in the order of `HEADINGS`; control characters, which a terminal obeys, are taken out."""
    found = (
        row.serial, row.connection, row.mode, row.operator or "-", row.source,
        "-" if row.battery_percent is None else f"{row.battery_percent:.0f} %",
        row.alarms[0] + (f" (+{len(row.alarms) - 1})" if len(row.alarms) > 1 else "") if row.alarms else "",
        "kept" if row.age_s is None else f"{row.age_s:.0f} s",
    )  # fmt: skip
    return tuple("".join(c for c in text if unicodedata.category(c)[0] != "C")[:80] for text in found)


def table(rows: list[Row], title: str) -> Table:
    """For rich."""
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", expand=True)
    for heading in HEADINGS:
        shown.add_column(heading, no_wrap=True, overflow="ellipsis")
    for row in rows:
        styles = ["", CONNECTION_STYLE.get(row.connection, "bold red"), MODE_STYLE.get(row.mode, ""), "", "",
                  "red" if row.battery_percent is not None and row.battery_percent < LOW_BATTERY else "",
                  "bold red", "dim"]  # fmt: skip
        dim = row.connection != "ONLINE"
        shown.add_row(*(Text(word, style) for word, style in zip(cells(row), styles, strict=True)),
                      style="dim" if dim else "")  # fmt: skip
    return shown


def page(rows: list[Row], title: str) -> str:
    """One HTML page that loads itself anew every two seconds; every word of a robot is escaped."""
    heads = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
    body = "".join(
        f'<tr class="{html.escape(row.connection)} m-{html.escape(row.mode)}">'
        + "".join(f"<td>{html.escape(word)}</td>" for word in cells(row)) + "</tr>"
        for row in rows
    )  # fmt: skip
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
        '<meta name="viewport" content="width=device-width"><title>teleopd fleet</title><style>'
        "body{font:16px sans-serif;background:#111;color:#eee;margin:1em}table{border-collapse:collapse;width:100%}"
        "td,th{text-align:left;padding:.3em .6em;border-bottom:1px solid #333}tr:not(.ONLINE){color:#888}"
        ".m-ACTIVE td:nth-child(3){color:#4c4}.m-DAMPED td:nth-child(3){color:#f55}td:nth-child(7){color:#f55}"
        ".CONNECTIONBROKEN td:nth-child(2),.SILENT td:nth-child(2){color:#f55}</style>"
        f"<h1>{html.escape(title)}</h1><table><tr>{heads}</tr>{body}</table></html>"
    )


class Page:
    """Serves the newest page on loopback, on threads of its own. It takes nothing: GET of / and no more."""

    def __init__(self, port: int) -> None:
        """
        Raises:
            OSError: the port is taken.
        """
        self.text = page([], "fleet")
        shown = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5.0

            def do_GET(self) -> None:
                body = shown.text.encode() if self.path == "/" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
