"""tls.*: connections over TLS and what they are made with, in the names and fields of Kamailio's tls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sipnode.errors import ConfigError, RpcError
from sipnode.rpc.connections import connection_number, connections, ends, seconds_left
from sipnode.rpc.dispatch import rows
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class TlsConnection(TypedDict):
    id: int
    timeout: int
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    cipher: str
    ct_wq_size: int
    enc_rd_buf: int
    flags: int
    state: str


class Info(TypedDict):
    max_connections: int
    opened_connections: int
    clear_text_write_queued_bytes: int


class Options(TypedDict):
    force_run: int
    method: str
    verify_certificate: int
    verify_depth: int
    require_certificate: int
    verify_client: str
    private_key: str | None
    ca_list: str | None
    certificate: str | None
    cipher_list: str | None
    session_cache: int
    session_id: str
    config: str
    log: int
    debug: int
    connection_timeout: int
    disable_compression: int
    ssl_release_buffers: int
    ssl_freelist_max: int
    ssl_max_send_fragment: int
    ssl_read_ahead: int
    send_close_notify: int
    low_mem_threshold1: int
    low_mem_threshold2: int
    ct_wq_max: int
    con_ct_wq_max: int
    ct_wq_blk_size: int


class TlsCommands:
    """tls.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("tls.list")
    def every(self) -> list[TlsConnection]:
        """Every connection over TLS, WebSockets too, with its cipher and version."""
        now, idle = self._parts.clock(), self._parts.settings.transport.idle_seconds
        return rows([self._row(flow, now, idle) for flow in self._flows()])

    @rpc("tls.info")
    def info(self) -> Info:
        """How many connections over TLS there are, and may be."""
        most = self._parts.settings.limits.connections
        return Info(max_connections=most, opened_connections=len(self._flows()), clear_text_write_queued_bytes=0)

    @rpc("tls.options")
    def options(self) -> Options:
        """The base of TLS: the file, and its ``[server:default]``.

        The sizes of Kamailio's memory have no meaning here and are -1 or 0; ``con_ct_wq_max`` is what may wait for one connection.
        """
        settings = self._parts.settings
        profile = next((each for each in self._parts.tls_profiles() if each.name == "server:default"), None)
        return Options(
            force_run=0,
            method=profile.tls_method if profile is not None else "",
            verify_certificate=int(profile is not None and profile.verify_certificate),
            verify_depth=profile.verify_depth if profile is not None else 0,
            require_certificate=int(profile is not None and profile.require_certificate),
            verify_client="on" if profile is not None and profile.verify_certificate else "off",
            private_key=_path(profile, "private_key"),
            ca_list=_path(profile, "ca_list"),
            certificate=_path(profile, "certificate"),
            cipher_list=_path(profile, "cipher_list"),
            session_cache=0,
            session_id="",
            config=settings.tls.config,
            log=0,
            debug=0,
            connection_timeout=int(settings.transport.idle_seconds),
            disable_compression=1,
            ssl_release_buffers=-1,
            ssl_freelist_max=-1,
            ssl_max_send_fragment=-1,
            ssl_read_ahead=0,
            send_close_notify=1,
            low_mem_threshold1=0,
            low_mem_threshold2=0,
            ct_wq_max=0,
            con_ct_wq_max=settings.limits.write_buffer_bytes,
            ct_wq_blk_size=0,
        )

    @rpc("tls.reload", changes=True)
    def reload(self) -> str:
        """Read ``tls.cfg`` and its certificates anew: connections from now on go by them; a file at fault changes nothing."""
        try:
            self._parts.reload_tls()
        except ConfigError as error:
            raise RpcError(500, f"Error while fixing TLS configuration: {error}") from None
        return "Ok. TLS configuration reloaded."

    def _flows(self) -> list[Any]:
        return [flow for flow in connections(self._parts.core) if flow.transport in ("TLS", "WSS")]

    def _row(self, flow: Any, now: float, idle: float) -> TlsConnection:
        return {
            "id": connection_number(flow.token),
            "timeout": seconds_left(flow, now, idle),
            **ends(flow),
            "cipher": getattr(flow, "cipher", ""),
            "ct_wq_size": 0,
            "enc_rd_buf": 0,
            "flags": 0,
            "state": "established",
        }


def _path(profile: Any, name: str) -> str | None:
    """A value of the profile; None where it has none."""
    return str(getattr(profile, name)) if profile is not None and getattr(profile, name) else None
