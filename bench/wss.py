"""Where the time of a message on an open secure WebSocket goes: TLS, framing, SIP, the kernel, the rest.

The server runs with a clock at the seams of its own layers, while REGISTERs come at a steady rate; what is left of the CPU time of
its process is the reactor's waking up and looking. Needs the folder of streams.py (``--bench``).
"""

from __future__ import annotations

import argparse
import atexit
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).resolve()
PAUSE = 0.5


class Clock:
    """Time spent in each part, less what the parts inside it take.

    Attributes:
        spent: Seconds by part.
        counts: Calls by part.
        best: Both, of the busiest time between two pauses.
    """

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self._inner = [0.0]
        self._last = 0.0
        self.best: dict[str, dict[str, Any]] = {"spent": {}, "counts": {}}

    def part(self) -> None:
        """A pause parts opening, load and closing: the one with most messages is what is wanted."""
        if self.counts.get("SIP", 0) > self.best["counts"].get("SIP", 0):
            self.best = {"spent": dict(self.spent), "counts": dict(self.counts)}
        self.spent.update(dict.fromkeys(self.spent, 0.0))
        self.counts.update(dict.fromkeys(self.counts, 0))

    def around(self, owner: type[Any], method: str, part: str) -> None:
        """Measure a method of a class from now on."""
        plain: Callable[..., Any] = getattr(owner, method)
        inner, spent, counts = self._inner, self.spent, self.counts
        spent.setdefault(part, 0.0)
        counts.setdefault(part, 0)

        def measured(*arguments: Any) -> Any:
            began = perf_counter()
            if began - self._last > PAUSE:
                self.part()
            self._last = began
            inner.append(0.0)
            try:
                return plain(*arguments)
            finally:
                took = perf_counter() - began
                spent[part] += took - inner.pop()
                counts[part] += 1
                inner[-1] += took

        setattr(owner, method, measured)


def serve(result: str, arguments: list[str]) -> None:
    """Run ``twistd`` with the clock in it."""
    from twisted.scripts import twistd

    from sipnode.routing.dispatch import Dispatcher
    from sipnode.transport.nodelay import NoDelayServer
    from sipnode.transport.tls.wire import TLSWire
    from sipnode.transport.websocket import SipWebSocket, WebSocketFlow

    clock = Clock()
    clock.around(NoDelayServer, "doRead", "kernel, read")
    clock.around(TLSWire, "dataReceived", "TLS, open")
    clock.around(SipWebSocket, "dataReceived", "framing, in")
    clock.around(Dispatcher, "received", "SIP")
    clock.around(WebSocketFlow, "send", "framing, out")
    clock.around(TLSWire, "write", "TLS, seal")
    clock.around(NoDelayServer, "write", "kernel, write")

    def write() -> None:
        clock.part()
        Path(result).write_text(json.dumps(clock.best))

    atexit.register(write)
    sys.argv = ["twistd", *arguments]
    twistd.run()


def main() -> int:
    import compare
    import harness

    import tls

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=compare.TOP.parent / "shared" / "bench")
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    bench = options.bench.resolve()
    harness.own_network()
    work = harness.fresh(harness.WORK / "bench-wss")
    result = work / "clock.json"
    plain = harness.server_command

    def clocked(conf: Path) -> list[str]:
        command = plain(conf)
        return [sys.executable, str(HERE), "--serve", str(result), *command[command.index("-n") :]]

    harness.server_command = clocked
    with tls.server("sipnode", work, bench) as pid:
        how = ["--kind", "wss", "--rate", str(options.rate), "--seconds", str(options.seconds), "--repeat", "1", "--open-rate", "100"]
        row = tls.load(bench, pid, work / "runs.jsonl", "register", *how)
    measured = json.loads(result.read_text())
    messages = measured["counts"]["SIP"]
    each = {part: seconds * 1e6 / messages for part, seconds in measured["spent"].items()}
    whole = next(value for figure, value in row.items() if figure.startswith("cpu_us_"))
    each["reactor and waking up"] = whole - sum(each.values())
    print(f"CPU µs of a REGISTER on an open wss connection, {options.rate} a second, with the clock in it: {whole:.0f}")
    for part, value in each.items():
        print(f"  {part:<22} {value:6.1f}  {100 * value / whole:3.0f} %")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
