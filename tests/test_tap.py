"""Tests of :mod:`sipnode.tap`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.application.service import IService
from twisted.trial.unittest import SynchronousTestCase

from sipnode import config, tap


class TapTests(SynchronousTestCase):
    """What twistd calls."""

    def conf(self, text: str) -> str:
        """A conf folder with that file in it."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / config.FILE_NAME).write_text(text)
        return str(folder)

    def options(self, path: str) -> tap.Options:
        """As the command line gives them."""
        options = tap.Options()
        options.parseOptions(["-c", path])
        return options

    def test_conf_is_absolute(self) -> None:
        """twistd may change its folder afterwards."""
        self.assertEqual(self.options("some/where")["conf"], os.path.abspath("some/where"))

    def test_service(self) -> None:
        """A configuration that is right gives the server, not yet running."""
        path = self.conf('[core]\ndomains = ["a.test"]\nlisten = ["udp:127.0.0.1:5060"]')
        service = tap.makeService(self.options(path))
        self.assertTrue(IService.providedBy(service))
        self.assertFalse(service.running)

    def test_fault(self) -> None:
        """A fault of the file ends the start with one line: file, line, key, reason."""
        path = self.conf("[core]\ndomans = []")
        ended = self.assertRaises(SystemExit, tap.makeService, self.options(path))
        expected = f"sipnode: {path}/{config.FILE_NAME}:2: core.domans: there is no setting of this name; did you mean domains?"
        self.assertEqual(ended.code, expected)

    def test_fault_that_a_room_finds(self) -> None:
        """A value that only its room can judge gets file and line all the same."""
        path = self.conf('[core]\n\nlisten = ["carrier-pigeon:127.0.0.1:5060"]')
        ended = self.assertRaises(SystemExit, tap.makeService, self.options(path))
        self.assertTrue(str(ended.code).startswith(f"sipnode: {path}/{config.FILE_NAME}:3: core.listen: "), ended.code)
