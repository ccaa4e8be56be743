"""An OpenAI-compatible endpoint: finds its model and a request variant it accepts, and retries.

Transient failures (too many requests, server errors, timeouts, dropped connections, broken answers)
are retried with growing pauses; refused requests are not.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from learnalign.config import ServerConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.rollouts.requests import Request, RequestVariant, body, request_variants
from learnalign.rollouts.responses import Answer, read_answer

#: Seconds: the longest first pause, which doubles with each retry, and the longest of all.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 60.0
_LONGEST_RETRY_AFTER_S = 600.0
_CONNECT_S = 30.0
#: If there is no server when a run begins, the address is usually wrong.
_FIRST_ATTEMPTS = 3
_TRANSIENT = {408, 409, 425, 429}
_KEY_STATUSES = (401, 403)
_LENGTH = re.compile(r"context (length|window|size)")
#: Added to errors: a restart does not request stored answers again.
_KEPT = "earlier answers are kept: the same command resumes from there"


class RequestRefusedError(Exception):
    """The server rejects this request; a retry would not help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status

    @property
    def may_accept_other_variant(self) -> bool:
        """Whether the server may accept another variant of the request."""
        return self.status in (400, 422, 500, 501) and not _LENGTH.search(str(self))


class _RetryableError(Exception):
    """The request failed; a retry may succeed."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Endpoint:
    """Client of one server, for use in one event loop as an asynchronous context manager.

    Args:
        config: The server's address, model and API, and how often to retry.

    Raises:
        LearnAlignError: if the address is invalid, or the package openai is not installed.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config, self.url = config, _base_url(config.url)
        self.variants = request_variants(config)
        self._variant, self._settled = 0, False
        self._first_refusal = ""
        self.model = config.model or ""
        self.max_context: int | None = None
        self.known = False
        """Whether `find_model` has succeeded."""
        self._client: Any = None
        self._stopping = asyncio.Event()

    @property
    def variant(self) -> RequestVariant:
        """The request variant in use."""
        return self.variants[self._variant]

    async def __aenter__(self) -> Self:
        try:
            import openai
        except ImportError as error:
            raise LearnAlignError(
                "the engine 'server' needs the package openai",
                do="pip install 'learnalign[server]'",
            ) from error
        self._stopping = asyncio.Event()
        self._client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=openai.Timeout(
                self.config.timeout_s, connect=min(_CONNECT_S, self.config.timeout_s)
            ),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    def give_up(self) -> None:
        """Let requests in flight finish, and retry none."""
        self._stopping.set()

    async def find_model(self) -> None:
        """Find the server's name for its model, and the model's context length.

        Raises:
            LearnAlignError: if it serves no model of that name, or several and no name is given.
        """
        if self.known:
            return
        try:
            listed = (await self._with_retries(self._client.models, {}, _FIRST_ATTEMPTS)).get(
                "data"
            )
            served = {str(model["id"]): model for model in listed or []}
        except (AttributeError, TypeError, KeyError) as error:
            raise self._refusal_error(f"its list of models is invalid ({error})") from None
        except RequestRefusedError as refusal:
            if self.model and refusal.status not in _KEY_STATUSES:
                self.known = True  # not every server lists its models
                return
            raise self._refusal_error(str(refusal)) from None
        if not self.model and len(served) != 1:
            raise LearnAlignError(
                f"the server at {self.url} serves {len(served)} models: {', '.join(served)}",
                expected="one model, or the name of one",
                do="add --set server.model=NAME",
            )
        self.model = self.model or next(iter(served))
        if self.model not in served:
            raise LearnAlignError(
                f"the server at {self.url} serves no model '{self.model}'",
                expected=nearest(self.model, served) if served else "a model that it serves",
                do="correct server.model",
            )
        length = served[self.model].get("max_model_len")
        self.max_context = length if isinstance(length, int) else None
        self.known = True

    async def ask(self, request: Request) -> tuple[Answer, RequestVariant]:
        """Request one rollout, in a variant that the server accepts.

        Refusals before the first answer are attributed to the variant, and the next one is tried.

        Returns:
            The answer, and the variant that was used.

        Raises:
            LearnAlignError: if the server refuses, or has failed ``attempts`` times.
        """
        chat = request.messages is not None
        api = self._client.chat.completions if chat else self._client.completions
        while True:
            number = self._variant
            variant = self.variants[number]
            try:
                answer = await self._with_retries(api, body(request, variant, self.model))
            except RequestRefusedError as refusal:
                if number == self._variant:
                    self._first_refusal = self._first_refusal or str(refusal)
                    if self._settled or not refusal.may_accept_other_variant:
                        raise self._refusal_error(str(refusal)) from None
                    if number + 1 == len(self.variants):
                        raise self._refusal_error(self._first_refusal) from None
                    self._variant += 1
                continue
            self._settled = self._settled or number == self._variant
            return read_answer(answer), variant

    async def _with_retries(
        self, api: Any, fields: Mapping[str, Any], max_attempts: int = 1 << 30
    ) -> dict[str, Any]:
        """Repeat a request until it is answered, refused, or has failed too often."""
        import tenacity

        max_attempts = min(max_attempts, self.config.attempts)
        backoff = tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LAST_PAUSE_S)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome and state.outcome.exception()
            after = error.retry_after_s if isinstance(error, _RetryableError) else 0.0
            return max(after, backoff(state))

        async def sleep(seconds: float) -> None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)

        attempts = tenacity.AsyncRetrying(
            stop=lambda state: state.attempt_number >= max_attempts or self._stopping.is_set(),
            sleep=sleep,
            retry=tenacity.retry_if_exception_type(_RetryableError),
            wait=pause,
            reraise=True,
        )
        try:
            answer: dict[str, Any] = await attempts(self._once, api, fields)
        except _RetryableError as error:
            raise LearnAlignError(
                f"the server at {self.url} failed {max_attempts} times; the last error: {error}",
                expected=f"an answer; {_KEPT}",
                do="check the server, then run the same command",
            ) from None
        return answer

    async def _once(self, api: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request once; raise a retryable error or a refusal if it fails."""
        import openai

        raw = api.with_raw_response
        try:
            response = await (raw.create(**fields) if fields else raw.list())
        except openai.APIStatusError as error:
            raise self._status_error(error.status_code, error.response) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise _RetryableError(self._clean(f"{type(cause).__name__}: {cause}")) from None
        try:
            answer = json.loads(response.http_response.text)
            if fields:
                read_answer(answer)
        except ValueError as error:
            raise _RetryableError(self._clean(f"a broken answer ({error})")) from None
        return dict(answer)

    def _status_error(self, status: int, response: Any) -> Exception:
        """Convert an error response to a retryable error or a refusal."""
        message = self._clean(_error_message(response.text))
        # llama-cpp-python answers 500 to a field of the wrong type and to unavailable logprobs.
        unsupported = any(word in message for word in ("validation error", "logprobs"))
        if status in _TRANSIENT or (status >= 500 and not unsupported):
            after = response.headers.get("retry-after", "")
            seconds = float(after) if after.replace(".", "", 1).isdigit() else 0.0
            return _RetryableError(f"{status}: {message}", min(seconds, _LONGEST_RETRY_AFTER_S))
        return RequestRefusedError(status, message)

    def _refusal_error(self, message: str) -> LearnAlignError:
        """Explain a refusal, and what to do about it."""
        variable = self.config.api_key_variable
        if message.startswith(tuple(map(str, _KEY_STATUSES))):
            do = f"set the environment variable {variable} to a valid key"
        elif message.startswith("404"):
            do = "check server.url (it usually ends with /v1) and server.model"
        elif _LENGTH.search(message):
            do = "increase the server's context length, or lower --max-tokens"
        else:
            do = "see its message; docs/guides/servers.md lists the differences between servers"
        return LearnAlignError(
            f"the server at {self.url} refused: {message}",
            expected=f"an answer; {_KEPT}",
            do=do,
        )

    @property
    def _key(self) -> str:
        return os.environ.get(self.config.api_key_variable, "")

    def _clean(self, text: str) -> str:
        """Shorten a server's message, and mask the API key in it."""
        text = " ".join((text.replace(self._key, "***") if self._key else text).split())
        return text if len(text) <= 500 else text[:500] + " ..."


def _base_url(url: str | None) -> str:
    """Validate an address; one without a path gets OpenAI's ``/v1``.

    Example:
        >>> _base_url("http://localhost:8000"), _base_url("https://host/api/v2/")
        ('http://localhost:8000/v1', 'https://host/api/v2')
    """
    parts = urlsplit(url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LearnAlignError(
            f"got {url or 'no address'} for the engine 'server'",
            expected="an address such as http://localhost:8000/v1",
            do="pass --server-url",
        )
    text = parts.geturl().rstrip("/")
    return text if parts.path.strip("/") else text + "/v1"


def _error_message(text: str) -> str:
    """Find the message in a server's error response."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    error = content
    if isinstance(content, dict):
        error = content.get("error", content.get("detail", content))
    if isinstance(error, dict):
        error = error.get("message", error)
    return str(error)
