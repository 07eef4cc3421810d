"""Domains whose users can register: told before somebody wonders why a right password is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sipnode import config
from sipnode.settings import Settings


def strangers(settings: Settings, domains: Iterable[str]) -> list[str]:
    """Obstacles to registering: no domain is ours, or that of a user isn't; each text is about ``core.domains``.

    Args:
        domains: Those that users are of.
    """
    ours = {domain.lower().rstrip(".") for domain in settings.core.domains}
    theirs = list(domains)
    if not ours and not theirs:
        return ['is empty, and so nobody can register; write the domain of your users, as domains = ["example.com"]']
    wanted = [domain for domain in theirs if domain not in ours and not _is_own_address(domain, settings)]
    return [
        f"users of {domain} can't register, as it has no {domain}; write domains = {config.toml_value((*settings.core.domains, domain))}"
        for domain in wanted
    ]


def _is_own_address(domain: str, settings: Settings) -> bool:
    """Users of an address that we listen on can register there without its being a domain."""
    return any(f":{domain}:" in line for line in settings.core.listen)
