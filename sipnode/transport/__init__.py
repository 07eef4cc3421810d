"""Between the kernel and the message sink: sockets, framing of WebSocket and HTTP, TLS, names to addresses.

Nothing in this room reads SIP beyond the first octets of a stream; whole messages go to an ``IMessageSink``.
"""
