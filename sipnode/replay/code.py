"""A scene as a test in Python, in the words of :mod:`sipnode.testing`. Pure.

The invariant: whatever was in a message, it stands in the test as the value of a literal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipnode.replay.scene import HERE

if TYPE_CHECKING:
    from sipnode.replay.scene import Scene, Step

_SAFE: Final = re.compile(r"[^\w.@-]", re.ASCII)


def code(scene: Scene) -> str:
    """The text of a module with one test."""
    bodies: dict[bytes, str] = {}
    lines = _world(scene)
    for step in scene.steps:
        lines += _lines(step, bodies)
    caller = next((step.actor for step in scene.steps if step.verb == "send"), "")
    if scene.answers and not any(step.actor == caller and step.verb in ("response", "got") for step in scene.steps):
        lines.append(f"self.assertEqual({caller}.statuses(), {scene.answers!r})")
    names = "World, RecordingMediaRelay" if scene.media else "World"
    imports = ["from twisted.trial.unittest import SynchronousTestCase", ""]
    if scene.names:
        imports.append("from sipnode.records import Hop")
    imports.append(f"from sipnode.testing import {', '.join(sorted(names.split(', ')))}")
    head = [f'"""Made of the call {_SAFE.sub("_", scene.call_id)[:80]} as it was recorded."""', "", *imports, ""]
    constants = [f"{name} = {body!r}" for body, name in bodies.items()]
    title = ["", "", "class RecordedCallTests(SynchronousTestCase):", '    """A call as it was recorded."""', ""]
    method = ["    def test_call(self) -> None:", '        """It goes as it went."""']
    return "\n".join([*head, *constants, *title, *method, *(f"        {line}" for line in lines)]) + "\n"


def _world(scene: Scene) -> list[str]:
    lines = [f"world = World({'media=RecordingMediaRelay()' if scene.media else ''})"]
    lines += [f"world.resolver.names[{name!r}] = [Hop{place!r}]" for name, place in scene.names.items()]
    for actor in scene.actors.values():
        domain = f", domain={actor.domain!r}" if actor.domain != HERE else ""
        lines.append(f"{actor.name} = world.phone({actor.user!r}, {actor.transport!r}, host={actor.host!r}, port={actor.port}{domain})")
    for actor in scene.actors.values():
        if actor.registered:
            lines += [f"{actor.name}.register()", f"{actor.name}.take()"]
    return lines


def _lines(step: Step, bodies: dict[bytes, str]) -> list[str]:
    body = ""
    if step.body:
        if step.body not in bodies:
            bodies[step.body] = f"BODY{len(bodies) + 1 if bodies else ''}"
        body = bodies[step.body]
    to = f"{step.result} = " if step.result else ""
    who = step.actor
    if step.verb == "advance":
        return [f"world.advance({step.seconds})"]
    if step.verb == "send":
        rest = f", {step.headers!r}" if step.headers else ", ()" if body else ""
        return [f"{to}{who}.send({step.method!r}, {step.uri!r}{rest}{', ' + body if body else ''})"]
    if step.verb == "got":
        return [f"{to}{who}.got({step.method!r})"]
    if step.verb == "reply":
        return [f"{to}{who}.reply({step.uses[0]}, {step.status}{', ' + body if body else ''})"]
    if step.verb == "response":
        return [f"{to}{who}.response({step.method!r})", f"self.assertEqual({step.result}.status, {step.status})"]
    if step.verb == "ack":
        return [f"{who}.ack({step.uses[0]}, {step.uses[1]}{', ' + body if body else ''})"]
    if step.verb == "cancel":
        return [f"{who}.cancel({step.uses[0]})"]
    rest = f"{', ' + body if body else ''}{f', headers={step.headers!r}' if step.headers else ''}"
    return [f"{to}{who}.within({step.method!r}, {step.uses[0]}, {step.uses[1]}, {step.mine}{rest})"]
