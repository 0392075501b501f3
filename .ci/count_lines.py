"""Count the lines of code of the package: without docstrings, comments and blank lines.

``python .ci/count_lines.py`` prints them per folder. With ``--limit N`` it fails if there are more
than N in all, or if a module has more than 400 lines with everything in it.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "mesa_llmspread"
LONGEST = 400
EMPTY = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
WITH_DOCSTRING = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(source: str) -> int:
    """Count the lines on which code stands.

    Parameters
    ----------
    source : str
        A module's text.

    Returns
    -------
    int
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in EMPTY:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, WITH_DOCSTRING) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def main() -> str | None:
    """Print the count; return what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="most lines of code in all")
    limit = parser.parse_args().limit
    counts: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    long = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        where = path.relative_to(PACKAGE)
        folder = where.parts[0] if len(where.parts) > 1 else "."
        counts[folder] += code_lines(source)
        modules[folder] += 1
        if (size := len(source.splitlines())) > LONGEST:
            long.append(f"{where} ({size})")
    for folder, number in counts.most_common():
        print(f"{folder:14}{number:7,} lines of code in {modules[folder]} modules")
    total = counts.total()
    print(f"{'in all':14}{total:7,} lines of code in {modules.total()} modules")
    if long:
        print(f"modules over {LONGEST} lines in all: {', '.join(long)}")
    if limit is None:
        return None
    if total > limit:
        return f"The package has {total:,} lines of code; the limit is {limit:,}."
    if long:
        return f"No module may have more than {LONGEST} lines."
    return None


if __name__ == "__main__":
    sys.exit(main())
