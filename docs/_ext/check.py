"""Once the pages are written: every link, anchor and picture of the site is looked up.

Sphinx warns of what it resolves itself. This sees the pages as a browser does, raw HTML included. Scripts, styles and
pictures must come with the site; links to elsewhere must be well formed, and are asked for by
``python -m sphinx -b linkcheck -c docs . site/links``.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from instruments import FOLDER
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)


@dataclass
class Page(HTMLParser):
    """What a page refers to, and what in it can be referred to."""

    text: str
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)  # scripts, styles and pictures, without which it is not whole
    undescribed: list[str] = field(default_factory=list)  # pictures without alternative text

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take note of the attributes of a tag."""
        found = {name: value or "" for name, value in attributes}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and "href" in found:
            (self.parts if found.get("rel") == "stylesheet" else self.links).append(found["href"])
        if tag in ("img", "script") and "src" in found:
            self.parts.append(found["src"])
        if tag == "img" and not found.get("alt", "").strip():
            self.undescribed.append(found.get("src", ""))


def problems(site: Path) -> list[str]:
    """A line for each link that leads nowhere, each part that needs the net, and each picture without words."""
    site = site.resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}

    def problem(path: Path, address: str) -> str:
        url = urlsplit(address)
        if url.scheme in ("data", "mailto"):
            return ""
        if url.scheme or url.netloc:
            well_formed = (
                url.scheme in ("http", "https") and "." in (url.hostname or "") and not set(address) & set(' <>"')
            )
            return "" if well_formed else "not well formed"
        target = (path.parent / unquote(url.path)).resolve() if url.path else path
        if not target.is_file() or not target.is_relative_to(site):
            return "leads nowhere"
        if target.parent == site / FOLDER:  # where it is the state of an instrument
            return ""
        # a browser looks for the anchor as it is written first, then decoded
        if url.fragment and target in pages and not {url.fragment, unquote(url.fragment)} & pages[target].anchors:
            return "no such anchor"
        return ""

    found = []
    for path, page in pages.items():
        wrong = [(address, problem(path, address)) for address in page.links + page.parts]
        wrong += [(address, "needs the net") for address in page.parts if urlsplit(address).netloc]
        wrong += [(address, "no alternative text") for address in page.undescribed]
        found += [f"{path.relative_to(site)}: {address[:100]}: {what}" for address, what in wrong if what]
    return found


def check(app: Sphinx, error: Exception | None) -> None:
    """A warning for each problem, and so an error of ``make site``."""
    if error is None and app.builder.format == "html":
        for line in problems(Path(app.outdir)):
            LOGGER.warning("%s", line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Last of all, when every file is in its place."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True}
