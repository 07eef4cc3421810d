"""An offer and its answer as Kamailio's module sent them to rtpengine: one browser calls another.

Its addresses are stood in for by others of the same length.
"""

from __future__ import annotations

OFFER_SDP = (
    b"v=0\r\n"
    b"o=- 789831103708242996 2 IN IP4 127.0.0.1\r\n"
    b"s=-\r\n"
    b"t=0 0\r\n"
    b"a=group:BUNDLE 0\r\n"
    b"a=msid-semantic: WMS LFYfHwNOw5Bz1FMVswSH66PueKArRgdmPUtI\r\n"
    b"m=audio 55215 UDP/TLS/RTP/SAVPF 111 103 104 9 0 8 106 105 13 110 112 113 126\r\n"
    b"c=IN IP4 192.168.0.3\r\n"
    b"a=rtcp:9 IN IP4 0.0.0.0\r\n"
    b"a=candidate:3802297132 1 udp 2122260223 192.168.0.3 55215 typ host generation 0 network-id 1 network-cost 10\r\n"
    b"a=candidate:2887880668 1 tcp 1518280447 192.168.0.3 9 typ host tcptype active generation 0 network-id 1 network-cost 10\r\n"
    b"a=ice-ufrag:T8N5\r\n"
    b"a=ice-pwd:3klni8BourXDKz/GXsWahQi7\r\n"
    b"a=ice-options:trickle\r\n"
    b"a=fingerprint:sha-256 B4:CB:0B:8B:B5:8C:85:CA:C9:87:F8:E3:92:0E:AD:80:B3:12:C4:81:1A:5D:C8:74:BC:B5:15:8B:FB:48:E4:15\r\n"
    b"a=setup:actpass\r\n"
    b"a=mid:0\r\n"
    b"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
    b"a=extmap:2 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
    b"a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    b"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
    b"a=extmap:5 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n"
    b"a=sendrecv\r\n"
    b"a=msid:LFYfHwNOw5Bz1FMVswSH66PueKArRgdmPUtI 1f578b40-b2ee-46da-b731-d35a76a75e9d\r\n"
    b"a=rtcp-mux\r\n"
    b"a=rtpmap:111 opus/48000/2\r\n"
    b"a=rtcp-fb:111 transport-cc\r\n"
    b"a=fmtp:111 minptime=10;useinbandfec=1\r\n"
    b"a=rtpmap:103 ISAC/16000\r\n"
    b"a=rtpmap:104 ISAC/32000\r\n"
    b"a=rtpmap:9 G722/8000\r\n"
    b"a=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:106 CN/32000\r\n"
    b"a=rtpmap:105 CN/16000\r\n"
    b"a=rtpmap:13 CN/8000\r\n"
    b"a=rtpmap:110 telephone-event/48000\r\n"
    b"a=rtpmap:112 telephone-event/32000\r\n"
    b"a=rtpmap:113 telephone-event/16000\r\n"
    b"a=rtpmap:126 telephone-event/8000\r\n"
    b"a=ssrc:4290992267 cname:HEiBMwQq/O21A3jy\r\n"
    b"a=ssrc:4290992267 msid:LFYfHwNOw5Bz1FMVswSH66PueKArRgdmPUtI 1f578b40-b2ee-46da-b731-d35a76a75e9d\r\n"
    b"a=ssrc:4290992267 mslabel:LFYfHwNOw5Bz1FMVswSH66PueKArRgdmPUtI\r\n"
    b"a=ssrc:4290992267 label:1f578b40-b2ee-46da-b731-d35a76a75e9d\r\n"
)

OFFER = (
    b"d3:sdp1822:"
    + OFFER_SDP
    + (
        b"13:media-address12:203.0.113.7011:record-call2:on5:flagsl13:trust-addresse7:replacel6:origin18:session-connect"
        b"ione8:rtcp-muxl5:offer6:accepte7:call-id20:ogi3dpopec8u56dffe3s13:received-froml3:IP413:198.51.100.23e8:from-t"
        b"ag10:ufhj8jv9hg7:command5:offere"
    )
)

ANSWER_SDP = (
    b"v=0\r\n"
    b"o=- 8562992504752165544 2 IN IP4 127.0.0.1\r\n"
    b"s=-\r\n"
    b"t=0 0\r\n"
    b"a=group:BUNDLE 0\r\n"
    b"a=msid-semantic: WMS 1tD4KLVdpyXEDXZQP0Xot4XphEJME1DOnZPI\r\n"
    b"m=audio 52374 UDP/TLS/RTP/SAVPF 111 103 104 9 0 8 106 105 13 110 112 113 126\r\n"
    b"c=IN IP4 192.168.0.3\r\n"
    b"a=rtcp:9 IN IP4 0.0.0.0\r\n"
    b"a=candidate:3351850224 1 udp 2122260223 192.168.0.3 52374 typ host generation 0 network-id 1 network-cost 10\r\n"
    b"a=ice-ufrag:AF+x\r\n"
    b"a=ice-pwd:rEtt1iqqIC+u8mlOYA/ivYT6\r\n"
    b"a=ice-options:trickle\r\n"
    b"a=fingerprint:sha-256 45:CF:1D:A8:05:D5:23:A3:39:9C:40:FB:A5:AD:56:83:BF:ED:A7:B3:FE:D1:A5:5E:3D:70:DB:BC:43:28:0C:72\r\n"
    b"a=setup:active\r\n"
    b"a=mid:0\r\n"
    b"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
    b"a=extmap:2 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
    b"a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    b"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
    b"a=extmap:5 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n"
    b"a=sendrecv\r\n"
    b"a=msid:1tD4KLVdpyXEDXZQP0Xot4XphEJME1DOnZPI 3a8ca772-316d-4601-b619-e8ffab77d329\r\n"
    b"a=rtcp-mux\r\n"
    b"a=rtpmap:111 opus/48000/2\r\n"
    b"a=rtcp-fb:111 transport-cc\r\n"
    b"a=fmtp:111 minptime=10;useinbandfec=1\r\n"
    b"a=rtpmap:103 ISAC/16000\r\n"
    b"a=rtpmap:104 ISAC/32000\r\n"
    b"a=rtpmap:9 G722/8000\r\n"
    b"a=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:106 CN/32000\r\n"
    b"a=rtpmap:105 CN/16000\r\n"
    b"a=rtpmap:13 CN/8000\r\n"
    b"a=rtpmap:110 telephone-event/48000\r\n"
    b"a=rtpmap:112 telephone-event/32000\r\n"
    b"a=rtpmap:113 telephone-event/16000\r\n"
    b"a=rtpmap:126 telephone-event/8000\r\n"
    b"a=ssrc:2974203233 cname:NVs2EOdtocOP4u6r\r\n"
)

ANSWER = (
    b"d3:sdp1477:"
    + ANSWER_SDP
    + (
        b"13:media-address12:203.0.113.7011:record-call2:on5:flagsl13:trust-addresse7:replacel6:origin18:session-connect"
        b"ione8:rtcp-muxl5:offer6:accepte7:call-id20:ogi3dpopec8u56dffe3s13:received-froml3:IP413:198.51.100.23e8:from-t"
        b"ag10:ufhj8jv9hg6:to-tag10:d1c13gjflf7:command6:answere"
    )
)
