"""SIP messages as values: octets in, messages out, octets back. Pure: no Twisted, no sockets, no clock.

Usable as a library: :func:`sipnode.sip.parser.parse_message`, :class:`sipnode.sip.framing.StreamFramer`,
:mod:`sipnode.sip.build`, :mod:`sipnode.sip.digest`.
"""
