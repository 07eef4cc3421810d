"""The media rooms: what sipnode says to rtpengine, when, and to which node.

Pure: ``bencode`` ``ng`` ``profiles`` ``manage`` ``body``. With the network: ``client`` ``nodes`` ``bridge``.
The one invariant: SDP that a client gets has come from the relay, or the request fails with a MediaError.
"""
