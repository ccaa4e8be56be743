"""What stands for an object of the other sandbox; its own code never compares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .codec import Elsewhere

if TYPE_CHECKING:
    from .peer import Peer


class Proxy(Elsewhere):
    """An object of the other side.

    It compares by identity: no method of the other side ever sees a value that a test expects.
    """

    def __init__(self, peer: Peer, number: int, kind: str, truth: bool) -> None:
        for name, value in (
            ("_peer", peer),
            ("_number", number),
            ("_kind", kind),
            ("_truth", truth),
        ):
            object.__setattr__(self, name, value)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        peer, number = owner_of(self, "object", "class")
        return peer.attribute(number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        peer, number = owner_of(self, "object")
        peer.set_attribute(number, name, value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it on the other side."""
        peer, number = owner_of(self, "function", "class", "object")
        return peer.call(number, arguments, keywords)

    def __eq__(self, other: object) -> bool:
        return type(other) is Proxy and owner_of(self) == owner_of(other)

    def __hash__(self) -> int:
        return hash(owner_of(self)[1])

    def __bool__(self) -> bool:
        return bool(part(self, "truth"))

    def __len__(self) -> int:
        peer, number = owner_of(self, "object")
        return int(peer.special(number, "__len__"))

    def __iter__(self) -> Any:
        peer, number = owner_of(self, "object")
        return iter(peer.special(number, "__iter__"))

    def __next__(self) -> Any:
        peer, number = owner_of(self, "object")
        return peer.special(number, "__next__")

    def __getitem__(self, key: Any) -> Any:
        peer, number = owner_of(self, "object")
        return peer.special(number, "__getitem__", key)

    def __str__(self) -> str:
        peer, number = owner_of(self)
        if part(self, "kind") != "object":
            return f"<{object.__getattribute__(self, '_kind')} of the program>"
        return str(peer.special(number, "__str__"))

    __repr__ = __str__


def owner_of(proxy: Proxy, *kinds: str) -> tuple[Peer, int]:
    """Return a proxy's peer and number, if it is of one of the kinds."""
    kind = part(proxy, "kind")
    if kinds and kind not in kinds:
        raise TypeError(f"a value that is not plain data cannot be used as {' or '.join(kinds)}")
    return part(proxy, "peer"), part(proxy, "number")


def part(proxy: Proxy, name: str) -> Any:
    """Return one of a proxy's own attributes, such as its number or kind."""
    return object.__getattribute__(proxy, f"_{name}")
