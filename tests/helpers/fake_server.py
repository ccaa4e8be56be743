"""A server of OpenAI's API on a real socket: it answers by a rule, and misbehaves as it is told.

What it "samples" is a function of (prompt, seed) and nothing else, so that a test can hold a table
against the rule itself, and can count how often each rollout was paid for.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

EXTRAS = {"top_k", "min_p", "repetition_penalty", "repeat_penalty", "return_token_ids"}


class FakeServer:
    """Serves one model; use it as a context.

    Args:
        tokenizer: Its tokenizer.
        gives: Whether answers hold token ids, the tokens' pieces of text, or neither.
        takes_ids: Whether a prompt may be token ids.
        takes_extras: Whether fields that OpenAI's API does not have are taken.
        key: The key it wants.
        models: What it calls its models.
        max_model_len: Said with each model, if it is given.
        extra_prompt_tokens: Put before each prompt, as a server with another template does.
        delay_s: Time an answer takes.
        faults: Says by a request's number, from 0, what goes wrong with it; see `_Handler.spoil`.
        die_after: Answers until it closes its sockets.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        gives: str = "ids",
        takes_ids: bool = True,
        takes_extras: bool = True,
        key: str | None = None,
        models: tuple[str, ...] = ("tiny",),
        max_model_len: int | None = None,
        extra_prompt_tokens: tuple[int, ...] = (),
        delay_s: float = 0.0,
        faults: Callable[[int], str | None] = lambda number: None,
        die_after: int | None = None,
    ) -> None:
        self.tokenizer, self.gives, self.key, self.models = tokenizer, gives, key, models
        self.takes_ids, self.takes_extras = takes_ids, takes_extras
        self.max_model_len, self.before = max_model_len, list(extra_prompt_tokens)
        self.delay_s, self.faults, self.die_after = delay_s, faults, die_after
        texts = tokenizer.batch_decode([[i] for i in range(300, 3000)])
        self.words = [
            i for i, text in enumerate(texts, 300) if text.isascii() and text.isprintable()
        ]
        self.words += tokenizer("0123456789", add_special_tokens=False)["input_ids"] * 100
        self.lock = Lock()
        self.bodies: list[dict[str, Any]] = []
        self.paid: Counter[tuple[tuple[int, ...], int]] = Counter()
        self.under_way = self.most_under_way = self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *client: None  # type: ignore[method-assign]
        self.http.owner = self  # type: ignore[attr-defined]
        self.port = self.http.server_port
        self.dead = False
        Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the listening socket; what is under way is dropped."""
        if not self.dead:
            self.dead = True
            self.http.shutdown()
            self.http.server_close()

    def __enter__(self) -> "FakeServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}/v1"

    def sampled(self, prompt: list[int], body: dict[str, Any]) -> tuple[list[int], str, str]:
        """The rule: token ids, text and what ended it (``token``, ``string`` or ``length``)."""
        lots = random.Random(repr((list(prompt), body["seed"])))
        wanted = lots.randrange(1, 14)
        ids: list[int] = []
        while len(ids) < body["max_tokens"]:
            if len(ids) == wanted:
                return [*ids, self.tokenizer.eos_token_id], self.tokenizer.decode(ids), "token"
            ids.append(lots.choice(self.words))
            text = self.tokenizer.decode(ids)
            places = [text.find(stop) for stop in body.get("stop") or [] if stop in text]
            if places:
                return ids, text[: min(places)], "string"
        return ids, self.tokenizer.decode(ids), "length"

    def answer(self, body: dict[str, Any]) -> tuple[tuple[int, ...], dict[str, Any]]:
        """Give the prompt's ids and the answer."""
        chat, prompt = "messages" in body, body.get("prompt")
        if chat:
            prompt = self.tokenizer.apply_chat_template(
                body["messages"],
                tokenize=False,
                add_generation_prompt=True,
                **body.get("chat_template_kwargs", {}),
            )
        if isinstance(prompt, str):
            prompt = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids, text, end = self.sampled(prompt, body)
        shown = ids[:-1] if end == "token" and self.gives == "pieces" else ids
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "length" if end == "length" else "stop",
            "logprobs": None,
        }
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        seen = [*self.before, *prompt]
        said: dict[str, Any] = {"choices": [choice]}
        said |= {"usage": {"prompt_tokens": len(seen), "completion_tokens": len(shown)}}
        if self.gives == "ids":
            choice |= {"token_ids": ids, "stop_reason": "." if end == "string" else None}
            (said if chat else choice)["prompt_token_ids"] = seen
        if self.gives != "text" and body.get("logprobs"):
            pieces, logprobs = [self.tokenizer.decode([i]) for i in shown], [-0.5 for _ in shown]
            choice["logprobs"] = {"tokens": pieces, "token_logprobs": logprobs}
            if chat:
                both = zip(pieces, logprobs, strict=True)
                choice["logprobs"] = {"content": [{"token": t, "logprob": p} for t, p in both]}
        return tuple(prompt), said


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def owner(self) -> FakeServer:
        return self.server.owner  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        length = self.owner.max_model_len
        models = [{"id": name, "object": "model"} for name in self.owner.models]
        if length is not None:
            models = [model | {"max_model_len": length} for model in models]
        if self.path != "/v1/models":
            self.say(404, {"error": {"message": "no such path"}})
        elif self.allowed():
            self.say(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        owner = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed() or not self.understood(body):
            return
        with owner.lock:
            number = len(owner.bodies)
            owner.bodies.append(body)
            owner.under_way += 1
            owner.most_under_way = max(owner.most_under_way, owner.under_way)
        fault = owner.faults(number)
        time.sleep(owner.delay_s)
        with owner.lock:
            owner.under_way -= 1
            prompt, said = owner.answer(body)
            left = owner.die_after is None or sum(owner.paid.values()) < owner.die_after
            if owner.dead or not left:
                self.close_connection = True
                Thread(target=owner.stop).start()
                return
            if fault is None:
                owner.paid[prompt, body["seed"]] += 1
        if fault is None:
            self.say(200, said)
        else:
            self.spoil(fault, said)

    def allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        if self.owner.key is None or given == f"Bearer {self.owner.key}":
            return True
        # Some servers say the key that they were given.
        self.say(401, {"error": {"message": f"wrong key: {given.removeprefix('Bearer ')}"}})
        return False

    def understood(self, body: dict[str, Any]) -> bool:
        if not self.owner.takes_ids and isinstance(body.get("prompt"), list):
            self.say(422, {"detail": "prompt: Input should be a valid string"})
            return False
        unknown = EXTRAS & set(body)
        if unknown and not self.owner.takes_extras:
            self.say(400, {"error": {"message": f"unknown fields {', '.join(unknown)}"}})
            return False
        return True

    def spoil(self, fault: str, said: dict[str, Any]) -> None:
        """Go wrong in one of seven ways."""
        if fault == "drop":
            self.close_connection = True
        elif fault == "half":
            self.say(200, said, share=0.5)
        elif fault == "no json":
            self.say(200, "<html>")
        elif fault == "no choices":
            self.say(200, {"object": "text_completion"})
        elif fault == "slow":
            time.sleep(4.0)
            self.say(200, said)
        elif fault == "busy":
            self.say(429, {"error": {"message": "too many requests"}}, {"Retry-After": "0.2"})
        else:
            self.say(500, {"error": {"message": "out of memory"}})

    def say(
        self, status: int, body: Any, headers: dict[str, str] | None = None, share: float = 1.0
    ) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        try:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: int(len(data) * share)])
        except OSError:
            pass  # the client has gone
        self.close_connection = self.close_connection or share < 1.0
