"""The media rooms: what sipnode says to rtpengine, when, and to which node.

Pure: ``bencode`` ``ng`` ``flags`` ``profiles`` ``manage`` ``body`` ``sdp`` ``calls`` ``abilities`` ``interfaces`` ``names``. With
the network: ``client`` ``nodes`` ``bridge`` ``sweep`` ``service``. ``control`` says what is asked for each call, and gives back what it
held.
The one invariant: SDP that a client gets has come from the relay, or the request fails with a MediaError.
"""
