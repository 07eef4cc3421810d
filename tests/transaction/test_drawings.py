"""Tests of the drawings: each says what its table says, and the files are those that the tables give now."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import sipnode
from sipnode.transaction.drawings import FOLDER, drawings, main
from sipnode.transaction.states import EVENT_NAMES, MACHINES, STATE_NAMES

TOP = Path(sipnode.__file__).parent.parent


class DrawingTests(SynchronousTestCase):
    """``docs/states/*.dot``."""

    def test_up_to_date(self) -> None:
        """The files are what the script writes today."""
        folder = TOP / FOLDER
        if not folder.is_dir():
            raise SkipTest("docs aren't part of this copy")
        found = {path.name: path.read_text("utf-8") for path in folder.glob("*.dot")}
        self.assertEqual(found, drawings(), "run: python -m sipnode.transaction.drawings")

    def test_every_row(self) -> None:
        """Each row is one arrow from its state to the next, with its event."""
        for (name, rows), text in zip(MACHINES.items(), drawings().values(), strict=True):
            arrows = [line for line in text.splitlines() if "->" in line and "start ->" not in line]
            self.assertEqual(len(arrows), len(rows), name)
            for row, arrow in zip(rows, arrows, strict=True):
                self.assertTrue(
                    arrow.startswith(f'  "{STATE_NAMES[row.state]}" -> "{STATE_NAMES[row.to]}" [label="{EVENT_NAMES[row.event]}'), arrow
                )

    def test_writes(self) -> None:
        """The script makes its folder and one file a machine."""
        folder = Path(self.mktemp()) / "states"
        main(str(folder))
        self.assertEqual(sorted(path.name for path in folder.iterdir()), sorted(drawings()))
