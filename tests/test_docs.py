"""The documentation: what is generated is current, and the site builds with every warning an error."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.checkout


def test_what_docs_take_from_the_code_is_current():
    files = runpy.run_path(str(ROOT / "docs" / "make_generated.py"))["files"]()
    assert set(files) == {
        "configuration.md", "policies.md", "telemetry.md", "telemetry.schema.json", "grafana_dashboard.json"
    }
    for name, text in files.items():
        assert (ROOT / "docs" / name).read_text() == text, f"docs/{name} is old: make docs-generated"


@pytest.mark.long  # CI builds the site by itself
def test_the_site_builds_without_a_warning(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = [path.relative_to(tmp_path / "site") for path in (tmp_path / "site").rglob("index.html")]
    assert len(pages) > 15
    for page in pages:
        html = (tmp_path / "site" / page).read_text()
        assert "fonts.googleapis.com" not in html and "cdn." not in html, f"{page} loads something from elsewhere"
