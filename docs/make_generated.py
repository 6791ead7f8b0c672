"""Writes what the documentation takes from the code: run `make docs-generated` after a change; tests compare."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from teleopd.launch import config
from teleopd.service.qualification.criteria import criteria_markdown
from teleopd.service.telemetry.grafana import dashboard
from teleopd.service.telemetry.messages import json_schema
from teleopd.service.telemetry.metric_words import WORDS

DOCS = Path(__file__).resolve().parent
CONFIGURATION = """\
# Configuration

Keys of a run file, `teleop serve --config run.toml`. Flags have the same names (`--metrics-port` for `metrics_port`)
and override the environment (`TELEOPD_METRICS_PORT`), which overrides the file, which overrides the default. An unknown
key is refused, naming the nearest known one. Tables, and what an operator decides anew for each run (`unqualified`,
`release_controller`), are not taken from the environment. Safety limits may only be tightened: `[safety]`, names by
`teleop failsafe --limits`.

This page is generated from the code: `make docs-generated`.
"""
BEGIN, END = "<!-- generated: {} -->", "<!-- end of generated -->"


def metric_table() -> str:
    """Every metric and what it means."""
    rows = [f"| `{name.replace('*', '<...>')}` | {words} |" for name, words in WORDS.items()]
    return "\n".join(["| metric | meaning |", "|---|---|", *rows])


def configuration() -> str:
    """Every key of a run file, from the fields and docstrings of the code."""
    tree = ast.parse(Path(config.__file__).read_text())
    parts = [CONFIGURATION]
    for name, table in (("RunConfig", ""), ("ComplianceConfig", "[compliance]")):
        node = next(found for found in tree.body if isinstance(found, ast.ClassDef) and found.name == name)
        if table:
            parts.append(f"\n## Table `{table}`\n")
        parts += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for field, following in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                said = following.value if isinstance(following, ast.Expr) else None
                words = str(said.value) if isinstance(said, ast.Constant) else ""
                parts.append(_row(field.target.id, ast.unparse(field.annotation), _default(field.value), words))
    return "\n".join(parts) + "\n"


def _default(value: ast.expr | None) -> str:
    if value is None or isinstance(value, ast.Call | ast.Dict | ast.List | ast.Tuple):
        return ""
    return f"`{ast.unparse(value)}`".replace("`''`", "")


def _row(key: str, kind: str, default: str, words: str) -> str:
    cells = (f"`{key}`", f"`{kind}`", default, " ".join(words.split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def between(text: str, name: str, body: str) -> str:
    """`text` with what stands between the two marks of `name` replaced."""
    begin = BEGIN.format(name)
    head, _, rest = text.partition(begin)
    assert rest, f"the mark {begin} is absent"
    return f"{head}{begin}\n{body}\n{END}{rest.partition(END)[2]}"


def files() -> dict[str, str]:
    """File in docs/ -> its text."""
    telemetry = (DOCS / "telemetry.md").read_text()
    return {
        "telemetry.schema.json": _json(json_schema()),
        "grafana_dashboard.json": _json(dashboard()),
        "configuration.md": configuration(),
        "telemetry.md": between(telemetry, "metrics", metric_table()),
        "policies.md": between((DOCS / "policies.md").read_text(), "qualification", criteria_markdown().rstrip()),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    for name, text in files().items():
        (DOCS / name).write_text(text)
        print(f"wrote docs/{name}")
