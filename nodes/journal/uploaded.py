"""Where media were uploaded to, by their content: an upload serves every job with the same medium."""

from __future__ import annotations

import sqlalchemy as sa

from .statements import Given, Select, Statement
from .store import Store
from .tables import uploads

_URL = Statement(
    lambda say: sa.select(uploads.c.url).where(
        uploads.c.account == Given("account"),
        uploads.c.digest == Given("digest"),
        uploads.c.uploaded_at >= Given("since"),
    )
)
_REMEMBER = Statement(lambda say: say.put(uploads, "account", "digest", keep=()))
_FORGET = Statement(
    lambda say: sa.delete(uploads).where(uploads.c.account == Given("account"), uploads.c.digest == Given("digest"))
)


def url(select: Select, account: str, digest: str, since: float) -> str | None:
    """The public URL of a file uploaded after `since`."""
    found = select(_URL, account=account, digest=digest, since=since)
    return str(found[0]["url"]) if found else None


def remember(store: Store, account: str, digest: str, url: str, now: float) -> None:
    """Keep an upload for other jobs with the same medium."""
    with store.transaction():
        store.execute(_REMEMBER, new_account=account, new_digest=digest, new_url=url, new_uploaded_at=now)


def forget(store: Store, account: str, digest: str) -> None:
    """It can no longer be read."""
    with store.transaction():
        store.execute(_FORGET, account=account, digest=digest)
