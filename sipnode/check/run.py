"""All checks in their order: the file, rooms, certificates, folder, who else can read it, store, domains, ports, media nodes, DNS."""

from __future__ import annotations

import os
from typing import Any

from sipnode import config, extensions
from sipnode.check.asking import ask_dns, ask_media
from sipnode.check.building import built
from sipnode.check.findings import Findings
from sipnode.check.folder import check_folder, check_store
from sipnode.check.ports import check_ports, is_running
from sipnode.check.secrets import check_secrets
from sipnode.errors import ConfigError
from sipnode.lifecycle.domains import strangers
from sipnode.storage.look import user_domains
from sipnode.transport.descriptors import allowed, complaint
from sipnode.web import pages
from sipnode.wiring.console import complaints


def check(path: str, reactor: Any, ports: bool = True, ask: bool = False) -> Findings:
    """Look at a configuration and at what it needs.

    Args:
        path: As ``-c`` takes it.
        reactor: For its clock; nothing is started.
        ports: Look whether they are free.
        ask: Ask the media nodes and DNS.

    Raises:
        ConfigError: there is no such file, or it can't be read.
    """
    file = config.find(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=str(file)) from None
    findings = Findings(str(file))
    settings, faults = config.read(text, str(file), os.environ)
    for fault in faults:
        findings.fault(fault)
    if not config.is_toml(text):
        # Nothing of it is known.
        return findings
    keys = {fault.key for fault in faults}
    server = built(settings, file.parent, str(file), reactor, findings.fault)
    if server is not None:
        for warning in server.transports.warnings:
            findings.warn(ConfigError(warning))
        for each in server.transports.tls.files():
            warning = each.warning(reactor.seconds())
            if warning:
                findings.warn(ConfigError(warning))
    if "limits.connections" not in keys:
        said = complaint(settings.limits.connections, allowed())
        if said:
            findings.warn(ConfigError(f"here {said}", key="limits.connections"))
    state = config.state_folder(settings, file.parent)
    check_folder(state, settings, findings.fault)
    keys_of_tls = [profile.private_key for profile in server.transports.tls.profiles() if profile.private_key] if server else []
    check_secrets(settings, file, state, keys_of_tls, findings.warn)
    if "storage.url" not in keys and not any(": storage.url: " in text for text in findings.errors):
        check_store(settings.storage.url, state, findings.fault, findings.warn)
        known = user_domains(settings.storage.url, str(state)) if settings.auth.backend == "store" else []
        for text in strangers(settings, known):
            findings.warn(ConfigError(text, key="core.domains"))
    unusable = extensions.complaints()
    if unusable:
        findings.warn(ConfigError(f"plugins that are installed and can't be used: {'; '.join(unusable)}"))
    if settings.web.softphone and not pages.is_built() and any(line.lower().startswith("ws") for line in settings.core.listen):
        findings.warn(ConfigError(f"the page isn't built: {pages.remedy()}", key="web.softphone"))
    for useless in complaints(settings):
        findings.warn(useless)
    # The ports of a server that runs are its own.
    running = bool(settings.rpc.socket) and is_running(str(state / settings.rpc.socket))
    if ports:
        check_ports(settings, keys, findings.warn if running else findings.fault, findings.warn)
    if running:
        findings.warn(ConfigError("a server runs with this configuration: what it has taken is free for its next start"))
    if ask:
        ask_media(settings, keys, findings.warn)
        ask_dns(settings, keys, findings.warn)
    return findings
