"""Every string in every language: nothing missing, nothing left over, and English as Python says it."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nodes import settings
from nodes.gateway.errors import APIMallError, Charge
from nodes.gateway.models import IMAGE_TO_VIDEO, TEXT_TO_VIDEO, VIDEO_TO_VIDEO
from nodes.jobs.work import Phase
from nodes.journal import rows as journal
from nodes.journal.rows import Only
from nodes.panel import job_facts
from nodes.remarks import Remark, Sentence
from nodes.troubles import Trouble

PACK = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "zh", "ja")
LOCALE_FILES = ("main", "nodeDefs", "settings")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted((PACK / "web" / "js").glob("*.js"))}
# Words that a script puts together: what may follow the part before the first `${`.
STATES = ("unsent", *(state.value for state in journal.State), "delivered", "stalled")
COMPOSED: dict[str, tuple[str, ...]] = {
    "account.same.": ("about", "yes", "no"),
    "account.move.": ("about", "yes", "no"),
    "state.": STATES,
    "type.": (TEXT_TO_VIDEO, IMAGE_TO_VIDEO, VIDEO_TO_VIDEO),
    "filter.": tuple(only.value for only in Only),
    "empty.": tuple(only.value for only in Only if only is not Only.ALL),
    "cost.": tuple(charge.value for charge in Charge),
    "verb.": (
        "collect",
        "load",
        "continue",
        "use",
        "download",
        "copy",
        "error",
        "compare",
        "workflow",
        "close",
        "answer",
    ),
    "account.key_from.": ("environment", "file"),
    "account.key.": ("right", "wrong", "unknown"),
    "estimate.": ("paid", "fetch", "running", "sent", "ended"),
    "totals.": ("today", "week", "month", "refunded"),
    "remark.": tuple(sentence.name.lower() for sentence in (*Sentence, *Trouble)),
    "phase.": tuple(phase.name.lower() for phase in Phase if phase is not Phase.DONE),
}


def tree(kind: type[APIMallError]) -> list[type[APIMallError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in tree(child))]


ERRORS = tree(APIMallError)


def read(path: str) -> Any:
    return json.loads((PACK / path).read_text(encoding="utf-8"))


def words(language: str) -> dict[str, str]:
    found: dict[str, str] = read(f"web/words/{language}.json")
    return found


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    if isinstance(value, dict):
        return {leaf: text for key, child in value.items() for leaf, text in flat(child, (*path, key)).items()}
    return {path: value}


def asked_for() -> set[str]:
    """Every key that some script asks for."""
    keys = set()
    for text in SCRIPTS.values():
        without_elements = re.sub(r'\bh\(\s*"[^"]*"', "", text)
        keys |= set(re.findall(r'"([a-z]+(?:\.[a-zA-Z_-]+)+)"', without_elements))
    composed = {prefix + end for prefix, ends in COMPOSED.items() for end in ends}
    composed |= {f"verb.{verb}.tip" for verb in COMPOSED["verb."]}
    composed |= {f"estimate.{standing}.note" for standing in COMPOSED["estimate."]}
    composed |= {f"error.{kind.__name__}" for kind in ERRORS}
    return {key for key in keys if not key.startswith("apimallvideo.")} | composed | {"search", "gallery"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_panel_is_there_and_none_is_left_over(language: str) -> None:
    # A charge that was not sent or rejected costs nothing, and one that is charged is told by its credits.
    unused = {"cost.running", "cost.charged"}
    assert set(words(language)) == asked_for() - unused


def test_every_composed_word_is_accounted_for() -> None:
    begun = {match for text in SCRIPTS.values() for match in re.findall(r"`([a-z_.]+\.)\$\{", text)}
    assert begun - set(COMPOSED) <= {"error.", "apimallvideo."}


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_take_the_same_values(language: str) -> None:
    def places(text: str) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", text))

    english, other = words("en"), words(language)
    assert {key: places(text) for key, text in other.items()} == {key: places(text) for key, text in english.items()}


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_translations_are_translated(language: str) -> None:
    english, other = words("en"), words(language)
    assert [key for key in english if english[key] == other[key]] == []


@pytest.mark.parametrize("sentence", [*Sentence, *Trouble], ids=lambda sentence: sentence.name)
def test_remarks_and_errors_are_said_in_the_words_of_the_log(sentence: Sentence | Trouble) -> None:
    assert words("en")[f"remark.{sentence.name.lower()}"] == sentence.value


def test_no_two_sentences_share_a_name_or_their_words() -> None:
    both = [*Sentence, *Trouble]
    assert len({each.name for each in both}) == len({each.value for each in both}) == len(both)


@pytest.mark.parametrize("kind", ERRORS)
def test_what_errors_advise_by_themselves_can_be_said_in_every_language(kind: type[APIMallError]) -> None:
    assert isinstance(kind.default_advice, Remark) or not kind.default_advice


def test_the_panel_knows_every_word_that_the_server_uses() -> None:
    card = inspect.getsource(job_facts.card)
    shapes = (PACK / "tests" / "web" / "types.d.ts").read_text(encoding="utf-8")
    shape = re.search(r"interface Job \{(.+?)\n\}", shapes, re.DOTALL)
    assert shape is not None
    for name in re.findall(r"^  (\w+):", shape[1], re.MULTILINE):
        assert f'"{name}":' in card
    for source in settings.KeySource.__args__:  # type: ignore[attr-defined]
        assert f'"{source}"' in shapes


# What ComfyUI reads


@pytest.mark.parametrize("file", LOCALE_FILES)
@pytest.mark.parametrize("language", ["zh", "ja"])
def test_every_locale_has_the_same_strings(language: str, file: str) -> None:
    assert set(flat(read(f"locales/{language}/{file}.json"))) == set(flat(read(f"locales/en/{file}.json")))


@pytest.mark.parametrize("file", LOCALE_FILES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_string_holds_what_comfyui_would_take_for_a_message_format(language: str, file: str) -> None:
    for text in flat(read(f"locales/{language}/{file}.json")).values():
        assert not set(text) & set("@{}|$%"), text


def test_there_are_no_other_locale_files() -> None:
    found = {path.relative_to(PACK / "locales").as_posix() for path in (PACK / "locales").rglob("*") if path.is_file()}
    assert found == {f"{language}/{file}.json" for language in LANGUAGES for file in LOCALE_FILES}
    assert {path.name for path in (PACK / "web" / "words").iterdir()} == {f"{language}.json" for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_settings_of_the_scripts_are_those_of_the_locales(language: str) -> None:
    script = SCRIPTS["extension.js"]
    ids = re.findall(r'"(?:apimallvideo\.)?([A-Z]\w+\.[A-Z]\w+)"', script + SCRIPTS["ledger.js"])
    assert {f"apimallvideo_{name.replace('.', '_')}" for name in ids} == set(read(f"locales/{language}/settings.json"))


def test_all_scripts_together_stay_small() -> None:
    sheets = [path.read_text(encoding="utf-8") for path in (PACK / "web" / "css").iterdir()]
    assert sum(len(text.encode()) for text in (*SCRIPTS.values(), *sheets)) < 110 * 1024


# Help pages

PAGES = sorted((PACK / "web" / "docs").glob("*.md"))


def rows(page: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)


@pytest.mark.parametrize("language", ["zh", "ja"])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_help_page_is_translated_whole(page: Path, language: str) -> None:
    english = page.read_text(encoding="utf-8")
    other = (page.parent / page.stem / f"{language}.md").read_text(encoding="utf-8")
    assert rows(other) == rows(english)
    assert other.count("\n## ") == english.count("\n## ")
    assert other.count("\n- ") == english.count("\n- ")
    assert set(re.findall(r"`[A-Z_=1]{6,}`", other)) == set(re.findall(r"`[A-Z_=1]{6,}`", english))


def test_there_are_no_help_pages_of_other_nodes_or_languages() -> None:
    folder = PACK / "web" / "docs"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {page.name for page in PAGES} | {f"{page.stem}/{other}.md" for page in PAGES for other in ("zh", "ja")}
    assert found == expected


def test_everything_the_browser_asks_for_is_shipped() -> None:
    try:
        arguments = ["git", "ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore", "web", "locales"]
        left_out = subprocess.run(arguments, cwd=PACK, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout: what would be shipped is not known")
    assert left_out == ""
