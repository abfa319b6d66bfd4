"""Whatever text a node is to show, front ends are given nothing to render, and nothing that hides."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.comfyui import host


@given(st.text(max_size=200))
def test_a_node_is_given_plain_text(text: str) -> None:
    shown = host.plain(text)
    assert {unicodedata.category(each) for each in shown.replace("\n", "")}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert not set(shown) & set('<>[]`*"')
    assert shown.encode().decode() == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x onerror=alert(1)>", "\u2039img src=x onerror=alert(1)\u203a"),
        ("[pay](javascript:alert(1))", "(pay)(javascript:alert(1))"),
        ("\x1b[2J\x1b]0;owned\x07", "(2J)0;owned"),
        ("\u202egnp.exe", "gnp.exe"),
        ("half \ud800", "half"),
        ("one\r\ntwo", "one\ntwo"),
        ("x" * 10_000_000, "x" * (host.STATUS_TEXT_CHARACTERS - 3) + "..."),
    ],
    ids=["markup", "link", "terminal", "direction", "half a letter", "lines", "10 MB"],
)
def test_hostile_texts_are_shown_like_this(text: str, shown: str) -> None:
    assert host.plain(text) == shown
