"""An OpenAI-compatible endpoint: its model, the way it wants to be asked, and its bad moments.

A request that fails in passing (too many requests, errors of the server, time-outs, dropped
connections, broken answers) is made again, with growing pauses; one that is refused is not.
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
from learnalign.rollouts.requests import Request, Way, body, ways
from learnalign.rollouts.responses import Answer, read_answer

#: Seconds: the first pause is up to this, each next one up to twice that, none above the last.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 60.0
_LONGEST_RETRY_AFTER_S = 600.0
_CONNECT_S = 30.0
#: A server that is not there when a run begins is mostly a wrong address.
_FIRST_ATTEMPTS = 3
_PASSING = {408, 409, 425, 429}
_KEY_STATUSES = (401, 403)
_LENGTH = re.compile(r"context (length|window|size)")
#: What keeps is what a restart finds.
_KEPT = "what it answered before is kept: the same command goes on from there"


class RequestRefusedError(Exception):
    """The server will not answer this request, however often it is made."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status

    @property
    def may_be_the_ways_fault(self) -> bool:
        """Whether another way of asking may please it."""
        return self.status in (400, 422, 500, 501) and not _LENGTH.search(str(self))


class _RetryableError(Exception):
    """The server did not answer this time."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Endpoint:
    """Asks one server, from within one event loop; use it as an asynchronous context.

    Args:
        config: Where it is, which of its models and APIs, and how patiently it is asked.

    Raises:
        LearnAlignError: for an address that is none, or without the package openai.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config, self.url = config, _base_url(config.url)
        self.ways = ways(config)
        self._way, self._settled = 0, False
        self._first_refusal = ""
        self.model = config.model or ""
        self.max_context: int | None = None
        self.known = False
        """Whether `find_model` has been answered."""
        self._client: Any = None
        self._over = asyncio.Event()

    @property
    def way(self) -> Way:
        """The way in which it is asked now."""
        return self.ways[self._way]

    async def __aenter__(self) -> Self:
        try:
            import openai
        except ImportError as error:
            raise LearnAlignError(
                "the engine 'server' needs the package openai",
                do="pip install 'learnalign[server]'",
            ) from error
        self._over = asyncio.Event()
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
        """Let the requests that are under way end, and make no failed one again."""
        self._over.set()

    async def find_model(self) -> None:
        """Learn what the server calls its model, and how many tokens that sees.

        Raises:
            LearnAlignError: if it serves no model of the given name, or several and none is named.
        """
        if self.known:
            return
        try:
            listed = (await self._patiently(self._client.models, {}, _FIRST_ATTEMPTS)).get("data")
            served = {str(model["id"]): model for model in listed or []}
        except (AttributeError, TypeError, KeyError) as error:
            raise self._hard(f"its list of models is none ({error})") from None
        except RequestRefusedError as refusal:
            if self.model and refusal.status not in _KEY_STATUSES:
                self.known = True  # not every server lists its models
                return
            raise self._hard(str(refusal)) from None
        if not self.model and len(served) != 1:
            raise LearnAlignError(
                f"the server at {self.url} serves {len(served)} models: {', '.join(served)}",
                expected="one, or the name of one",
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

    async def ask(self, request: Request) -> tuple[Answer, Way]:
        """Ask for one rollout, in a way that the server understands.

        The first refusals, before any answer, are taken for the way's fault.

        Returns:
            The answer, and how it was asked for.

        Raises:
            LearnAlignError: if the server refuses, or has failed ``attempts`` times.
        """
        chat = request.messages is not None
        api = self._client.chat.completions if chat else self._client.completions
        while True:
            number = self._way
            way = self.ways[number]
            try:
                answer = await self._patiently(api, body(request, way, self.model))
            except RequestRefusedError as refusal:
                if number == self._way:
                    self._first_refusal = self._first_refusal or str(refusal)
                    if self._settled or not refusal.may_be_the_ways_fault:
                        raise self._hard(str(refusal)) from None
                    if number + 1 == len(self.ways):
                        raise self._hard(self._first_refusal) from None
                    self._way += 1
                continue
            self._settled = self._settled or number == self._way
            return read_answer(answer), way

    async def _patiently(
        self, api: Any, fields: Mapping[str, Any], at_most: int = 1 << 30
    ) -> dict[str, Any]:
        """Make a request until it is answered, refused, or has failed too often."""
        import tenacity

        most = min(at_most, self.config.attempts)
        grown = tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LAST_PAUSE_S)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome and state.outcome.exception()
            after = error.retry_after_s if isinstance(error, _RetryableError) else 0.0
            return max(after, grown(state))

        async def rest(seconds: float) -> None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), seconds)

        attempts = tenacity.AsyncRetrying(
            stop=lambda state: state.attempt_number >= most or self._over.is_set(),
            sleep=rest,
            retry=tenacity.retry_if_exception_type(_RetryableError),
            wait=pause,
            reraise=True,
        )
        try:
            found: dict[str, Any] = await attempts(self._once, api, fields)
        except _RetryableError as error:
            raise LearnAlignError(
                f"the server at {self.url} failed {most} times; the last time: {error}",
                expected=f"an answer; {_KEPT}",
                do="see to the server, and run the same command",
            ) from None
        return found

    async def _once(self, api: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Make a request; tell what fails in passing from what is refused."""
        import openai

        raw = api.with_raw_response
        try:
            response = await (raw.create(**fields) if fields else raw.list())
        except openai.APIStatusError as error:
            raise self._explained(error.status_code, error.response) from None
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

    def _explained(self, status: int, response: Any) -> Exception:
        """Turn an answer that is an error into what is to be done about it."""
        message = self._clean(_said(response.text))
        # llama-cpp-python says 500 to a field of the wrong type, and to logprobs it cannot give.
        lost = any(word in message for word in ("validation error", "logprobs"))
        if status in _PASSING or (status >= 500 and not lost):
            after = response.headers.get("retry-after", "")
            seconds = float(after) if after.replace(".", "", 1).isdigit() else 0.0
            return _RetryableError(f"{status}: {message}", min(seconds, _LONGEST_RETRY_AFTER_S))
        return RequestRefusedError(status, message)

    def _hard(self, message: str) -> LearnAlignError:
        """Say what a refusal means."""
        variable = self.config.api_key_variable
        if message.startswith(tuple(map(str, _KEY_STATUSES))):
            do = f"put the key that it takes into the environment variable {variable}"
        elif message.startswith("404"):
            do = "check server.url (it mostly ends with /v1) and server.model"
        elif _LENGTH.search(message):
            do = "give the server a longer context, or lower --max-tokens"
        else:
            do = "see what it says; docs/guides/servers.md lists what servers differ in"
        return LearnAlignError(
            f"the server at {self.url} refused: {message}",
            expected=f"an answer; {_KEPT}",
            do=do,
        )

    @property
    def _key(self) -> str:
        return os.environ.get(self.config.api_key_variable, "")

    def _clean(self, text: str) -> str:
        """Shorten what a server said, and take the key out, should it be there."""
        text = " ".join((text.replace(self._key, "***") if self._key else text).split())
        return text if len(text) <= 500 else text[:500] + " ..."


def _base_url(url: str | None) -> str:
    """Check an address; one without a path gets OpenAI's.

    Example:
        >>> _base_url("http://localhost:8000"), _base_url("https://host/api/v2/")
        ('http://localhost:8000/v1', 'https://host/api/v2')
    """
    parts = urlsplit(url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LearnAlignError(
            f"got {url or 'no address'} for the engine 'server'",
            expected="an address such as http://localhost:8000/v1",
            do="give --server-url",
        )
    text = parts.geturl().rstrip("/")
    return text if parts.path.strip("/") else text + "/v1"


def _said(text: str) -> str:
    """Find the message in what a server answered."""
    try:
        said = json.loads(text)
    except ValueError:
        return text
    error = said.get("error", said.get("detail", said)) if isinstance(said, dict) else said
    if isinstance(error, dict):
        error = error.get("message", error)
    return str(error)
