"""The pages of the estimators: every example runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "estimators"
PAGES = sorted(FOLDER.glob("*.md"))
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for example in EXAMPLE.finditer(text := page.read_text(encoding="utf-8")):
        line = text.count("\n", 0, example.start(1))
        code = compile("\n" * line + example.group(1), str(page), "exec")  # a traceback names the page's own lines
        exec(code, {"__name__": "__main__"})
