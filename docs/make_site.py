"""Render the notebooks, the README and all that they link to as web pages, then check every link and picture.

    python docs/make_site.py --out site

The first page is ``index.html``. Formulas are drawn by MathJax, which a browser fetches from the net; all else is in
the folder. A broken link, an anchor that is not there or a picture without alternative text is told in a line, and
the exit status is 1.
"""

import argparse
import posixpath
import shutil
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup, Tag
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[1]
FIRST_PAGE = "notebooks/00_start_here.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"
BAR = """<style>.jp-MarkdownOutput .highlight, details {{ margin-bottom: 1em }}</style>
<nav class="jp-RenderedHTMLCommon" style="padding: 1em 2em">{}</nav>"""
NO_DESCRIPTION = "No description has been provided for this image"  # what nbconvert writes


def place(source: str) -> str:
    """Where a file or folder of the project lies on the site: the notebooks at its root, pages as HTML."""
    if source == FIRST_PAGE:
        return "index.html"
    if (ROOT / source).is_dir():
        return f"{source}/index.html"
    stem, suffix = posixpath.splitext(source.removeprefix("notebooks/"))
    return stem + (".html" if suffix in (".ipynb", ".md") else suffix)


def relative(target: str, source: str) -> str:
    """The address of one file of the project on the page of another."""
    return quote(posixpath.relpath(place(target), posixpath.dirname(place(source)) or "."))


def as_notebook(source: str) -> nbformat.NotebookNode:
    """A page of any kind as a notebook: a markdown page is one cell, a folder the list of its files."""
    path = ROOT / source
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata.pop("widgets", None)
        for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
            if WIDGET in output.get("data", {}):
                output.data = {"text/markdown": "*(Here the notebook has a picture to play with: open it in Jupyter.)*"}
        return notebook
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.is_file())
        text = f"# {source}\n\n" + "\n".join(f"- [{name}]({source.rsplit('/', 1)[-1]}/{quote(name)})" for name in names)
    else:
        text = path.read_text(encoding="utf-8")
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])


def describe_pictures(page: BeautifulSoup) -> None:
    """Give each drawn picture the alternative text that stands under it in italics, as the notebooks have it."""
    for picture in page.select(".jp-OutputArea img"):
        below = picture.find_parent(class_="jp-CodeCell").find_next_sibling(class_="jp-Cell")
        words = below and below.select_one(".jp-MarkdownOutput > p:first-child > em:only-child")
        if words and words.get_text() == words.parent.get_text():
            picture["alt"] = words.get_text()


def linked(page: BeautifulSoup) -> list[tuple[Tag, str]]:
    """The links and pictures of a page, each with the attribute that holds its address."""
    return [(tag, name) for name in ("href", "src") for tag in page.select(f"a[{name}], img[{name}]")]


def render(source: str, lessons: list[str]) -> tuple[str, list[str]]:
    """The page as HTML, with its links turned to the site, and the files of the project that it links to."""
    notebook = as_notebook(source)
    words = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    title = next((line[2:] for line in words if line.startswith("# ")), source)
    html, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": title}})
    # MathJax would break formulas in tables, whose columns it measures before they have their width
    page = BeautifulSoup(html.replace("automatic: true", "automatic: false"), "html.parser")
    describe_pictures(page)
    targets = []
    for tag, name in linked(page):
        url = urlsplit(tag[name])
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), unquote(url.path)))
        if url.scheme or url.netloc or not url.path or not (ROOT / target).exists() or target.startswith(".."):
            continue
        targets.append(target)
        tag[name] = relative(target, source) + (f"#{url.fragment}" if url.fragment else "")
    here = lessons.index(source) if source in lessons else None
    around = [] if here is None else lessons[max(here - 1, 0) : here + 2]
    steps = [step for step in dict.fromkeys([FIRST_PAGE, *around, "README.md"]) if step != source]
    bar = " · ".join(f'<a href="{relative(step, source)}">{Path(step).stem}</a>' for step in steps)
    page.body.insert(0, BeautifulSoup(BAR.format(bar), "html.parser"))
    return str(page), targets


def build(out: Path) -> None:
    """Write the site: the notebooks, the README, and whatever these lead to."""
    lessons = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    waiting = [*lessons, "README.md"]
    seen = set(waiting)
    while waiting:
        source = waiting.pop()
        path = out / place(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".html":
            shutil.copyfile(ROOT / source, path)
            continue
        html, targets = render(source, lessons)
        path.write_text(html, encoding="utf-8")
        waiting += sorted({*targets} - seen)
        seen.update(targets)


def problems(out: Path, online: bool = False) -> list[str]:
    """A line for each link that leads nowhere and each picture without words, naming the page.

    Links to elsewhere are asked for only ``online``; otherwise they need be no more than well formed.
    """
    pages = {path: BeautifulSoup(path.read_bytes(), "html.parser") for path in sorted(out.rglob("*.html"))}
    anchors = {
        path: {tag[name] for name in ("id", "name") for tag in page.select(f"[{name}]")} for path, page in pages.items()
    }
    found = []
    for path, page in pages.items():
        for tag, name in linked(page):
            wrong = problem(path, tag[name], out, anchors, online)
            if wrong:
                found.append(f"{path.relative_to(out)}: {tag[name][:100]}: {wrong}")
        for picture in page.select("img"):
            if picture.get("alt", "").strip() in ("", NO_DESCRIPTION):
                found.append(f"{path.relative_to(out)}: {picture.get('src', '')[:100]}: no alternative text")
    return found


def problem(page: Path, address: str, out: Path, anchors: dict[Path, set[str]], online: bool) -> str:
    """What is wrong with a link on a page, or nothing."""
    url = urlsplit(address)
    if url.scheme in ("data", "mailto"):
        return ""
    if url.scheme or url.netloc:
        if url.scheme not in ("http", "https") or "." not in (url.hostname or "") or set(address) & set(' <>"'):
            return "not well formed"
        return answer(address) if online else ""
    target = (page.parent / unquote(url.path)).resolve() if url.path else page
    if not target.is_file() or not target.is_relative_to(out.resolve()):
        return "leads nowhere"
    # a browser looks for the anchor as it is written first, then decoded
    if url.fragment and not {url.fragment, unquote(url.fragment)} & anchors.get(target, set()):
        return "no such anchor"
    return ""


def answer(address: str) -> str:
    """What the server says that is wrong, or nothing."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers={"User-Agent": "toylab"}), timeout=30):
            return ""
    except OSError as error:
        return str(error)


def main() -> int:
    """Build, check, and say what is wrong; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("site"), help="an empty or new folder (site)")
    parser.add_argument("--online", action="store_true", help="ask for the links to elsewhere, too")
    options = parser.parse_args()
    out = options.out.resolve()
    if out.exists() and any(out.iterdir()):
        print(f"{options.out} is not empty: old pages would hide broken links. Empty it first.", file=sys.stderr)
        return 2
    build(out)
    found = problems(out, options.online)
    print(*found, sep="\n", file=sys.stderr, end="\n" if found else "")
    if not found:
        print(f"{options.out / 'index.html'}: all links and pictures are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
