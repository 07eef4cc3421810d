"""The routing jobs of docs/howto/routing-recipes.rst, each as a script of its own; a site takes what it wants into one class."""

from __future__ import annotations

from datetime import time

from sipnode.routing import Call, Fork, Managed, Reject, Request, RoutingScript, Step, Target

MOBILES = {"alice@example.test": "sip:+491701234567@gateway.test"}
VOICEMAIL = "sip:voicemail@192.0.2.99"
SERVICE = "http://127.0.0.1:8090"


class Header(RoutingScript):
    def relay(self, r: Request) -> Step:
        r.add_header("X-Site", "Berlin")
        return super().relay(r)


class Number(RoutingScript):
    def sipout(self, r: Request) -> Step:
        if r.ruri.user.startswith("00"):
            r.rewrite("+" + r.ruri.user[2:])
        return super().sipout(r)


class Anonymous(RoutingScript):
    def record(self, r: Request) -> Step:
        if r.method == "INVITE" and r.initial and r.anonymous:
            raise Reject(433, rule="anonymous")
        return super().record(r)


class Blocked(RoutingScript):
    async def location(self, r: Request) -> Step:
        if r.method == "INVITE":
            answer = await self.http.get(f"{SERVICE}/callers", {"caller": r.from_.uri.aor})
            if answer.status == 200 and answer.json()["blocked"]:
                raise Reject(603, rule="blocked")
        return super().location(r)


class Hours(RoutingScript):
    def location(self, r: Request) -> Step:
        if r.method == "INVITE" and not time(8) <= self.local_time.time() < time(18):
            raise Reject(480, "We Open At Eight", rule="hours")
        return super().location(r)


class Mobile(RoutingScript):
    def location(self, r: Request) -> Step:
        if r.method == "INVITE" and (mobile := MOBILES.get(r.ruri.aor)):
            r.ring([Target(mobile)], after=15)
        return super().location(r)


class Voicemail(RoutingScript):
    def location(self, r: Request) -> Step:
        return r.lookup(then=self.relay, seconds=20)

    def manage_failure(self, fork: Fork) -> Managed:
        if fork.status == 408:
            fork.ring([Target(VOICEMAIL)])
        return super().manage_failure(fork)


class Busy(RoutingScript):
    def manage_failure(self, fork: Fork) -> Managed:
        if fork.status == 486:
            fork.ring([Target(VOICEMAIL)])
        return super().manage_failure(fork)


class Ended(RoutingScript):
    async def call_ended(self, call: Call) -> None:
        told = {"caller": call.caller, "callee": call.callee, "outcome": call.outcome, "seconds": round(call.duration)}
        await self.http.post(f"{SERVICE}/ended", json=told)


class Limit(RoutingScript):
    def record(self, r: Request) -> Step:
        if r.method == "INVITE" and r.initial and self.calls_of(r.caller) >= 2:
            raise Reject(403, "Two Calls Are Enough", rule="calls")
        return super().record(r)
