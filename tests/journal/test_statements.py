"""Each statement can be said in each tongue."""

from __future__ import annotations

from collections import defaultdict

import pytest

from nodes.journal import accounts, reads, spending, verbs
from nodes.journal.statements import Saying, Statement, Tongue

STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in (accounts, reads, spending, verbs)
    for name, value in vars(module).items()
    if isinstance(value, Statement)
}


@pytest.mark.parametrize("count", (0, 1, 3))
@pytest.mark.parametrize("tongue", Tongue)
def test_every_statement_can_be_said_in_every_tongue(tongue: Tongue, count: int) -> None:
    assert len(STATEMENTS) > 30
    for name, statement in STATEMENTS.items():
        text, _ = statement._compiled(Saying(tongue, defaultdict(lambda: count)))
        assert "POSTCOMPILE" not in text, name
