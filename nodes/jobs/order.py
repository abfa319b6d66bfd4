"""What a node asks for, checked and made comparable before anything is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..gateway import models
from ..gateway.contract import CreateRequest, clean_text, is_loopback
from ..gateway.errors import InputError
from ..gateway.models import IMAGE_TO_VIDEO, TEXT_TO_VIDEO, VIDEO_TO_VIDEO, Offer
from ..journal.rows import Intent
from ..remarks import Remark, Sentence, remark
from ..stopping import Stop
from ..troubles import Trouble
from .origin import Origin

LARGEST_TAKE = 2_147_483_647


@dataclass(frozen=True)
class Medium:
    """A picture or clip of the user's that must be uploaded before the job can be sent.

    `digest`: SHA-256 of its content, hex; independent of how it will be encoded.
    `write(folder, stop)`: makes the file to upload, or names one that is there; called only when an upload is needed.
    """

    digest: str
    write: Callable[[Path, Stop], MediumFile]


@dataclass(frozen=True)
class MediumFile:
    """A file ready for upload. `ours`: made for the upload, to be removed after it. `notes`: what was changed."""

    path: Path
    content_type: str
    ours: bool
    notes: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Order:
    """One job as its user describes it. `references`: media to upload and https URLs, in the order given.

    `origin`: where it was asked for; makes no job another one.
    """

    model: str
    type: str
    prompt: str
    duration: str
    resolution: str
    take: int = 0
    references: tuple[Medium | str, ...] = ()
    origin: Origin | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        offer = self._offer
        _check_choice("duration", self.duration, offer.durations)
        _check_choice("resolution", self.resolution, offer.resolutions)
        if self.type == TEXT_TO_VIDEO and not self.prompt.strip():
            raise InputError(remark(Trouble.NO_PROMPT), advice=remark(Trouble.DESCRIBE_IT))
        if len(self.prompt) > offer.longest_prompt:
            raise InputError(
                remark(Trouble.PROMPT_TOO_LONG, length=f"{len(self.prompt):,}"),
                advice=remark(Trouble.SHORTEN_PROMPT, most=f"{offer.longest_prompt:,}"),
            )
        if not 0 <= self.take <= LARGEST_TAKE:
            # The widget keeps to this; a number that is linked to it need not.
            raise InputError(
                remark(Trouble.TAKE_OUT_OF_RANGE), advice=remark(Trouble.WHOLE_NUMBER_TO, most=LARGEST_TAKE)
            )
        if any("\ud800" <= character <= "\udfff" or character == "\0" for text in self._texts for character in text):
            # JSON can carry halves of characters, UTF-8 and so the gateway cannot; and no database holds a NUL.
            raise InputError(remark(Trouble.BROKEN_TEXT), advice=remark(Trouble.TYPE_ANEW))
        for reference in self.references:
            if isinstance(reference, str):
                _check_url(reference)

    @property
    def media(self) -> tuple[Medium, ...]:
        """The references that have to be uploaded."""
        return tuple(reference for reference in self.references if isinstance(reference, Medium))

    @property
    def urls(self) -> tuple[str, ...]:
        """The references that the gateway fetches from where they lie, each once."""
        return tuple(dict.fromkeys(reference for reference in self.references if isinstance(reference, str)))

    @property
    def _offer(self) -> Offer:
        if self.type not in models.TYPES:
            raise InputError(remark(Trouble.NO_SUCH_TYPE, type=repr(clean_text(self.type, 40))))
        offer = models.offer(self.model, self.type)
        if offer is None:
            raise InputError(
                remark(Trouble.NOT_OF_MODEL, model=self.model, type=self.type), advice=remark(Trouble.ANOTHER_MODEL)
            )
        return offer

    @property
    def _texts(self) -> tuple[str, ...]:
        urls = (reference for reference in self.references if isinstance(reference, str))
        return (self.model, self.prompt, self.duration, self.resolution, *urls)

    @property
    def warnings(self) -> tuple[Remark, ...]:
        """What may go wrong; the job is sent all the same."""
        found = []
        offer = self._offer
        if len(self.prompt) > offer.safe_prompt:
            length, safe = f"{len(self.prompt):,}", f"{offer.safe_prompt:,}"
            found.append(remark(Sentence.LONG_PROMPT, length=length, safe=safe))
        if not models.is_known(self.model):
            found.append(remark(Sentence.UNKNOWN_MODEL, model=repr(clean_text(self.model, 40))))
        if self.type == IMAGE_TO_VIDEO and len(self.references) > offer.references:
            found.append(remark(Sentence.MANY_IMAGES, images=len(self.references), most=offer.references))
        return tuple(found)

    def identity(self, account: str) -> str:
        """What makes two orders the same job (money rule 3): SHA-256 over account, settings, media content, take."""
        references = [
            ["url", reference] if isinstance(reference, str) else ["content", reference.digest]
            for reference in self.references
        ]
        parts = [1, account, self.model, self.type, self.prompt, self.duration, self.resolution, self.take, references]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()

    def intent(self, account: str, *others: str) -> Intent:
        """What the journal keeps of it; the body is left open as long as something has to be uploaded.

        `others`: other names of the same account.
        """
        return Intent(
            account=account,
            identity=self.identity(account),
            model=self.model,
            type=self.type,
            prompt=self.prompt,
            duration=self.duration,
            resolution=self.resolution,
            take=self.take,
            body=None if self.media else self.request(tuple(map(str, self.references))).body(),
            earlier=tuple(self.identity(other) for other in others),
        )

    def request(self, urls: tuple[str, ...]) -> CreateRequest:
        """The paid request; `urls` stand for `references`, one each."""
        return CreateRequest(
            model=self.model,
            type=self.type,
            prompt=self.prompt,
            duration=self.duration,
            resolution=self.resolution,
            image_urls=urls if self.type == IMAGE_TO_VIDEO else (),
            video_url=urls[0] if self.type == VIDEO_TO_VIDEO else None,
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    # ComfyUI 0.3.64 passes on what is not in a list of choices; newer ones refuse it themselves.
    if value not in choices:
        raise InputError(
            remark(Trouble.VALUE_IS, name=name, value=repr(clean_text(str(value), 40))),
            advice=remark(Trouble.CHOOSE_ONE_OF, choices=", ".join(choices)),
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        # A rehearsal gateway reads plain http from itself; `references` lets no other address of this machine pass.
        open_to_it = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
        usable = open_to_it and bool(parts.hostname) and not parts.username and not parts.password
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise InputError(
            remark(Trouble.NO_URL_FOR_GATEWAY, url=repr(clean_text(url, 80))), advice=remark(Trouble.OPEN_TO_EVERYBODY)
        )
