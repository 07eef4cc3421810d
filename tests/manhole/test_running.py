"""What is typed ends, whatever it is."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import sipnode
from sipnode.manhole.running import MOST_CHARACTERS, Bounded, TooLong, bounded, run

SHORT = 0.05


def long_work(done: list[int]) -> None:
    """Something of the server's own: Python that takes longer than the limit."""
    names = {"time": time, "until": time.monotonic() + 2 * SHORT}
    exec(compile("while time.monotonic() < until: pass", sipnode.__file__, "exec"), names)
    done.append(1)


class RunTests(SynchronousTestCase):
    """One command."""

    def run_it(self, source: str, **names: Any) -> tuple[str, Any, bool]:
        """Its output, value and fate; standard output and the alarm are as before."""
        before = (sys.stdout, signal.getsignal(signal.SIGALRM))
        result = run(source, names, SHORT)
        self.assertEqual((sys.stdout, signal.getsignal(signal.SIGALRM)), before)
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL), (0.0, 0.0))
        return result

    def test_value_and_output(self) -> None:
        """An expression has a value, a statement prints."""
        self.assertEqual(self.run_it("x + 1", x=2), ("", 3, False))
        self.assertEqual(self.run_it("for i in range(2): print(i)"), ("0\n1\n", None, False))

    def test_exceptions(self) -> None:
        """An exception is shown with the lines that were typed and none of ours, and goes nowhere."""
        for source in ("1/0", "raise KeyboardInterrupt", "(", "def f(): f()\nf()", "'a' * 10**15", "raise BaseException('x')"):
            text, _, failed = self.run_it(source)
            self.assertTrue(failed, source)
            self.assertIn("Traceback" if source != "(" else "SyntaxError", text)
            self.assertNotIn("running.py", text)
        self.assertEqual(self.run_it("raise SystemExit(3)"), ("", None, False))

    def test_endless(self) -> None:
        """A loop without end ends with TooLong, also one that catches every Exception."""
        for source in ("while True: pass", "while True:\n try:\n  x\n except Exception: pass"):
            text, _, failed = self.run_it(source)
            self.assertEqual((failed, "it ran longer than 0.05 s" in text), (True, True))

    def test_server_isnt_broken_off(self) -> None:
        """What the server does for it goes on to its end, several times the limit; then what was typed is ended."""
        done: list[int] = []
        text, _, failed = self.run_it("while True: work()", work=lambda: long_work(done))
        self.assertEqual((failed, "it ran longer" in text), (True, True))
        self.assertEqual(done, [1] * len(done))
        self.assertGreaterEqual(len(done), 1)

    def test_endless_output(self) -> None:
        """So does printing without end; no more than the bound is kept."""
        text = run("while True: print('x' * 1000)", {}, 0).text
        self.assertIn(f"it wrote more than {MOST_CHARACTERS:,} characters", text)
        self.assertLess(len(text), MOST_CHARACTERS + 2000)

    def test_bounded(self) -> None:
        """0 is no bound; what ends in time is left alone, and an alarm of somebody else's is put back."""

        def other(number: int, frame: Any) -> None:
            raise AssertionError("not ours")

        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, other))
        with bounded(0):
            self.assertEqual(signal.getsignal(signal.SIGALRM), other)
        with bounded(5):
            self.assertNotEqual(signal.getsignal(signal.SIGALRM), other)
        self.assertEqual(signal.getsignal(signal.SIGALRM), other)

    def test_writer(self) -> None:
        """What is over the bound is cut, and then it is too much."""
        written: list[str] = []
        writer = Bounded(written.append, 5)
        writer.write("abc")
        writer.write("defgh")
        self.assertEqual(written, ["abc", "de"])
        self.assertRaises(TooLong, writer.write, "i")
