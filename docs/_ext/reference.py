"""The reference: every public name of a package on one page, file by file, with no list kept by hand.

    .. public:: toylab.densities
       :also: bandwidth

What is public is what ``__all__`` names, or where there is none every name without an underscore; ``also`` names
further modules of the package that are meant to be imported by themselves.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

from docutils import nodes
from docutils.parsers.rst import directives
from formulas import inline, set_formulas
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOGGER = logging.getLogger(__name__)
# A class that shows what it inherits, and the base at which that ends: of a density, its dtype, device and ``to``
INHERITED_UP_TO = {"Density": "ABC"}
LONGEST_VALUE = 80  # characters of a constant that are shown
ROOMS = (
    "score", "guidance", "densities", "discrete", "schedules", "sde", "paths", "networks", "objectives", "samplers",
    "training", "metrics", "testing", "museum", "study", "plotting", "experiments", "papers", "studies", "live",
    "widgets",
)  # fmt: skip


def public_names(module: ModuleType) -> list[str]:
    """The names that ``__all__`` lists, else those that the file defines without an underscore; sorted."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    found = []
    for node in ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.target.id)
    return sorted((name for name in found if not name.startswith("_")), key=str.lower)


def home_of(package: ModuleType) -> dict[str, str]:
    """For each name that a package imports from one of its own files, the dotted name of that file."""
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package.__name__}.")
        for alias in node.names
    }


def entry(module: str, name: str, home: str) -> list[str]:
    """The directive that documents one name: those of autodoc, and for a constant its value."""
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing):
        inherited = [f"   :inherited-members: {INHERITED_UP_TO[name]}"] if name in INHERITED_UP_TO else []
        return [f".. autoclass:: {module}.{name}", "   :members:", *inherited, ""]
    if inspect.isroutine(thing):
        return [f".. autofunction:: {module}.{name}", ""]
    value = repr(thing)
    shown = [f"   :value: {value}"] if len(value) < LONGEST_VALUE else []
    return [f".. py:data:: {name}", *shown, "", f"   {summary(module, name, home)}", ""]


def summary(module: str, name: str, home: str) -> str:
    """The first line of the docstring, its formulas set; of a constant, the comment on its line."""
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return inline((inspect.getdoc(thing) or "").split("\n")[0])
    source = Path(str(importlib.import_module(home).__file__)).read_text(encoding="utf-8")
    comment = re.search(rf"^{name}\b.*  # (.+)$", source, flags=re.MULTILINE)
    return inline(comment.group(1)) if comment else ""


def page(package_name: str, also: list[str]) -> list[str]:
    """The page of a package in reStructuredText: a table of all names, then each file with what it defines."""
    package = importlib.import_module(package_name)
    names = [name for name in public_names(package) if not inspect.ismodule(getattr(package, name))]
    modules = [name for name in public_names(package) if name not in names] + also
    home = home_of(package)
    lines = [f".. automodule:: {package_name}", "", f".. currentmodule:: {package_name}", ""]
    if names:
        lines += [".. list-table::", "   :widths: 25 75", ""]
        for name in names:
            lines += [f"   * - :py:obj:`{name}`", f"     - {summary(package_name, name, home.get(name, package_name))}"]
        lines += [""]
    files = sorted({home.get(name, package_name) for name in names} - {package_name})
    for name in names:
        if home.get(name, package_name) == package_name:
            lines += entry(package_name, name, package_name)
    for file in files:
        lines += [*heading(file, package_name), *words_of(importlib.import_module(file)), ""]
        for name in names:
            if home.get(name) == file:
                lines += entry(package_name, name, file)
    for name in modules:
        module = importlib.import_module(f"{package_name}.{name}")
        lines += [*heading(module.__name__, package_name), f".. py:module:: {module.__name__}", ""]
        lines += [*words_of(module), ""]
        for inner in public_names(module):
            if callable(getattr(module, inner)):  # the settings of an experiment are read in its file
                lines += entry(module.__name__, inner, module.__name__)
    return lines


def heading(file: str, package: str) -> list[str]:
    """The heading of a file."""
    title = file.removeprefix(f"{package}.").replace(".", "/") + ".py"
    return [title, "-" * len(title), ""]


def words_of(module: ModuleType) -> list[str]:
    """The docstring of a file, its formulas set as those of any other."""
    return set_formulas((inspect.getdoc(module) or "").splitlines())


class Public(SphinxDirective):
    """``.. public:: package``: the page of a package."""

    required_arguments = 1
    option_spec = {"also": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The nodes of the page, headings included."""
        package = self.arguments[0]
        for path in Path(str(importlib.import_module(package).__file__)).parent.glob("*.py"):
            self.env.note_dependency(str(path))
        for path in Path(__file__).parent.glob("*.py"):
            self.env.note_dependency(str(path))
        lines = page(package, self.options.get("also", "").split())
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def check_complete(app: Sphinx, env: BuildEnvironment) -> None:
    """A public name that is on no page is a warning, and so an error of ``make site``."""
    domain = env.domains.python_domain
    documented = {*domain.objects, *domain.modules}
    for room in ROOMS:
        module = importlib.import_module(f"toylab.{room}")
        for name in public_names(module):
            if f"toylab.{room}.{name}" not in documented:
                LOGGER.warning("toylab.%s.%s is public, and on no page: add it to docs/reference", room, name)


def drop_arguments_of_protocols(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str, returns: str
) -> tuple[str, None] | None:
    """A protocol is not built, so it has no arguments to show."""
    return ("", None) if what == "class" and getattr(thing, "_is_protocol", False) else None


def drop_sourceless(app: Sphinx, env: BuildEnvironment) -> None:
    """Leave modules without Python source, those of type aliases, out of the index of sources."""
    modules = env._viewcode_modules  # of sphinx.ext.viewcode
    for name in [name for name, entry in modules.items() if not entry]:
        del modules[name]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the check."""
    app.add_directive("public", Public)
    app.connect("env-check-consistency", check_complete)
    app.connect("env-updated", drop_sourceless)
    app.connect("autodoc-process-signature", drop_arguments_of_protocols)
    return {"parallel_read_safe": True}
