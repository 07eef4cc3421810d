"""Makes ``twistd sipnode`` and ``twist sipnode`` known; every twistd run imports it, so it imports nothing else."""

from twisted.application.service import ServiceMaker

sipnode = ServiceMaker("sipnode", "sipnode.tap", "SIP registrar and proxy for browsers and phones", "sipnode")
