"""What is compiled: the modules of :file:`compiled.txt`, by mypyc, as one group.

Used by the build backend and by ``make compiled``. It knows nothing of setuptools until something is built.
"""

from __future__ import annotations

from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LIST = Path(__file__).resolve().with_name("compiled.txt")


def modules(top: Path = TOP, listed: Path = LIST) -> list[str]:
    """Paths of the modules to compile, relative to the top of the sources, sorted.

    Raises:
        ValueError: a line of the list names nothing that is there.
    """
    package, found = top / "sipnode", set[Path]()
    for line in listed.read_text("utf-8").splitlines():
        pattern = line.partition("#")[0].strip()
        if not pattern:
            continue
        named = {path for path in package.glob(pattern.removeprefix("!")) if path.suffix == ".py" and path.name != "__init__.py"}
        if not named:
            raise ValueError(f"{listed.name}: {pattern} names no module")
        found = found - named if pattern.startswith("!") else found | named
    return sorted(str(path.relative_to(top)) for path in found)
