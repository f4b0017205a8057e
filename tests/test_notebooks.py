"""The notebooks as they are committed: executed, whole, small. That their outputs are right is for nbval to say."""

import ast
import json
import re
import warnings
from datetime import datetime
from pathlib import Path

import pytest

from toylab.classroom.twins import twin_of
from toylab.widgets import live_instruments

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_executed_whole_and_small(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert path.stat().st_size < 1_500_000


def test_the_first_page_lists_every_lesson_with_its_picture():
    (start, *lessons) = NOTEBOOKS
    assert start.stem == "00_start_here"
    (page,) = json.loads(start.read_text())["cells"]
    text = "".join(page["source"])
    listed = re.findall(r"^\| \[.*?\]\((\w+)\.ipynb\) \|.*!\[.+\]\(pictures/(\w+)\.png\) \|$", text, re.MULTILINE)
    assert [name for name, _ in listed] == [path.stem for path in lessons]
    for name, picture in listed:
        assert name == picture
        assert (start.parent / "pictures" / f"{picture}.png").stat().st_size < 100_000


def seconds(cell):
    """From the moment a cell was handed to the kernel until the kernel was idle again, as nbconvert recorded them."""
    assert "execution" in cell["metadata"], f"no times are recorded: run `make notebooks`. {cell['source'][:1]}"
    begun, done = (cell["metadata"]["execution"][name] for name in ("iopub.execute_input", "iopub.status.idle"))
    return (datetime.fromisoformat(done) - datetime.fromisoformat(begun)).total_seconds()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_ran_in_the_time_that_the_first_page_promises(path):
    """Less than a minute and a half, by the times that its last run left in it."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(seconds(cell) > 0 for cell in cells)
    assert sum(map(seconds, cells)) <= 90


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_picture_is_described_and_explained(path):
    """Described for those who do not see it, in the metadata of its cell; explained to all, in italics under it."""
    cells = json.loads(path.read_text())["cells"]
    for cell, below in zip(cells, [*cells[1:], None], strict=True):
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            described = cell["metadata"].get("alt", "")
            assert len(described) >= 40, cell["source"]
            assert not re.search(r"[$\\\n]", described), described  # a screen reader has no formulas
            assert below is not None and below["cell_type"] == "markdown", cell["source"]
            caption = re.match(r"\*([^*\n]{40,})\*\n", "".join(below["source"]) + "\n")
            assert caption, "".join(below["source"])[:80]
            assert caption[1] != described


WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_widget_has_its_live_twin_or_a_reason_for_none(path):
    """And an instrument of the live lab is its own twin. That the instruments take the addresses is for the browser."""
    for cell in json.loads(path.read_text())["cells"]:
        shown = any(WIDGET in output.get("data", {}) for output in cell.get("outputs", []))
        named = {name for name in ("live", "no_live") if name in cell["metadata"]}
        assert len(named) == shown, cell["source"]
        assert twin_of(cell) or len(cell["metadata"].get("no_live", 40 * " ")) >= 40
        own = re.findall(r'^live_(\w+)\(address="(#[^"]+)"\)$', "".join(cell["source"]), re.MULTILINE)
        assert not own or cell["metadata"]["live"] == "".join(own[0])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_live_instruments_that_a_lesson_has_stored_are_those_of_today(path):
    """They move before a cell is run. After a change of toylab/widgets/live: make notebooks."""
    models = json.loads(path.read_text())["metadata"].get("widgets", {}).values()
    states = [model["state"] for kind in models for model in kind["state"].values()]
    stored = {"_esm", "_css", "laws"}
    for state in states:
        if (made := state.get("_anywidget_id", "")).startswith("toylab.widgets.live_instruments."):
            today = getattr(live_instruments, "live" + made.rpartition(".")[2].lower())().get_state(stored)
            assert {name: state[name] for name in stored} == today


# Lessons that can be given from the site alone
WITHOUT_PYTHON = {"01_scores": 3, "02_langevin": 2, "05_noise_levels": 2}


@pytest.mark.parametrize("name", WITHOUT_PYTHON)
def test_a_lesson_that_can_be_given_from_the_site_asks_and_answers(name):
    """Above each live instrument a question in italics; below, before the next one, a cell that prints the answer."""
    (path,) = (path for path in NOTEBOOKS if path.stem == name)
    cells = json.loads(path.read_text())["cells"]
    shown = [n for n, cell in enumerate(cells) if twin_of(cell)]
    assert len(shown) == WITHOUT_PYTHON[name]
    for n, end in zip(shown, [*shown[1:], None], strict=True):
        assert re.search(r"\*\*Try it\b.*\*[A-Z][^*]+\?\*", "".join(cells[n - 1]["source"]))
        answers = [cell for cell in cells[n + 1 : end] if cell["cell_type"] == "code"]
        assert any(re.search(r"\d\.?\d", line) for cell in answers[:3] for line in printed_by(cell))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_its_solution_folded_away(path):
    cells = json.loads(path.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    _, _, exercises = text.partition("## Exercises\n")
    numbered = re.findall(r"^\*\*(\d)\.", exercises, re.MULTILINE)
    assert text.count("<details><summary>Solution</summary>") == len(numbered)
    assert numbered == [str(n + 1) for n in range(len(numbered))]


# What asks for a guess before the answer is seen
GUESS = re.compile(
    r"\*\*Try it\b|\b[Gg]uess (first|before)\b|your guess\b|\b[Pp]redict (it )?first\b|\bbefore you (look|read|run)\b"
)


def given_away(cells):
    """Cells in which the answer stands open under a question that asks for a guess, exercises left out.

    That is printed output up to the next text, unless it is hidden but for its first line, which JupyterLab goes on
    showing and which must be a heading; and each number of it with a decimal point in the rest of the section.
    """
    asked, printed_there = False, set()
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            lines = list(printed_by(cell)) if asked else []
            printed_there |= set(re.findall(r"\d+\.\d+", "\n".join(lines)))
            hidden, tags = cell["metadata"].get("jupyter", {}), cell["metadata"].get("tags", [])
            folded = hidden.get("outputs_hidden") and "hide-output" in tags
            if lines and not (folded and not re.search(r"\d\.\d", lines[0])):
                yield source
            continue
        said, exercises, _ = re.sub(r"<details>.*?</details>", "", source, flags=re.DOTALL).partition("## Exercises\n")
        if printed_there & set(re.findall(r"\d+\.\d+", said.partition("\n## ")[0])):
            yield source
        asked, printed_there = bool(GUESS.search(said)), set()
        if exercises:
            return


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_where_a_guess_is_asked_for_the_answer_is_folded(path):
    """Outputs open by a click, in JupyterLab and on the site; a verdict in words is in ``<details>``."""
    assert not list(given_away(json.loads(path.read_text())["cells"]))


def test_the_quiz_of_the_museum_is_not_given_away():
    """Verdicts are folded; what names or measures a mistake is hidden till a click, in JupyterLab and on the site."""
    (path,) = (path for path in NOTEBOOKS if path.stem == "09_bug_museum")
    cells = json.loads(path.read_text())["cells"]
    (end,) = (n for n, cell in enumerate(cells) if "\n## 4. " in "".join(cell["source"]))
    for n, cell in enumerate(cells):
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        hidden = cell["metadata"].get("jupyter", {})
        if n < end and cell["cell_type"] == "code" and "museum." in source:
            assert hidden["source_hidden"] and "hide-input" in tags
        prints = any(output["output_type"] == "stream" for output in cell.get("outputs", []))
        if prints and (n < end or "museum.EXHIBITS" in source):
            assert hidden["outputs_hidden"] and "hide-output" in tags
    shown, _, below = texts(cells).partition("## 3.")
    assert not re.search(r"give themselves away|are right\. The rest|The pair weight and variance", shown)
    # Further down no cloud is named; an A that begins no sentence is one
    assert not re.findall(r"\b[B-H]\b|(?<=[a-z,] )A\b", re.sub(r"\$.*?\$", "", below))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_that_draws_shows_a_picture(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code" and "plotting.look()" in "".join(cell["source"]):
            assert any("image/png" in output.get("data", {}) for output in cell["outputs"]), cell["source"]


def programs(cells):
    """The code of the cells, and that of the solutions in the text."""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield source
        else:
            yield from re.findall(r"^```python\n(.*?)^```$", source, re.MULTILINE | re.DOTALL)


@pytest.mark.nightly
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_solutions_run_after_their_lesson(path):
    """They use its names, and nbval does not run them."""
    names = {}
    with warnings.catch_warnings(action="ignore"):  # some show what a warning is given for
        for program in programs(json.loads(path.read_text())["cells"]):
            exec(program, names)


def names_used(program):
    """Every name that a program imports, and every attribute that it reads."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr


def is_private(name):
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lessons_use_public_names_alone(path):
    """A student may copy any line of them."""
    names = {name for program in programs(json.loads(path.read_text())["cells"]) for name in names_used(program)}
    assert not {name for name in names if is_private(name)}


def test_private_names_are_found():
    program = (
        "from toylab._internal.random import normal_like\nfrom toylab.densities import _boxes, two_modes\np._hold()"
    )
    assert {name for name in names_used(program) if is_private(name)} == {
        "toylab._internal.random.normal_like",
        "toylab.densities._boxes",
        "_hold",
    }


LINES_OF_A_CELL = 12


def long_cells(path):
    """The cells of code with more lines than a student takes in at once, blank ones not counted."""
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            lines = [line for line in "".join(cell["source"]).splitlines() if line.strip()]
            if len(lines) > LINES_OF_A_CELL:
                yield cell["id"], len(lines)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short(path):
    """A picture is a line or two of ``toylab.plotting``; what is left over is what the lesson is about."""
    assert not list(long_cells(path))


def nested_formats(program):
    """Texts that are made inside of texts, as in f"{f'{x:.1g}'}"."""
    nodes = list(ast.walk(ast.parse(program)))
    widths = {node.format_spec for node in nodes if isinstance(node, ast.FormattedValue)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            inner = [part for part in ast.walk(node) if isinstance(part, ast.JoinedStr) and part is not node]
            yield from (part for part in inner if part not in widths)


def is_undocumented(name):
    """Whether it is imported from a module of toylab that no page of the reference or of the conventions names."""
    module = name.rpartition(".")[0]
    pages = {page.read_text().partition("\n")[0] for page in (DOCS / "reference").glob("*.rst")}
    named = module.removeprefix("toylab.") + "." in (DOCS / "conventions.md").read_text()
    return module.startswith("toylab.") and module not in pages and not named


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_student_could_have_written_it(path):
    """No code is laid out by hand, no texts are nested, and nothing is imported that is not documented."""
    code = list(programs(json.loads(path.read_text())["cells"]))
    found = [program for program in code if "# fmt: " in program or list(nested_formats(program))]
    found += [name for program in code for name in names_used(program) if is_undocumented(name)]
    assert not found


def test_what_a_student_would_not_write_is_found():
    assert list(nested_formats("""print(f"{f'{x:.1g}':>8s}")"""))
    assert not list(nested_formats("""print(f"{x:{width}.2f}", f"{y}")"""))
    assert is_undocumented("toylab.experiments.flow_state.draw_flow_state")
    assert not is_undocumented("toylab.densities.quadrature.expectation")
    assert not is_undocumented("toylab.densities.ring")
    assert not is_undocumented("toylab.plotting")


def printed_by(cell):
    """The lines of text that a cell has stored, that of its pictures and widgets left out."""
    for output in cell.get("outputs", []):
        yield from "".join(output.get("text", "")).splitlines()


def printed(path):
    """Those of all cells of a notebook."""
    for cell in json.loads(path.read_text())["cells"]:
        yield from printed_by(cell)


# Equality is no number
YES_OR_NO = {
    "11_bring_your_own": {"    equal to one made alike: True   to another: False"},
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_are_printed_and_not_booleans(path):
    """A comparison is left to the reader: the value is printed beside the truth."""
    found = {line for line in printed(path) if re.search(r"\b(True|False)\b", line)}
    assert found == YES_OR_NO.get(path.stem, set())


def anchors(path):
    """What a link may name in a lesson: its headings, as the site and GitHub write them."""
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "markdown":
            for heading in re.findall(r"^#+ (.+)$", "".join(cell["source"]), re.MULTILINE):
                yield re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_the_ten_questions_are_answered_under_headings_that_there_are():
    page = NOTEBOOKS[0].parents[1] / "docs" / "classroom.md"
    _, _, table = page.read_text().partition("## Ten questions that the lessons answer\n")
    rows = re.findall(r"^\| [^|]+\? \|.*\|$", table, re.MULTILINE)
    assert len(rows) == 10
    for row in rows:
        links = re.findall(r"\]\(\.\./(notebooks/\w+\.ipynb)#([^)]+)\)", row)
        assert links, row
        for lesson, anchor in links:
            assert anchor in anchors(page.parents[1] / lesson), row


def texts(cells):
    """What is written in a lesson, its solutions left out."""
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)


def test_the_minutes_of_the_first_page_are_those_of_its_rule():
    """100 words and 10 lines of code a minute, to within 5."""
    start = "".join(json.loads(NOTEBOOKS[0].read_text())["cells"][0]["source"])
    assert "at 100 words and 10 lines of code a minute" in start
    promised = dict(re.findall(r"^\| \[.*?\]\((\w+)\.ipynb\) \|.*\| (\d+) \| !", start, re.MULTILINE))
    for path in NOTEBOOKS[1:]:
        cells = json.loads(path.read_text())["cells"]
        code = "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code")
        minutes = len(texts(cells).split()) / 100 + len([line for line in code.splitlines() if line.strip()]) / 10
        assert abs(minutes - int(promised[path.stem])) <= 5, (path.stem, minutes)


def test_every_term_of_the_glossary_is_in_its_lesson():
    _, _, glossary = "".join(json.loads(NOTEBOOKS[0].read_text())["cells"][0]["source"]).partition("## Glossary\n")
    rows = re.findall(r"^\| (.+?) \| .+ \| \[\d\db?\]\((\w+\.ipynb)\) \|$", glossary, re.MULTILINE)
    assert len(rows) >= 30
    for term, lesson in rows:
        cells = json.loads((NOTEBOOKS[0].parent / lesson).read_text())["cells"]
        assert term.lower() in texts(cells).lower(), (term, lesson)


NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]\d\d)?(?![\w.])")


def is_rounded(number, exact):
    """Whether a number in a text is another one, rounded to as many digits."""
    digits = len(number.partition("e")[0].replace(".", "").lstrip("0"))
    return float(f"{float(exact):.{digits}g}") == float(number)


def test_the_five_worst_slips_have_the_numbers_that_the_lesson_prints():
    """All numbers of a row are in one line that one of its sections prints, rounded or as they are."""
    (path,) = (path for path in NOTEBOOKS if path.stem == "08_errata")
    cells, section, lines = json.loads(path.read_text())["cells"], "0", {}
    for cell in cells:
        section = "".join(re.findall(r"^## (\d+)\.", "".join(cell["source"]), re.MULTILINE)) or section
        output = "".join("".join(output.get("text", "")) for output in cell.get("outputs", []))
        lines.setdefault(section, []).extend(NUMBER.findall(line) for line in output.splitlines())
    _, _, table = texts(cells).partition("## The five that do most harm\n")
    rows = re.findall(r"^\| (?!mistake).+ \| (.+) \| ([\d, ]+) \|$", table.partition("\n## 1.")[0], re.MULTILINE)
    assert len(rows) == 5
    for row, sections in rows:
        numbers = [number for number in NUMBER.findall(row.replace("$", " ")) if "." in number]
        there = [line for section in sections.split(", ") for line in lines[section]]
        assert numbers
        assert any(all(any(is_rounded(one, n) for n in line) for one in numbers) for line in there), row
