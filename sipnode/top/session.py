"""Carries out what the model orders: asks the server, writes files. Where the server is gone it says so, and goes on asking.

The invariant: a file is new, and its owner's alone; nothing that is there is written over.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, Final

from sipnode.rpc import client
from sipnode.tables import clean
from sipnode.top.model import CALLS, FORMS, REASON, ROWS, STORY, WRITE, Order

if TYPE_CHECKING:
    from sipnode.top.model import Model

MOST_ROWS: Final = 200


class Session:
    """A model and the server.

    Args:
        model: The state. path: Of the server's UNIX socket.

    Raises:
        Refused: nobody listens there.
    """

    def __init__(self, model: Model, path: str) -> None:
        self.model = model
        self._path = path
        self._caller: client.Caller | None = client.Caller(path)

    def close(self) -> None:
        """Hang up."""
        if self._caller is not None:
            self._caller.__exit__()
            self._caller = None

    def check(self) -> str:
        """Why nothing will be seen, "" where that isn't so.

        Raises:
            Refused: the server's word.
        """
        return "" if self._ask("recorder.state", [])["on"] else "nothing is recorded: [recorder] enabled is false"

    def tick(self) -> None:
        """Ask for what is shown, as it is now."""
        model = self.model
        try:
            if model.view == CALLS:
                if not model.paused:
                    model.take_rows(self._ask("recorder.list", [MOST_ROWS, model.search]))
            elif model.story is not None:
                for row in self._ask("recorder.list", [1, model.story["call_id"]]):
                    model.take_row(row)
        except client.Refused as refused:
            self._failed(refused)
        self.work()

    def work(self) -> None:
        """Carry out what the model has ordered."""
        orders, self.model.orders = self.model.orders, []
        for order in orders:
            try:
                self._do(order)
            except client.Refused as refused:
                self._failed(refused)

    def _do(self, order: Order) -> None:
        model = self.model
        if order.what == ROWS:
            model.take_rows(self._ask("recorder.list", [MOST_ROWS, model.search]))
        elif order.what == STORY:
            model.take_story(self._ask("recorder.get", [order.call_id]))
        elif order.what == REASON:
            model.take_reason(str(self._ask("recorder.export", [order.call_id, "explanation"])["text"]).split("\n"))
        elif order.what == WRITE:
            self._write(order)

    def _write(self, order: Order) -> None:
        form = FORMS[os.path.splitext(order.text)[1]]
        export = self._ask("recorder.export", [order.call_id, form])
        if not export["found"]:
            self.model.said = export["text"]
            return
        data = base64.b64decode(export["text"]) if export["base64"] else "\n".join(map(clean, export["text"].split("\n"))).encode() + b"\n"
        try:
            handle = os.open(order.text, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as file:
                file.write(data)
        except OSError as error:
            self.model.said = f"{order.text}: {error.strerror or error}"
            return
        self.model.said = f"saved: {order.text}"

    def _ask(self, method: str, params: list[Any]) -> Any:
        if self._caller is None:
            self._caller = client.Caller(self._path)
        return self._caller.call(method, params)

    def _failed(self, refused: client.Refused) -> None:
        self.model.said = str(refused)
        # Whether it was the server's word or its end: a new connection is cheap.
        self.close()
