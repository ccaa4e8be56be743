"""Calls between two sandboxes: one side names, calls and receives what the other side has.

Every message is a JSON array, and one side runs at a time: it either answers, or asks something
back and waits. Data are copied (`codec`); functions, classes and their objects stay where they are
and are represented by a `Proxy`. Exceptions arrive as the nearest built-in type.
"""

import builtins
import importlib
import json
import sys
import types
from collections.abc import Callable
from typing import Any

from . import codec  # relative: in a sandbox, this folder is the package
from .proxy import Proxy, part

#: Methods that a proxy passes on: none of them sees a value that a test expects.
_SPECIAL = ("__len__", "__iter__", "__getitem__", "__str__", "__repr__", "__next__")
_FUNCTIONS = (
    types.FunctionType | types.BuiltinFunctionType | types.MethodType | types.MethodDescriptorType
)
#: Arguments that a call may change in place.
_MUTABLE = (list, dict, set, bytearray)


class GoneError(BaseException):
    """The other side has ended; not an Exception, so that no test catches it by accident."""


class Peer:
    """One side of the conversation.

    Args:
        send: Sends a message.
        receive: Returns the next message; raises `GoneError` at the end.
        resolve: Returns what a name stands for on this side; None if the other may not ask.
        strict: Whether only objects whose class was asked for by name may be used from here.
    """

    def __init__(
        self,
        send: Callable[[list[Any]], None],
        receive: Callable[[], list[Any]],
        resolve: Callable[[str], Any] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._send, self._receive, self._resolve, self._strict = send, receive, resolve, strict
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._named_classes: set[int] = set()
        self._errors: dict[str, type[Exception]] = {}

    def name(self, name: str) -> Any:
        """Return what a name stands for on the other side."""
        found = self._ask("name", name)
        if isinstance(found, Proxy) and part(found, "kind") == "class":
            self._named_classes.add(part(found, "number"))
        return found

    def serve(self) -> None:
        """Answer the other side's questions until it ends."""
        while True:
            self._answer(self._receive())

    def _ask(self, *question: Any, changed: tuple[Any, ...] = ()) -> Any:
        """Ask the other side, and answer what it asks meanwhile."""
        self._send(list(question))
        while True:
            message = self._receive()
            if message[0] == "value":
                for index, content in message[2]:
                    _replace(changed[index], self._decode(content))
                return self._decode(message[1])
            if message[0] == "raise":
                error = self._error(message[1])
                if isinstance(error, StopIteration) and "__next__" not in question:
                    # It would end a `map` in the tests as if all its values had been seen.
                    raise RuntimeError("the program raised StopIteration") from error
                raise error
            self._answer(message)

    def _answer(self, message: list[Any]) -> None:
        try:
            answer = self._do(message)
        except GoneError:
            raise
        except BaseException as error:  # the program may raise anything
            answer = ["raise", self._encode_error(error)]
        self._send(answer)

    def _do(self, message: list[Any]) -> list[Any]:
        kind, *content = message
        if kind == "name" and self._resolve is not None:
            return ["value", self._encode(self._resolve(content[0])), []]
        if kind == "call":
            number, coded, keywords = content
            arguments = [self._decode(item) for item in coded]
            named = {key: self._decode(item) for key, item in keywords.items()}
            result = self._objects[number](*arguments, **named)
            return ["value", self._encode(result), self._changes(arguments, coded)]
        target = self._objects[content[0]]
        if kind == "get":
            return ["value", self._encode(getattr(target, _public(target, content[1]))), []]
        if kind == "set":
            setattr(target, _public(target, content[1]), self._decode(content[2]))
            return ["value", None, []]
        if kind == "special" and content[1] in _SPECIAL and _has_attributes(target):
            method = getattr(type(target), content[1])
            return ["value", self._encode(method(target, *map(self._decode, content[2]))), []]
        raise ValueError(f"cannot do '{kind}'")

    def _changes(self, arguments: list[Any], before: list[Any]) -> list[list[Any]]:
        """List the arguments that a call has changed in place."""
        changes = []
        for index, argument in enumerate(arguments):
            if isinstance(argument, _MUTABLE):
                after = self._encode(argument)
                if after != before[index]:
                    changes.append([index, after])
        return changes

    def call(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Call an object of the other side."""
        coded = [self._encode(item) for item in arguments]
        named = {key: self._encode(item) for key, item in keywords.items()}
        return self._ask("call", number, coded, named, changed=arguments)

    def special(self, number: int, method: str, *arguments: Any) -> Any:
        """Call a special method of an object of the other side."""
        return self._ask("special", number, method, [self._encode(item) for item in arguments])

    def attribute(self, number: int, name: str) -> Any:
        """Return an attribute of an object of the other side."""
        return self._ask("get", number, name)

    def set_attribute(self, number: int, name: str, value: Any) -> None:
        """Set an attribute of an object of the other side."""
        self._ask("set", number, name, self._encode(value))

    def _encode(self, value: Any) -> Any:
        return codec.encode(value, self._refer)

    def _decode(self, code: Any) -> Any:
        return codec.decode(code, self._referred)

    def _refer(self, value: Any) -> Any:
        """Encode a reference to an object, which stays here."""
        if type(value) is Proxy:
            return {"t": "yours", "v": part(value, "number")}
        if isinstance(value, types.ModuleType):
            return {"t": "module", "v": value.__name__}
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"t": "error", "v": _lineage(value)}
        if isinstance(value, type) and value.__module__ == "builtins":
            return {"t": "builtin", "v": value.__name__}
        kind = "object"
        if isinstance(value, type):
            kind = "class"
        elif isinstance(value, _FUNCTIONS) or not _has_attributes(value):
            kind = "function" if callable(value) else "opaque"
        owner = self._number(type(value)) if kind == "object" else -1
        return {
            "t": "mine",
            "v": [self._number(value), kind, owner, kind != "opaque" or _truth(value)],
        }

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)  # kept, so that the id is not reused
        return self._numbers[id(value)]

    def _referred(self, tag: str, content: Any) -> Any:
        if tag == "yours":
            return self._objects[content]
        if tag == "module":
            if content not in sys.stdlib_module_names:
                raise AttributeError(f"the module {content} stays in the program")
            return importlib.import_module(content)
        if tag == "builtin":
            return getattr(builtins, content)
        if tag == "error":
            return self._error_class(content)
        if tag != "mine":
            raise codec.NotPlainError(f"a value of the unknown type {tag}")
        number, kind, owner, truth = content
        if kind == "object" and self._strict and owner not in self._named_classes:
            kind = "opaque"
        return Proxy(self, number, kind, bool(truth))

    def _encode_error(self, error: BaseException) -> list[Any]:
        try:
            arguments = [codec.encode(item) for item in error.args]
        except Exception:
            arguments = [str(error)[:1000]]
        return [_lineage(type(error)), arguments]

    def _error(self, content: list[Any]) -> Exception:
        lineage, arguments = content
        kind = self._error_class(lineage)
        try:
            return kind(*map(codec.decode, arguments))
        except Exception:  # a built-in type that needs other arguments
            return RuntimeError(f"{lineage[0]}: {arguments}")

    def _error_class(self, lineage: list[str]) -> type[Exception]:
        """Return the built-in exception of that name, or a subclass of the nearest one."""
        if lineage[0] not in self._errors:
            known = (getattr(builtins, name, None) for name in lineage)
            base = next(
                (k for k in known if isinstance(k, type) and issubclass(k, Exception)), RuntimeError
            )
            same = base.__name__ == lineage[0]
            self._errors[lineage[0]] = base if same else type(lineage[0], (base,), {})
        return self._errors[lineage[0]]


def _lineage(kind: type) -> list[str]:
    return [base.__name__ for base in kind.__mro__]


def _has_attributes(value: Any) -> bool:
    """Return whether a value is a class of the loaded source, or an object of one."""
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__ in ("solution", "tests")


def _public(target: Any, name: str) -> str:
    """Return an attribute's name if the other side may use it."""
    if name.startswith("_") or not _has_attributes(target):
        raise AttributeError(f"'{name}' cannot be used from outside the sandbox")
    return name


def _truth(value: Any) -> bool:
    try:
        return bool(value)
    except Exception:
        return True


def _replace(argument: Any, content: Any) -> None:
    """Give an argument the content that a call has left in its copy."""
    if isinstance(argument, list | bytearray):
        argument[:] = content
    elif isinstance(argument, dict | set):
        argument.clear()
        argument.update(content)


def lines(reader: Any, writer: Any) -> tuple[Callable[[list[Any]], None], Callable[[], list[Any]]]:
    """Return functions that send and receive messages as JSON lines over binary files."""

    def send(message: list[Any]) -> None:
        writer.write(json.dumps(message).encode() + b"\n")
        writer.flush()

    def receive() -> list[Any]:
        line = reader.readline()
        message: list[Any] = json.loads(line) if line else ["gone"]
        if message[0] == "gone":
            raise GoneError
        return message

    return send, receive
