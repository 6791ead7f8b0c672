"""Write the generated tables of `docs/SAFETY.md` from the code: `python docs/make_safety_tables.py`."""

from __future__ import annotations

from pathlib import Path

from teleopd.safety.failsafe import rows_markdown
from teleopd.safety.thresholds import thresholds_markdown

PAGE = Path(__file__).with_name("SAFETY.md")


def filled(text: str, name: str, table: str) -> str:
    """`text` with the part between the markers of that name replaced by the table."""
    begin, end = f"<!-- {name} begins -->\n", f"<!-- {name} ends -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{table}{end}{after}"


if __name__ == "__main__":
    page = PAGE.read_text()
    page = filled(page, "failsafe table", rows_markdown())
    PAGE.write_text(filled(page, "limits table", thresholds_markdown()))
