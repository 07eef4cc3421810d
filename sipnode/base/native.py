"""Remarks of a class to the compiler (mypyc); without one it says nothing and costs nothing.

``@mypyc_attr(allow_interpreted_subclasses=True)`` stands before a class that a fake, a transport or a site's script derives from in plain
Python: calls of its methods then look whether they were overridden. All other native classes are called directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(*names, **values):
        """Leave the class as it is."""
        return lambda made: made
