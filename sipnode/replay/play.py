"""A scene played through a routing script in memory, in virtual time, and how its wire differs from what was recorded."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sipnode.records import Hop
from sipnode.replay.scene import Scene, scene_of
from sipnode.settings import RecorderSettings, Settings
from sipnode.testing import Phone, RecordingMediaRelay, World

if TYPE_CHECKING:
    from sipnode.replay.scene import Step
    from sipnode.routing.script import RoutingScript

AFTER: Any = 40.0
"""Virtual seconds that the last timers may take."""


def play(scene: Scene, script: type[RoutingScript] | None = None, settings: Settings | None = None) -> tuple[Scene, list[str]]:
    """Play a scene.

    Args:
        script: None for that of the package.
        settings: Those of the server that recorded it, or others.

    Returns:
        The scene that it became, and what couldn't be played.
    """
    settings = replace(settings or Settings(), recorder=RecorderSettings(enabled=True, megabytes=64, everything=True))
    world = World(settings, RecordingMediaRelay() if scene.media else None, script)
    for name, place in scene.names.items():
        world.resolver.names[name] = [Hop(*place)]
    phones: dict[str, Phone] = {}
    for actor in scene.actors.values():
        phones[actor.name] = world.phone(actor.user, actor.transport, actor.host, actor.port, domain=actor.domain)
    for actor in scene.actors.values():
        if actor.registered:
            phones[actor.name].register()
            phones[actor.name].take()
    kept: dict[str, Any] = {}
    faults: list[str] = []
    call_id = ""
    for step in scene.steps:
        if any(name not in kept for name in step.uses):
            # What it answers never came.
            continue
        try:
            result = _do(world, phones, step, [kept[name] for name in step.uses])
        except AssertionError as fault:
            faults.append(str(fault))
            continue
        if step.result:
            kept[step.result] = result
        if step.verb == "send" and not call_id:
            call_id = result.call_id
    world.advance(AFTER)
    return scene_of(dict(world.insight.document(call_id))), faults


def _do(world: World, phones: dict[str, Phone], step: Step, values: list[Any]) -> Any:
    if step.verb == "advance":
        return world.advance(step.seconds)
    phone = phones[step.actor]
    if step.verb == "send":
        return phone.send(step.method, step.uri, step.headers, step.body)
    if step.verb == "got":
        return phone.got(step.method)
    if step.verb == "reply":
        return phone.reply(values[0], step.status, step.body)
    if step.verb == "response":
        return phone.response(step.method)
    if step.verb == "ack":
        return phone.ack(values[0], values[1], step.body)
    if step.verb == "cancel":
        return phone.cancel(values[0])
    return phone.within(step.method, values[0], values[1], step.mine, step.body, step.headers)


def difference(before: Scene, after: Scene) -> list[str]:
    """A unified diff of what left, [] for none."""
    return list(difflib.unified_diff(before.wire, after.wire, "recorded", "replayed", lineterm=""))
