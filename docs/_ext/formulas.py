"""Plain-text formulas of docstrings, set in monospace instead of being read as markup.

Our docstrings write formulas as one types them: ``x' = x + eps/2 s(x) + sqrt(eps) z``, ``|s - s*|^2``.
reStructuredText would take the bars for substitutions and the stars for emphasis. So an indented formula becomes a
literal block, a formula within a sentence an inline literal, and what is left of bars and stars is escaped.
"""

import re

from sphinx.application import Sphinx

SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:", "Warns:")
GREEK = "alpha|beta|gamma|delta|eps|epsilon|eta|theta|kappa|lambda|mu|nu|pi|rho|sigma|tau|phi|chi|psi|omega"
FUNCTIONS = "E|Var|N|log|exp|sqrt|sin|cos|tanh|sign|softmax|logsumexp|grad|div|tr|det|min|max|sum_i|sum_k|int"
BINARY = ("+", "+-", "-", "*", "/", "=", "~", "<", ">", "<=", ">=", "<-", "|")
OPERATORS = (*BINARY, "->", "x")
NO_OPERANDS = ("the", "its", "of", "and", "is")
END = re.compile(r"(?<!\.)[,.;:]$")  # a full stop, but not three dots
WORD = re.compile(  # a letter, a name of mathematics, a number, or what has an index
    rf"[-+(\[|{{]*(?:{GREEK}|{FUNCTIONS}|[b-zB-HJ-Z]|\d[\d.,/]*|\w+_\w|d[a-z](?:/d\w)?)"
    r"(?:_\w+|~|'|\*)?[)\]|}]*"
)
POWER_CALL_OR_NORM = re.compile(r"\w[\^=]|[\w)]\^|\w\(.*\w|^\(?[A-Z]\[|\|\w|\|\^|[\w)]/[\w(]|^[-(]+\w+[\^/*]")
EITHER_OR = re.compile(r"\(?[A-Za-z-]+/[A-Za-z-]+\)?|\(?[a-z]+:?\S*://\S+|.*arXiv.*")  # words with a slash, addresses
NAME = re.compile(r"\s*\*{0,2}\w+( \(.*?\))?:")  # of an argument or an error, which napoleon reads
EMPHASIS = re.compile(r"\*\w[^*\s]*\*")
LITERAL = re.compile(r"``.+?``(?:s\b)?|`[^`]+`_*|:\w+:`[^`]+`", re.DOTALL)


def set_formulas(lines: list[str]) -> list[str]:
    """The lines of a docstring with its formulas marked as literals."""
    out: list[str] = []
    paragraph: list[str] = []
    in_sections, literal = False, None  # the indentation under which a literal block or a doctest goes on

    def flush() -> None:
        if paragraph:
            name = NAME.match(paragraph[0]) if in_sections else None
            start = name.end() if name else 0
            text = "\n".join(paragraph)
            out.extend((text[:start] + inline(text[start:])).split("\n"))
            paragraph.clear()

    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            flush()
            out.append(line)
            literal = None if literal == "doctest" else literal
        elif literal == "doctest" or line.lstrip().startswith(">>>"):
            flush()
            literal = "doctest"
            out.append(line)
        elif isinstance(literal, int) and indent >= literal:
            out.append(line)
        else:
            literal = None
            in_sections |= line in SECTIONS
            if indent and not in_sections and not paragraph and (not out or not out[-1].strip()):
                literal = indent
                out += ["::", "", line]
                continue
            if line in SECTIONS:
                flush()
                out.append(line)
            else:
                if in_sections and indent <= 4:  # a new argument
                    flush()
                paragraph.append(line)
    flush()
    return out


def inline(text: str) -> str:
    """A paragraph with its formulas as inline literals, and all other bars and stars escaped."""
    pieces, end = [], 0
    for found in LITERAL.finditer(text):
        pieces += [prose(text[end : found.start()]), found.group()]
        end = found.end()
    return "".join([*pieces, prose(text[end:])])


def prose(text: str) -> str:
    """Text without literals: runs of mathematical words become literals."""
    parts = [part for part in re.split(r"(\s+)", text) if part]
    words = [part for part in parts if not part.isspace()]
    flags = in_formulas(words)
    out: list[str] = []
    run: list[str] = []

    def close() -> None:
        tail = [run.pop()] if run and run[-1].isspace() else []
        out.append(literal("".join(run)) + "".join(tail))
        run.clear()

    depth, flag = 0, iter(flags)
    for part in parts:
        if part.isspace():
            (run if run else out).append(part)
        elif next(flag) or depth > 0:
            run.append(part)
            depth = max(depth + len(re.findall(r"[(\[]", part)) - len(re.findall(r"[)\]]", part)), 0)
            if depth == 0 and END.search(part):
                close()
        else:
            close()
            out.append(escaped(part))
    close()
    return "".join(out)


def in_formulas(words: list[str]) -> list[bool]:
    """For each word whether it belongs to a formula: by itself, or as what stands at an operator."""
    flags = [mathematical(word) for word in words]
    for k, word in enumerate(words):
        before, after = words[k - 1] if k else "", words[k + 1] if k + 1 < len(words) else ""
        ends = bool(END.search(word))
        flags[k] |= word not in NO_OPERANDS and (before in BINARY or (after in BINARY and not ends))
        if word.startswith("(") and k and flags[k - 1] and not END.search(words[k - 1]) and not ends:
            flags[k] |= k + 1 < len(words) and mathematical(after)
    return flags


def mathematical(word: str) -> bool:
    """Whether a word, with its punctuation, belongs to a formula."""
    bare = END.sub("", word)
    if bare in OPERATORS or WORD.fullmatch(bare):
        return True
    return bool(POWER_CALL_OR_NORM.search(bare)) and not EITHER_OR.fullmatch(bare)


def literal(run: str) -> str:
    """A run of mathematical words: a literal if it is a formula, else as it was."""
    body = END.sub("", run)
    tail = run[len(body) :]
    opened = body.startswith("(") and body.count("(") > body.count(")")
    head, body = ("(", body[1:]) if opened else ("", body)
    if body.endswith(")") and body.count(")") > body.count("("):
        body, tail = body[:-1], ")" + tail
    formula = re.search(r"[\^=|_~*]|\w\(|[\w)] ?[+<>] ?[\w(]|<-|sqrt|grad ", body) and re.search(r"[A-Za-z]", body)
    if not formula or not body.strip():
        return escaped(run)
    return f"{head}``{body}``{tail}" if not tail or tail[0] in ",.;:)" else f"{head}``{body}``\\ {tail}"


def escaped(text: str) -> str:
    """Text in which no bar, star or trailing underscore is markup, except for a stressed word."""
    if EMPHASIS.fullmatch(text.rstrip(",.;:")):
        return text
    return re.sub(r"([*|`]|_(?!\w))", r"\\\1", text)


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Sphinx calls this with each docstring; the lines are changed in place."""
    lines[:] = set_formulas(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Before napoleon, which reads the sections (priority 500)."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}
