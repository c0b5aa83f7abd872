"""The pages of the estimators: every example runs as it stands, and every parameter of every estimator has its line."""

import inspect
import re
from pathlib import Path

import pytest

import muskox.learn
from muskox.learn import Estimator

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "estimators"
PAGES = sorted(FOLDER.glob("*.md"))
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([\w-]+\.md)\)")
SPAN = re.compile(r"`([^`\n]+)`")


def public_estimators() -> list[type]:
    """The estimators that muskox.learn exports, but the base of all."""
    found = [getattr(muskox.learn, name) for name in muskox.learn.__all__]
    return [each for each in found if inspect.isclass(each) and issubclass(each, Estimator) and each is not Estimator]


def with_pages_that_it_names(text: str) -> str:
    """A page, and after it those that it points to: its estimators may share their parameters."""
    return text + "".join((FOLDER / name).read_text(encoding="utf-8") for name in set(LINK.findall(text)) - {"README.md"})


def lacking(estimator: type, text: str) -> list[str]:
    """The parameters of `estimator` that `text` does not name in a piece of code within a line."""
    told = {word for span in SPAN.findall(text) for word in re.findall(r"\w+", span)}
    return [name for name in inspect.signature(estimator).parameters if name not in told]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for example in EXAMPLE.finditer(text := page.read_text(encoding="utf-8")):
        line = text.count("\n", 0, example.start(1))
        code = compile("\n" * line + example.group(1), str(page), "exec")  # a traceback names the page's own lines
        exec(code, {"__name__": "__main__"})


@pytest.mark.parametrize("estimator", public_estimators(), ids=lambda estimator: estimator.__name__)
def test_an_estimator_has_a_page_that_lists_its_parameters(estimator: type) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in PAGES if page.name != "README.md"}
    naming = {name: text for name, text in pages.items() if re.search(rf"\b{estimator.__name__}\b", text)}
    missing = {name: lacking(estimator, with_pages_that_it_names(text)) for name, text in naming.items()}
    assert missing, f"no page of docs/estimators names {estimator.__name__}"
    assert [] in missing.values(), f"the pages that name {estimator.__name__} lack these parameters: {missing}"


@pytest.mark.parametrize("estimator", public_estimators(), ids=lambda estimator: estimator.__name__)
def test_the_table_of_all_estimators_lists_each_with_its_page(estimator: type) -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("|") and f"`{estimator.__name__}`" in line]
    assert len(rows) == 1, f"docs/estimators/README.md has {len(rows)} rows with `{estimator.__name__}`"
    page = LINK.search(rows[0])
    assert page is not None, "a row names the page"
    assert estimator.__name__ in (FOLDER / page[1]).read_text(encoding="utf-8")
