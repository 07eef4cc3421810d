"""A story as a capture file that Wireshark and sngrep read: each message in an IP and UDP packet of its own, whatever transport it came by.

Implements: the pcap format (LINKTYPE_RAW 101), RFC 791, RFC 8200, RFC 768. Pure. TLS and WebSocket are decrypted and unframed here already,
so that the SIP in them is read as that of UDP is; the transport of each message stands in its Via. Secrets are covered, lengths are right.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sipnode.insight.story import Address, Story

_HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101)
_MOST: Final = 65_000
"""Octets of a message in a packet; more isn't UDP."""
_UDP: Final = 17


def pcap(story: Story) -> bytes:
    """The file."""
    packets = [_HEADER]
    for number, entry in enumerate(story.entries):
        if not entry.is_message:
            continue
        source, destination = (entry.remote, entry.local) if entry.incoming else (entry.local, entry.remote)
        packet = _packet(source, destination, entry.data[:_MOST], number)
        seconds = int(entry.when)
        packets.append(struct.pack("<IIII", seconds & 0xFFFFFFFF, int((entry.when - seconds) * 1e6), len(packet), len(packet)))
        packets.append(packet)
    return b"".join(packets)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        found = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return ipaddress.IPv4Address("0.0.0.0")
    return getattr(found, "ipv4_mapped", None) or found


def _sum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet(source: Address, destination: Address, data: bytes, number: int) -> bytes:
    here, there = _address(source[0]), _address(destination[0])
    if here.version != there.version:
        here, there = (_as_ipv6(each) for each in (here, there))
    length = 8 + len(data)
    ports = struct.pack("!HH", source[1] & 0xFFFF, destination[1] & 0xFFFF)
    if here.version == 4:
        pseudo = here.packed + there.packed + struct.pack("!BBH", 0, _UDP, length)
    else:
        pseudo = here.packed + there.packed + struct.pack("!IHBB", length, 0, 0, _UDP)
    checksum = _sum(pseudo + ports + struct.pack("!HH", length, 0) + data) or 0xFFFF
    udp = ports + struct.pack("!HH", length, checksum) + data
    if here.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, _UDP, 64) + here.packed + there.packed + udp
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, number & 0xFFFF, 0, 64, _UDP, 0) + here.packed + there.packed
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + udp


def _as_ipv6(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    return (
        ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed) if address.version == 4 else ipaddress.IPv6Address(address.packed)
    )
