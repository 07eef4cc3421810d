"""sipnode: a SIP registrar, proxy and presence server for browsers and phones, in one Twisted process."""

__version__ = "0.1.0.dev0"
