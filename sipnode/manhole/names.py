"""The names at the prompt: each of them is a view, a verb or the object itself, with a line about it in the banner."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sipnode.manhole.views import Text, Verb, View
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.base.management import History, Lifecycle, Logs


class Name(NamedTuple):
    """One name.

    Attributes:
        name: What is typed.
        value: What it is.
        line: About it, for the banner.
    """

    name: str
    value: Any
    line: str


class Parts(NamedTuple):
    """The parts that the names are made of.

    Attributes:
        core: The services.
        root: The service tree.
        conf: The settings in force by section, secrets masked.
        rpc: Calls a method of the RPC by its name: a value or a Deferred, as text for people.
        media: MediaService.
        transaction_row: The row of a transaction.
        logs: LogControl. history: CallHistory. lifecycle: Lifecycle; None where it can't be reloaded.
    """

    core: Any
    root: Any
    conf: Callable[[], dict[str, dict[str, Any]]]
    rpc: Callable[..., Any]
    media: Any
    transaction_row: Callable[[Any], dict[str, Any]]
    logs: Logs
    history: History
    lifecycle: Lifecycle | None


def names_of(parts: Parts) -> list[Name]:
    """All of them."""
    core = parts.core
    return [
        Name("calls", _calls(core, parts.history), "calls that ring or are up; .end(call_id), .history(call_id)"),
        Name("registrations", _registrations(core), "who can be reached where; .of('alice@example.com')"),
        Name("flows", _flows(core), "open connections; .close(token)"),
        Name("transactions", _transactions(parts), "requests in flight and those that absorb repeats"),
        Name("media", _media(parts.media), "rtpengine nodes; .ping(name), .drain(name), .undrain(name)"),
        Name("bans", _bans(core), "who is shut out; .add(address, seconds, why), .lift(key)"),
        Name("services", _services(parts.root), "the tree of services; services['media'] is the service itself"),
        Name("conf", _conf(parts.conf), "every setting in force, secrets masked"),
        Name("reload", _reloader(parts.lifecycle), "reload() reads configuration, certificates and script anew, as SIGHUP does"),
        Name("rpc", Verb(parts.rpc, "rpc('ul.dump', ...)"), "rpc('tm.stats') calls a method of the RPC; system.listMethods lists them"),
        Name("trace", _tracer(parts.logs), "trace(user='alice') writes messages to the log; trace(off=True) ends it"),
        Name("core", core, "the services themselves: core.registrar, core.dialogs, core.flows …"),
    ]


def namespace_of(names: list[Name], version: str, leave: Callable[[], None]) -> dict[str, Any]:
    """Names that the prompt knows; ``what`` shows the banner again."""
    values = {name.name: name.value for name in names}
    banner = Text(banner_of(names, version))
    values["what"] = banner
    values["__builtins__"] = safe_builtins(leave)
    values["__name__"] = "__manhole__"
    return values


def banner_of(names: list[Name], version: str) -> str:
    """The banner for a visitor."""
    width = max(len(name.name) for name in names)
    lines = [f"sipnode {version}. This is Python inside the running server: what you do is done, and calls wait while it runs."]
    lines += [f"  {name.name.ljust(width)}  {name.line}" for name in names]
    lines.append("  help(x) says more about x, what shows this again, Ctrl-D leaves.")
    return "\n".join(lines)


def safe_builtins(leave: Callable[[], None]) -> dict[str, Any]:
    """Python's own names, without those that would wait for the server's terminal, which nobody sits at."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        """Not here: it would wait for the server's own terminal."""
        raise RuntimeError("not here: it would wait for the server's own terminal")

    def show_help(thing: Any = None) -> Text:
        """Explain a name."""
        if thing is None:
            return Text("help(x) says what x is; what lists the names")
        doc = inspect.getdoc(thing) or "nothing is written about it"
        try:
            head = f"{getattr(thing, '__name__', '')}{inspect.signature(thing)}\n" if callable(thing) else ""
        except (TypeError, ValueError):
            head = ""
        return Text(head + doc)

    def end(*args: Any) -> None:
        """Leave."""
        leave()

    replaced = {"input": refuse, "breakpoint": refuse, "help": show_help, "exit": end, "quit": end}
    return {**vars(builtins), **replaced}


# -- one maker for each name


def _calls(core: Any, known: History) -> View:
    def row(call: Any) -> dict[str, Any]:
        now = core.clock()
        since = call.answered or call.started
        return {
            "call_id": call.call_id,
            "caller": call.caller or call.from_uri,
            "callee": call.callee or call.uri,
            "state": call.state,
            "seconds": round(now - since),
            "from": _address(*call.caller_flow),
            "media": call.node or "-",
        }

    def end(call_id: str) -> Text:
        """end(call_id) hangs up both ends, or cancels a call that rings."""
        return Text(f"{len(core.dialogs.end(call_id))} ended")

    def history(call_id: str) -> Text:
        """history(call_id) is what happened to a call, step by step."""
        steps = known.history(call_id)
        lines = [f"{step.when - steps[0].when:+9.3f}  {step.room}: {clean(step.text)}" for step in steps]
        return Text("\n".join(lines) or "nothing is known of it")

    return View("Calls that ring or are up", core.dialogs.list, row, {"end": end, "history": history}, "no calls")


def _registrations(core: Any) -> View:
    table = core.registrar.table

    def row(binding: Any) -> dict[str, Any]:
        return {
            "aor": binding.aor,
            "contact": binding.contact,
            "via": binding.received or binding.socket,
            "expires_in": round(binding.expires - core.clock()),
            "q": binding.q,
            "user_agent": binding.user_agent,
            "node": binding.server_id,
        }

    def of(aor: str) -> list[Any]:
        """of("alice@example.com") is the list of its bindings, best first."""
        found: list[Any] = table.lookup(core.registrar.canonical(aor), core.clock())
        return found

    return View("Bindings in memory", lambda: table, row, {"of": of}, "nobody is registered")


def _flows(core: Any) -> View:
    def row(flow: Any) -> dict[str, Any]:
        users = sorted({binding.aor for binding in core.registrar.table.on_flow(flow.token)})
        return {"token": flow.token, "kind": flow.transport, "remote": _hostport(flow.remote), "users": ", ".join(users[:5]) or "-"}

    def close(token: str) -> Text:
        """close(token) drops a connection; who was registered over it isn't any more."""
        flow = core.flows.by_token(token)
        if flow is None:
            return Text("there is no such connection")
        flow.close("closed by the operator")
        return Text("closed")

    return View("Open connections", core.flows.connections, row, {"close": close}, "no connections")


def _transactions(parts: Parts) -> View:
    layer = parts.core.transactions

    def items() -> Iterator[Any]:
        yield from list(layer.servers.values())
        yield from list(layer.clients.values())

    return View("Live transactions", items, parts.transaction_row, None, "no transactions")


def _media(media: Any) -> View:
    nodes: Any = media.nodes if media is not None else None

    def row(node: Any) -> dict[str, Any]:
        return {"name": node.name, "up": nodes.is_up(node), "drained": node.draining, "weight": node.weight, "address": node.address or "-"}

    def named(name: str) -> Any:
        node = nodes.named(name) if nodes is not None else None
        if node is None:
            raise KeyError(name)
        return node

    def ping(name: str) -> Any:
        """ping(name) asks whether it is there."""
        return nodes.ping(named(name))

    def drain(name: str) -> Text:
        """drain(name) gives it no new calls."""
        return Text("drained" if nodes.drain(named(name).name, True) else "no change")

    def undrain(name: str) -> Text:
        """undrain(name) gives it calls again."""
        return Text("in use" if nodes.drain(named(name).name, False) else "no change")

    items: Callable[[], Any] = lambda: nodes.nodes if nodes is not None else ()  # noqa: E731  # one word for two cases
    return View("rtpengine nodes", items, row, {"ping": ping, "drain": drain, "undrain": undrain}, "no media nodes: SDP passes untouched")


def _bans(core: Any) -> View:
    defence = core.defence

    def row(ban: Any) -> dict[str, Any]:
        return {"key": ban.key, "reason": ban.reason, "seconds_left": round(ban.until - core.clock()), "dropped": ban.dropped}

    def add(address: str, seconds: float = 0.0, why: str = "operator") -> Any:
        """add(address, seconds, why) shuts an address or network out."""
        return defence.ban(address, seconds, why)

    def lift(key: str) -> Text:
        """lift(key) lets one in again."""
        return Text("let in again" if defence.unban(key) else "it wasn't shut out")

    if defence is None:
        return View("Who is shut out", tuple, row, None, "[defence] is off")
    return View("Who is shut out", defence.bans, row, {"add": add, "lift": lift}, "nobody is shut out")


class Services(View):
    """The tree of services; ``services["media"]`` is the service itself."""

    def __init__(self, root: Any) -> None:
        super().__init__("The tree of services", lambda: _tree(root, ""), lambda one: {"service": one[0], "running": bool(one[1].running)})
        self._root = root

    def __getitem__(self, key: int | str) -> Any:
        for path, service in _tree(self._root, ""):
            if path == key or getattr(service, "name", None) == key:
                return service
        raise KeyError(key)


def _tree(service: Any, before: str) -> Iterator[tuple[str, Any]]:
    for child in service:
        path = before + (child.name or type(child).__name__)
        yield path, child
        if hasattr(child, "__iter__"):
            yield from _tree(child, f"{path}/")


def _services(root: Any) -> Services:
    return Services(root)


def _conf(conf: Callable[[], dict[str, dict[str, Any]]]) -> View:
    def items() -> Iterator[tuple[str, Any]]:
        return ((f"{section}.{name}", value) for section, values in conf().items() for name, value in values.items())

    return View("Settings in force", items, lambda pair: {"setting": pair[0], "value": pair[1]})


def _reloader(lifecycle: Lifecycle | None) -> Verb:
    def reload() -> Text:
        """Read configuration, certificates and script anew, as SIGHUP does."""
        if lifecycle is None:
            return Text("this server can't reload")
        report = lifecycle.reload()
        lines = [f"read anew: {text}" for text in report.done] + [f"not taken: {text}" for text in report.refused]
        lines += [f"needs a restart: {key}" for key in report.restart]
        return Text("\n".join(lines))

    return Verb(reload, "reload()")


def _tracer(logs: Logs) -> Verb:
    def trace(user: str = "", address: str = "", call_id: str = "", method: str = "", off: bool = False) -> Text:
        """Write messages to the log (secrets masked) that meet the conditions; off=True ends it."""
        if off:
            logs.trace_off()
            return Text("nothing is traced")
        logs.trace_on(user, address, call_id, method)
        return Text("traced until trace(off=True)")

    return Verb(trace, "trace(user='', address='', call_id='', method='', off=False)")


def _address(transport: str, remote: tuple[str, int]) -> str:
    return f"{transport.lower()}:{_hostport(remote)}"


def _hostport(remote: tuple[str, int]) -> str:
    host, port = remote
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
