"""Tests of Path: what a REGISTER through an edge proxy leaves in the table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import FLOW_TOKEN, Binding, BindingFlag
from sipnode.registrar import register
from sipnode.registrar.edge import MOST, is_edge_path
from sipnode.registrar.ownership import adopt, is_reachable
from sipnode.registrar.register import RegisterPlan, Source
from sipnode.settings import LocationSettings
from sipnode.sip.uri import SipUri
from tests.registrar.kit import AOR, NOW
from tests.registrar.kit import register as request

EDGE = "<sip:e1@192.0.2.30;lr>"
SOURCE = Source("sip:192.0.2.30:4000;transport=tcp", "tcp:192.0.2.100:5060", "conn", int(BindingFlag.NATB), peer="192.0.2.30")


def refuse(uri: SipUri, source: Source) -> str:
    """Judges: 10.6.6.6 is no place to send to, 192.0.2.100 is this server; contacts behind a translator are let in."""
    if uri.host == "192.0.2.100":
        return "Contact Leads Back Here"
    return "Contact Address Not Allowed" if uri.host.startswith("10.") and not source.cflags else ""


def plan(*extra: str, contact: str = "<sip:a@10.20.30.40>", **settings: object) -> RegisterPlan:
    """The plan of a REGISTER."""
    conf = LocationSettings(**settings)  # type: ignore[arg-type]  # values of single settings
    return register.plan(request(contact, extra=extra), AOR, [], NOW, conf, SOURCE, lambda: "r1", refuse)


def headers(made: RegisterPlan, name: str) -> list[str]:
    """Values of a header of the answer."""
    return [value for key, value in made.headers if key == name]


class PathTests(SynchronousTestCase):
    """RFC 3327 §5.3."""

    def test_stored(self) -> None:
        """The binding is behind the edge: with its Path in order, and neither with the connection nor as natted."""
        made = plan(f"Path: {EDGE}", "Path: <sip:e2@192.0.2.31;lr;ob>, <sips:e3@edge.example.com;lr>")
        binding = made.changes[0].binding
        self.assertEqual(binding.path, f"{EDGE}, <sip:e2@192.0.2.31;lr;ob>, <sips:e3@edge.example.com;lr>")
        self.assertEqual((binding.connection_id, binding.cflags, binding.received), ("", 0, SOURCE.received))
        self.assertTrue(is_edge_path(binding.path))

    def test_echoed(self) -> None:
        """The 200 gives it back to those who say that they know it."""
        for extra, echoed in (((), []), (("Supported: outbound, Path",), [EDGE]), (("Require: path",), [EDGE])):
            made = plan(f"Path: {EDGE}", *extra)
            self.assertEqual((made.status, headers(made, "path")), (200, echoed))
            self.assertEqual(headers(made, "supported"), ["path"] if echoed else [])
        self.assertEqual(plan("Require: path, gruu").headers, [("unsupported", "gruu")])

    def test_refused(self) -> None:
        """A Path that can't be kept is 400; one that leads back, to a place that its sender may not name, or poses as a node's, 403."""
        for path, status in (
            ("sip:e1@192.0.2.30;lr", 400),
            ("<sip:e1@192.0.2.30>", 400),
            ("<tel:123>", 400),
            ("<sip:e1@192.0.2.30;lr", 400),
            (f"<sip:{'x' * 600}@192.0.2.30;lr>", 400),
            (", ".join([EDGE] * (MOST + 1)), 400),
            ("<sip:e1@192.0.2.100;lr>", 403),
            (f"{EDGE}, <sip:192.0.2.100;lr>", 403),
            ("<sip:e1@10.6.6.6;lr>", 403),
            (f"<sip:{FLOW_TOKEN}1!cx!s@192.0.2.30;lr>", 403),
        ):
            made = plan(f"Path: {path}")
            self.assertEqual((made.status, made.changes), (status, []), path)
        self.assertEqual(plan("Path: <sip:192.0.2.100;lr>").reason, "Path Leads Back Here")

    def test_contact_that_leads_back(self) -> None:
        """The contact is the edge's to reach, but it may not lead back here either."""
        self.assertEqual(plan(f"Path: {EDGE}", contact="<sip:a@192.0.2.100>").status, 403)

    def test_service_route(self) -> None:
        """Each 200 has the Service-Route of the settings (RFC 3608)."""
        made = plan(service_route=("<sip:out@192.0.2.30;lr>", "<sip:b.example.com;lr>"))
        self.assertEqual(headers(made, "service-route"), ["<sip:out@192.0.2.30;lr>", "<sip:b.example.com;lr>"])

    def test_read_back(self) -> None:
        """After a restart, and by any node, it is reached as before."""
        binding = Binding(AOR, "sip:a@10.0.0.1", NOW + 60, "r1", received=SOURCE.received, path=EDGE, socket="tcp:192.0.2.100:5060")
        adopt(binding, None)
        self.assertEqual((binding.path, binding.received), (EDGE, SOURCE.received))
        self.assertTrue(is_reachable(binding, None))
