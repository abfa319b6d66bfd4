"""Whatever comments, docstrings and pages cite is there: documents, their sections, rules by their number, files."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RULES = "docs/rules.md"
GATEWAY = "docs/gateway.md"
RULE_NUMBERS = list(range(1, 13))
FOLDERS = ("nodes", "tests", "web", "docs")
AT_THE_TOP = ("__init__.py", "noxfile.py", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
NOT_OURS = {"node_modules", "__pycache__"}

DOCUMENT = re.compile(r"[\w./-]*[\w-]\.md\b")
SECTIONS = re.compile(r'(docs/[\w-]+\.md)`?((?:(?:,| and|, and)? "[^"]+")*)')
RULE = re.compile(r"\b[Rr]ules? (\d+(?:(?:,? and|,| to| or) \d+)*)")
PATH = re.compile(r"(?<![\w./-])(?:nodes|tests|web|docs|locales)/[\w/.-]*\w(?![\w*<{-])")
CODE = re.compile(r"`(\w+(?:\.\w+)+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
NUMBERED_SECTION = re.compile(r"(?<!RFC \d{4}, )\b[Ss]ections? \d")
ELSEWHERE = re.compile(r"product promise|\bfacts/|wan2-6\.txt")


def _citing() -> list[str]:
    found = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".js", ".css", ".md")
    ]
    inside = [path.relative_to(ROOT) for path in found]
    return [*AT_THE_TOP, *sorted(path.as_posix() for path in inside if not NOT_OURS & set(path.parts))]


def _prose(path: str, text: str) -> list[str]:
    """What a file says to its reader, a piece of comment, docstring or page each, on one line."""
    readers = {".py": _python_prose, ".js": _script_prose, ".css": _script_prose}
    suffix = Path(path).suffix
    pieces = readers[suffix](text) if suffix in readers else [text]
    return [" ".join(piece.split()) for piece in pieces]


def _python_prose(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    comments: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 and comments:
            yield " ".join(comments)
            comments = []
        comments.append(token.string.lstrip("#: "))
        last = token.start[0]
    yield " ".join(comments)


def _script_prose(text: str) -> Iterator[str]:
    for block in re.findall(r"/\*.*?\*/|(?:(?<!:)//[^\n]*\n\s*)+", text, re.DOTALL):
        yield re.sub(r"(?m)^\s*(?:/?\*+|//)", " ", block)


@functools.cache
def _text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


@functools.cache
def _headings(document: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", _text(document)), re.MULTILINE)


def _anchors(document: str) -> set[str]:
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in _headings(document)}


def _problems(path: str, text: str) -> Iterator[str]:
    """What a file cites and nobody can find."""
    folders = (ROOT, (ROOT / path).parent) if path.endswith(".md") else (ROOT,)
    for piece in _prose(path, text):
        yield from (f"no rule {number}" for number in _rules_of(piece) if number not in RULE_NUMBERS)
        yield from (f"not in the repository: {words}" for words in ELSEWHERE.findall(piece))
        yield from (f"a section by number: {words}" for words in NUMBERED_SECTION.findall(piece))
        yield from (f"no file {name}" for name in PATH.findall(piece) if not (ROOT / name).exists())
        for name in DOCUMENT.findall(piece):
            if not any((folder / name).is_file() for folder in folders):
                yield f"no document {name}"
        if path.endswith(".py"):
            yield from (f"no module {name}" for name in CODE.findall(piece) if not _may_be_a_module(path, name))
        for document, named in SECTIONS.findall(piece):
            names = re.findall(r'"([^"]+)"', named)
            yield from (f"no section {name!r} in {document}" for name in names if name not in _headings(document))
            if document == GATEWAY and not names and not path.endswith(".md"):
                yield f"{document} without the name of a section"
    if path.endswith(".md"):
        yield from _broken_links(path, text)


def _may_be_a_module(path: str, name: str) -> bool:
    """False where a room has no such module, or the folder of the citing file no such file."""
    room, module, *_ = name.split(".")
    if module == "py":
        return (ROOT / path).parent.joinpath(name).is_file() or (ROOT / name).is_file()
    folder = ROOT / "nodes" / room
    return not (folder / "__init__.py").is_file() or (folder / f"{module}.py").is_file()


def _broken_links(path: str, text: str) -> Iterator[str]:
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        document = Path(path).parent / name if name else Path(path)
        if not (ROOT / document).exists():
            yield f"a link to nothing: {target}"
        elif anchor and anchor not in _anchors(document.as_posix()):
            yield f"a link to no section: {target}"


def _rules_of(piece: str) -> list[int]:
    numbers = []
    for listed in RULE.findall(piece):
        numbers += [int(number) for number in re.findall(r"\d+", listed)]
        for first, last in re.findall(r"(\d+) to (\d+)", listed):
            numbers += range(int(first), int(last))
    return numbers


def test_whatever_is_cited_is_there() -> None:
    found = [f"{path}: {problem}" for path in _citing() for problem in dict.fromkeys(_problems(path, _text(path)))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", '"""Kept as it must be (money rule 13)."""'),
        ("a.py", "value = 1  # rules 1 to 14"),
        ("a.py", '"""As `docs/gatway.md` has it."""'),
        ("a.py", '"""See notes.md."""'),
        ("a.py", '"""Told by `docs/gateway.md`, "Nothing of\n    the kind"."""'),
        ("a.py", '"""Told by `docs/gateway.md`."""'),
        ("a.py", '"""The gateway page, section 2.4."""'),
        ("a.py", "# The table of `tests/faults/tables.py`\nvalue = 1"),
        ("nodes/jobs/a.py", '"""As `gateway.retried` and `orders.py` have it."""'),
        ("a.js", "/** Rule 0 */"),
        ("a.js", "// as docs/nothing.md\n// says\n"),
        ("README.md", "[rules](docs/rule.md)"),
        ("README.md", "[rules](docs/rules.md#13-more)"),
        ("docs/rules.md", "[key](gateway.md#idempotency)"),
    ],
)
def test_what_is_not_there_is_found(path: str, text: str) -> None:
    assert list(_problems(path, text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", '"""Kept as it must be (rules 1 to 3, 5 and 12)."""'),
        ("a.py", '"""Told by `docs/gateway.md`, "Uploads" and "Result\n    links"; and RFC 9110, section 10."""'),
        ("nodes/jobs/a.py", '"""As `gateway.retry.may_repeat` and `order.py` have it, with `Order.request`."""'),
        ("a.py", 'name = "rule 99 of notes.md, section 3"'),
        ("README.md", "[key](docs/gateway.md#idempotency-key) and [a page](https://example.com/a#b)"),
    ],
)
def test_what_is_there_is_believed(path: str, text: str) -> None:
    assert list(_problems(path, text)) == []


# The rules


def _rule_sections() -> dict[int, str]:
    pieces = re.split(r"(?m)^## (\d+)\. .+$", _text(RULES))
    return {int(number): text for number, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def _listed(number: int, head: str) -> list[str]:
    entry = re.search(rf"(?ms)^- {head}: (.+?)(?=^- |^$|\Z)", _rule_sections()[number])
    return re.findall(r"`([^`]+)`", entry[1]) if entry else []


def test_the_rules_are_numbered_once_and_for_all() -> None:
    assert [int(number) for number in re.findall(r"(?m)^## (\d+)\. ", _text(RULES))] == RULE_NUMBERS


@pytest.mark.parametrize("number", RULE_NUMBERS)
def test_every_rule_names_who_keeps_it_and_what_shows_it(number: int) -> None:
    kept, shown = _listed(number, "Kept by"), _listed(number, "Shown by")
    assert kept and [path for path in kept if not re.fullmatch(r"nodes/[\w/]+\.py", path)] == []
    assert shown and [path for path in shown if not re.fullmatch(r"tests/(\w+/)*test_\w+\.py", path)] == []
    assert [path for path in (*kept, *shown) if not (ROOT / path).is_file()] == []


def test_whoever_opens_with_a_rule_is_listed_under_it() -> None:
    unlisted = [
        (path, number)
        for path in _citing()
        if path.endswith(".py")
        for number in _rules_of(" ".join((ast.get_docstring(ast.parse(_text(path))) or "").split()))
        if f"`{path}`" not in _rule_sections()[number]
    ]
    assert unlisted == []


@pytest.mark.parametrize("document", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_a_section_is_found_by_its_name_alone(document: str) -> None:
    names = _headings(f"docs/{document}")
    assert sorted(names) == sorted(set(names))
