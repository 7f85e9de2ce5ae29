"""Telling a text better, with a language model that whoever runs this has named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from libs.core.errors import NotFound, Refused, Unavailable
from services.painter.domain.bodies import TEXT_CHARACTERS_MAX
from services.painter.domain.styles import Style

if TYPE_CHECKING:
    import httpx

ANSWER_TOKENS_MAX: Final = 300
TEMPERATURE: Final = 0.7
INSTRUCTION: Final = (
    "You rewrite short descriptions of pictures for an image model. Keep the subject and every "
    "fact that is given. Add what can be seen: setting, light, colours, materials, composition. "
    "Answer with the new description alone: one paragraph of at most 80 words, in the language "
    "of the description, without quotation marks."
)


@dataclass(frozen=True)
class Enhancing:
    """`url` is the base of an OpenAI-compatible API; empty where there is none."""

    url: str
    model: str
    key: str = field(repr=False)
    seconds: float = 20.0

    @property
    def is_there(self) -> bool:
        """Say whether a language model was named."""
        return bool(self.url)

    async def enhance(self, prompt: str, style: Style | None) -> str:
        """Return the text told better; the person decides whether it is."""
        import httpx

        if not self.is_there:
            raise NotFound("No language model is set up here.", kind="not_configured")
        words = prompt if style is None else f"{prompt}\n(It is painted as: {style.title}.)"
        body = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": INSTRUCTION},
                {"role": "user", "content": words},
            ],
            "max_tokens": ANSWER_TOKENS_MAX,
            "temperature": TEMPERATURE,
        }
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        url = f"{self.url.rstrip('/')}/chat/completions"
        try:
            async with httpx.AsyncClient(timeout=self.seconds, trust_env=False) as client:
                answer = await client.post(url, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable("the language model does not answer", reason=repr(error)) from error
        return _text_of(answer)


def _text_of(answer: httpx.Response) -> str:
    if answer.is_client_error:
        raise Refused(
            "The language model refused this text. Your own words stay as they are.",
            kind="not_enhanced",
            field="prompt",
        )
    try:
        text = str(answer.raise_for_status().json()["choices"][0]["message"]["content"]).strip()
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unavailable("the language model makes no sense", reason=repr(error)) from error
    except Exception as error:
        raise Unavailable("the language model fails", status=answer.status_code) from error
    if not text:
        raise Unavailable("the language model says nothing")
    return text[:TEXT_CHARACTERS_MAX]
