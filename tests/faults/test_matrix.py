"""Every cell of the fault matrix, played over real HTTP: what comes of it, what it cost, what is told, what is next."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.journal.postgres import Address
from tests.faults.page import PAGE, page
from tests.faults.play import play
from tests.faults.table import CELLS, FAULTS, STEPS, Cell, counts, plays
from tests.support.postgres import STORES, new_store

# The whole matrix takes minutes: `nox -s soak` plays all of it, the fast suite the paid request and every sixth. Over a
# database `nox -s fleet` plays all of it, the fast suite a few.
PLAYS = plays()
SLOW = ("stall-before", "stall", "drip", "drip-headers", "429:999999999")


def _in_the_fast_suite(store: str, number: int, cell: Cell, goes_on: bool) -> bool:
    if cell.fault in SLOW and goes_on:
        return False
    if store == "postgresql":
        return number % 72 == 0 or (cell.step == "create" and cell.fault in ("drop-after", "disk full after"))
    return number % 6 == 0 or (cell.step == "create" and not goes_on)


def _named(store: str, number: int, cell: Cell, goes_on: bool) -> object:
    name = f"{store}-{cell.step}-{cell.fault.partition('//')[0]}-{'on' if goes_on else 'once'}".replace(" ", "_")
    marks = () if _in_the_fast_suite(store, number, cell, goes_on) else (pytest.mark.soak,)
    return pytest.param(store, cell, goes_on, id=name, marks=marks)


@pytest.mark.parametrize(
    ("store", "cell", "goes_on"), [_named(store, number, *one) for store in STORES for number, one in enumerate(PLAYS)]
)
def test_what_comes_of_a_fault(store: str, cell: Cell, goes_on: bool, tmp_path: Path) -> None:
    database = new_store(store)
    play(cell, goes_on, tmp_path, Address(database) if database else None)


def test_every_step_has_a_cell_for_every_fault() -> None:
    assert set(CELLS) == {(step, fault) for step in STEPS for fault in FAULTS}


def test_the_page_for_people_says_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.faults.page`"
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"{len(FAULTS)} ways to fail" in readme
    assert f"{counts()['cells']} cells" in readme
