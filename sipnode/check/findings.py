"""Findings of a check. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from sipnode import config
from sipnode.errors import ConfigError


@dataclass(slots=True)
class Findings:
    """Faults and warnings, each a line of text, none twice.

    Attributes:
        path: Of the configuration, to complete places with.
        errors: A start would end with these, or go on without what they are about.
        warnings: It would go on.
    """

    path: str
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fault(self, error: ConfigError) -> None:
        """One more fault; file and line are looked up where it has none."""
        text = str(config.placed(error, self.path))
        if text not in self.errors:
            self.errors.append(text)

    def warn(self, error: ConfigError) -> None:
        """One more warning."""
        text = str(config.placed(error, self.path))
        if text not in self.warnings:
            self.warnings.append(text)
