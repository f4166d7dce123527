"""Code no wider than its column: lines of more than 78 columns are wrapped on the pages, and in no notebook and no module.

A line that fits stays as its author wrote it, and a longer one is broken as its author would: a comment goes on in the line
below, or stands above; a statement behind `;` or `:` gets a line of its own; brackets are filled, and what follows stands
below their first element; a docstring and a long text are broken between words. (ruff and black lay out whole statements:
they would give every word of a long list a line, and take the alignment from comments.) What comes out must mean the same
(its syntax tree is compared), or else the source is shown as it is. Lines for the shell and magics are left alone.
"""
import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

WIDTH = 78
MAGIC = re.compile(r"^([ \t]*)([!%].*)$", re.M)
COMPOUND = {"if", "elif", "else", "for", "while", "with", "def", "class", "try", "except", "finally", "async"}
JOINTS = {"for", "if", "else", "and", "or", "+", "-", "|", "<", ">", "<=", ">=", "==", "!=", "in", "not", "is", "*", "/", "@", "%"}


@cache
def narrow(source: str, width: int = WIDTH) -> str:
    "A cell or a module, wrapped; as it is where that fails or would change its meaning."
    if all(len(line) <= width for line in source.splitlines()):
        return source
    magics: list[str] = []
    plain = MAGIC.sub(lambda m: f"{m[1]}__magic__({magics.append(m[2]) or len(magics) - 1})", source)
    new = plain
    for step in (comments, docstrings, one_a_line, softly_filled, texts, softly_filled, bracketed, filled):
        if all(len(line) <= width for line in new.splitlines()):
            break
        try:
            tried = step(new, width)
            new = tried if same(new, tried) else new
        except (SyntaxError, tokenize.TokenError, ValueError):
            continue
    return re.sub(r"__magic__\((\d+)\)", lambda m: magics[int(m[1])], new)


def same(one: str, other: str) -> bool:
    "Whether two sources have the same syntax tree, but for the white space in docstrings and around the strings."
    return one == other or told(one) == told(other)


@lru_cache(maxsize=4)                    # what one step makes is what the next one begins with
def told(source: str) -> str:
    "Its syntax tree in words."
    tree = ast.parse(source)
    for node in documented(tree):
        node.value.value = " ".join(node.value.value.split())
    return ast.dump(tree)


def documented(tree: ast.AST) -> Iterator[ast.Expr]:
    "The docstrings in a tree."
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and node.body and isinstance(node.body[0], ast.Expr):
            value = node.body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield node.body[0]


class Token(NamedTuple):
    "A token; an f-string is one, whatever is in it."
    kind: int
    text: str
    row: int              # from 0
    col: int
    end_row: int
    end: int


def tokens(source: str) -> Iterator[Token]:
    "The tokens that can be seen."
    first, last = (getattr(tokenize, name, -1) for name in ("FSTRING_START", "FSTRING_END"))
    inside, begun, unseen = 0, None, {tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == first:
            begun, inside = (begun if inside else token.start), inside + 1
        inside -= token.type == last
        if inside or token.type in unseen:
            continue
        row, col = begun or token.start
        yield Token(tokenize.STRING if begun else token.type, token.string, row - 1, col, token.end[0] - 1, token.end[1])
        begun = None


def with_depth(source: str) -> Iterator[tuple[Token, tuple[int, ...]]]:
    "Each token with the columns behind the brackets that are open before it."
    columns: tuple[int, ...] = ()
    for token in tokens(source):
        yield token, columns
        if token.kind == tokenize.OP:
            columns = (*columns, token.end) if token.text in "([{" else columns[:-1] if token.text in ")]}" else columns


# ---- comments

def comments(source: str, width: int) -> str:
    "A comment behind a line that is too long goes on below itself, if there is room for it, or moves above the line."
    lines = source.split("\n")
    found = {t.row: t.col for t in tokens(source) if t.kind == tokenize.COMMENT and len(lines[t.row]) > width}
    return "\n".join(part for i, line in enumerate(lines)
                     for part in (with_comment(line, found[i], width) if i in found else [line]))


def with_comment(line: str, at: int, width: int) -> list[str]:
    "One such line as several."
    code, text = line[:at], line[at:].lstrip("# ")
    sign = line[at:][:len(line[at:]) - len(text)].rstrip() + " "
    beneath = textwrap.wrap(text, max(width - at - len(sign), 1), break_long_words=False, break_on_hyphens=False)
    if not code.strip() or width - at >= 24 and len(beneath) <= 3 and len(code) + len(sign + beneath[0]) <= width:
        return [(code if i == 0 else " " * at) + sign + part for i, part in enumerate(beneath)]
    indent = code[:len(code) - len(code.lstrip())]
    above = textwrap.wrap(text, max(width - len(indent + sign), 20), break_long_words=False, break_on_hyphens=False)
    return [*(indent + sign + part for part in above), code.rstrip()]


# ---- docstrings and texts

def docstrings(source: str, width: int) -> str:
    "The lines of a docstring, wrapped; of one line, closed with three quotes."
    lines = source.split("\n")
    for node in sorted(documented(ast.parse(source)), key=lambda n: -n.lineno):
        first, last = node.lineno - 1, node.end_lineno
        part = lines[first:last]
        if all(len(line) <= width for line in part) or part[0][:node.col_offset].strip():
            continue
        mark = re.match(r"""\s*[rR]?('{3}|"{3}|'|")""", part[0])
        if not mark or not part[-1].rstrip().endswith(mark[1]):
            continue
        if len(mark[1]) == 1:
            if len(part) > 1 or "\\" in part[0] or '"""' in part[0]:
                continue
            part = [re.sub(r"^(\s*[rR]?)['\"]", r'\1"""', part[0].rstrip()[:-1]) + '"""']
        lines[first:last] = [new for line in part for new in wrapped(line, " " * node.col_offset, width)]
    return "\n".join(lines)


def wrapped(line: str, indent: str, width: int) -> list[str]:
    "A line of a docstring as several, each with its indent."
    own = line[:len(line) - len(line.lstrip())] or indent
    return textwrap.wrap(line, width, subsequent_indent=own, break_long_words=False, break_on_hyphens=False) \
        if len(line) > width else [line]


def texts(source: str, width: int) -> str:
    "A text that is longer than its line becomes several beside each other, broken between words."
    lines = source.split("\n")
    docs = {node.lineno - 1 for node in documented(ast.parse(source))}
    for token, columns in reversed([*with_depth(source)]):
        line = lines[token.row]
        if token.kind != tokenize.STRING or token.row != token.end_row or token.row in docs or len(line) <= width or token.end <= width:
            continue
        text, indent = line[token.col:token.end], len(line) - len(line.lstrip())
        pieces = broken(text, max(width - indent - 12, 24))
        if len(pieces) > 1:
            joined = " ".join(pieces)
            lines[token.row] = line[:token.col] + (joined if columns else f"({joined})") + line[token.end:]
    return "\n".join(lines)


def broken(text: str, room: int) -> list[str]:
    "A literal as several with the same prefix and quotes, each at most this wide; itself where it can't be broken."
    mark = re.fullmatch(r"""([rRbBfFuU]*)('{3}|"{3}|'|")(.*)\2""", text, re.S)
    if not mark or len(mark[2]) == 3:
        return [text]
    prefix, quote, body = mark[1], mark[2], mark[3]
    parts, depth = [""], 0
    for i, char in enumerate(body):
        depth += (char == "{") - (char == "}") if "f" in prefix.lower() else 0
        parts[-1] += char
        if char == " " and depth == 0 and len(parts[-1]) + word(body[i + 1:]) > room - len(prefix) - 2:
            parts.append("")
    return [f"{prefix}{quote}{part}{quote}" for part in parts if part]


def word(text: str) -> int:
    "How long the next word is; what stands in braces belongs to it."
    return len(re.match(r"(?:\{[^}]*\}|[^ {])*", text)[0]) + 1


# ---- lines

def one_a_line(source: str, width: int) -> str:
    "Where a line is too long, what stands behind its `:` and each of its `;` gets a line of its own."
    lines, cuts = source.split("\n"), {}
    rows: dict[int, list[Token]] = {}
    for token, columns in with_depth(source):
        if not columns and len(lines[token.row]) > width:
            rows.setdefault(token.row, []).append(token)
    for row, found in rows.items():
        indent = len(lines[row]) - len(lines[row].lstrip())
        if found[0].col != indent:                            # it goes on with a statement of the line above
            continue
        colon = next((t.end for t in found if t.text == ":"), 0) if found[0].text in COMPOUND else 0
        cuts[row] = ([(colon, indent + 4)] if colon else []) + [(t.end, indent + 4 * bool(colon)) for t in found if t.text == ";"]
    for row in sorted(cuts, reverse=True):
        line, parts = lines[row], []
        for at, indent in reversed(cuts[row]):
            if rest := line[at:].strip():
                parts.insert(0, " " * indent + rest)
                line = line[:at].rstrip().removesuffix(";").rstrip()
        lines[row:row + 1] = [line, *parts]
    return "\n".join(lines)


def softly_filled(source: str, width: int) -> str:
    "As `filled`, but no line ends with a bracket that it opens."
    return filled(source, width, hard=False)


def filled(source: str, width: int, hard: bool = True) -> str:
    "A line that is too long is broken within its brackets."
    lines = source.split("\n")
    rows: dict[int, list] = {}
    for token, columns in with_depth(source):
        rows.setdefault(token.row, []).append((token, columns))
        for row in range(token.row, token.end_row + 1 if token.end_row > token.row else token.row):
            rows.setdefault(row, []).append(None)             # a text of several lines
    for row in sorted(rows, reverse=True):
        if len(lines[row]) > width and None not in rows[row]:
            lines[row:row + 1] = broken_line(lines[row], rows[row], width, hard)
    return "\n".join(lines)


def broken_line(line: str, found: list[tuple[Token, tuple[int, ...]]], width: int, hard: bool) -> list[str]:
    "A line as several."
    indent, parts, begin, moved = len(line) - len(line.lstrip()), [], 0, {}
    where, shift = len(line) - len(line.lstrip()), 0          # the column of the part; how far it was moved to the left
    while len(line) - begin + (where if parts else 0) > width:
        places = []
        for (last, _), (token, columns) in zip(found, found[1:]):
            end = last.end - shift
            if columns and begin < token.col and last.end > begin and where < end:
                kind = 0 if last.text == "," or last.kind == token.kind == tokenize.STRING else 1 if token.text in JOINTS else 2
                if kind < 2 or hard and last.text in "([{" and token.text not in ")]}":
                    early = end < where + .45 * (width - where)
                    order = (0, early, kind == 2, len(columns), kind, -end) if end <= width else (1, end)      # else the first
                    places.append((order, token, columns))
        if not places:
            break
        _, token, columns = min(places, key=lambda p: p[0])
        parts.append((" " * where if parts else "") + line[begin:token.col].rstrip())
        column = columns[-1]
        column = moved.get(column, column - shift if begin <= column <= token.col and parts else column)
        column = column if column < min(.6 * width, token.col - shift) else min(indent + 8, token.col - shift - 1)
        for old in columns:
            moved.setdefault(old, old - shift if old >= begin else old)
        begin, where = token.col, column
        shift = begin - where
    return [*parts, (" " * where if parts else "") + line[begin:]]


def bracketed(source: str, width: int) -> str:
    "A statement that can't be broken otherwise: what it gives, checks or returns gets brackets."
    def long(text: str) -> int:
        return sum(len(line) > width for line in text.split("\n"))

    new = softly_filled("\n".join(in_brackets(source, width)), width)
    return new if long(new) < long(source) else source


def in_brackets(source: str, width: int) -> list[str]:
    "Its lines, what is too long in brackets."
    lines = source.split("\n")
    for node in sorted((n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.stmt)), key=lambda n: -n.lineno):
        if isinstance(node, ast.ImportFrom) and node.lineno == node.end_lineno and len(lines[node.lineno - 1]) > width:
            lines[node.lineno - 1] = re.sub(r"(\bimport )([^(#]*[^(# ])", r"\1(\2)", lines[node.lineno - 1], count=1)
            continue
        value = getattr(node, "value", None) or getattr(node, "test", None) or getattr(node, "iter", None)
        if isinstance(value, ast.expr) and value.lineno == value.end_lineno and len(lines[value.lineno - 1]) > width:
            line = lines[value.lineno - 1].encode()           # its columns are those of bytes
            lines[value.lineno - 1] = (line[:value.col_offset] + b"(" + line[value.col_offset:value.end_col_offset] + b")"
                                       + line[value.end_col_offset:]).decode()
    return lines
