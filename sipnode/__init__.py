"""sipnode: a SIP registrar, proxy and presence server for browsers and phones, in one Twisted process."""

__version__ = "0.2.0"
