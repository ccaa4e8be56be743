"""Reads a page with the standard library's parser: its elements, and the text below an id."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}
CELLS = {"td", "th", "dt", "dd", "li", "h2", "h3"}


class HtmlPage(HTMLParser):
    """The elements of a page in order, and whether every element that opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self._open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

        if tag in CELLS:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "script":
            self.scripts[-1] += data
        for _, name in self._open:
            if name is not None:
                self.texts[name] = self.texts.get(name, "") + data

    def words(self, name: str) -> str:
        """The text below an id, its white space made single blanks."""
        return " ".join(self.texts[name].split())
