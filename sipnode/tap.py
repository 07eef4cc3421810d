"""``twistd sipnode -c conf``: reads the configuration, has the server built, hands it to twistd. Nothing else."""

from __future__ import annotations

import os

from twisted.application.service import IService
from twisted.python import usage

from sipnode import config
from sipnode.errors import ConfigError, StorageError


class Options(usage.Options):
    """Options behind ``sipnode`` on the command line of twistd or twist."""

    synopsis = "[options]"
    longdesc = "SIP registrar and proxy for browsers (WebSocket) and phones (UDP, TCP, TLS) that drives rtpengine."
    optParameters = [["conf", "c", "conf", f"Folder with {config.FILE_NAME}, or the file itself."]]

    def postOptions(self) -> None:
        # twistd changes the folder (--rundir) between here and makeService.
        self["conf"] = os.path.abspath(self["conf"])


def makeService(options: Options) -> IService:
    """The whole server as one service.

    Raises:
        SystemExit: The configuration is at fault; its text says file, line, key and reason.
    """
    path = options["conf"]
    try:
        settings = config.load(path)
        from twisted.internet import reactor

        from sipnode.app import build

        service: IService = build(settings, config.find(path).parent, reactor, own_process=True, conf_file=str(config.find(path)))
    except ConfigError as error:
        raise SystemExit(f"sipnode: {config.placed(error, path)}") from None
    except StorageError as error:
        raise SystemExit(f"sipnode: {error}") from None
    return service
