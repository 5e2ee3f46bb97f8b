"""Where a server keeps an index: a URL, its options, and the credentials, which are never shown."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote, urlsplit

from pixie_retrievers.errors import InvalidParameterError, PixieWarning

__all__ = ["Location", "is_url"]

_FORM = "write it as in opensearch+https://host:9200/name"
_OPTIONS = frozenset(
    ("shards", "replicas", "timeout_s", "request_timeout_s", "verify", "ca", "database", "consistency")
)
_LOOPBACK = ("127.", "localhost", "[::1]", "::1")


def is_url(location: object) -> bool:
    """Whether a location is a URL and not a path."""
    return isinstance(location, str) and "://" in location


@dataclass(frozen=True, slots=True)
class Location:
    """A URL taken apart; ``str`` gives it without credentials.

    Attributes:
        engine: ``opensearch``, ``elasticsearch``, ``milvus`` or ``qdrant``.
        transport: ``http``, ``https`` or ``file``.
        hosts: Each with its port, if it names one; for a file, its path alone.
        name: The collection.
        options: What stands in the query string.
    """

    engine: str
    transport: str
    hosts: tuple[str, ...]
    name: str
    options: Mapping[str, str]
    _user: str | None = field(default=None, repr=False)
    _password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Location:
        """Take a URL apart.

        Raises:
            InvalidParameterError: It is not one of an index, or names an option that there is not.
        """
        scheme, _, rest = url.partition("://")
        engine, _, transport = scheme.partition("+")
        transport = transport or "https"
        if transport not in ("http", "https", "file"):
            raise InvalidParameterError(f"'{scheme}://' says to connect by {transport!r}: {_FORM}")
        parts = urlsplit("x://" + rest)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise InvalidParameterError(
                f"the URL has the option {unknown[0]!r}; the options are {', '.join(sorted(_OPTIONS))}"
            )
        if transport == "file":
            path, name = unquote(parts.netloc + parts.path), unquote(parts.fragment)
            if not path or not name:
                raise InvalidParameterError(f"'{scheme}://' takes a path and a name: {engine}+file:///path/x.db#name")
            return cls(engine, transport, (path,), name, options)
        credentials, _, netloc = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        hosts = tuple(host for host in netloc.split(",") if host)
        name = unquote(parts.path.strip("/"))
        if not hosts or not name or "/" in name:
            raise InvalidParameterError(f"the URL names no host, or not one index: {_FORM}")
        location = cls(
            engine, transport, hosts, name, options, unquote(user) or None, unquote(password) if credentials else None
        )
        location._warn_of_plain_text()
        return location

    def __str__(self) -> str:
        separator = "#" if self.transport == "file" else "/"
        return f"{self.engine}+{self.transport}://{','.join(self.hosts)}{separator}{self.name}"

    def beside(self, suffix: str) -> Location:
        """Where a small collection of its own is, which belongs to this one."""
        options = {name: value for name, value in self.options.items() if name != "shards"}
        return replace(self, name=self.name + suffix, options=options)

    def secret(self, name: str) -> str | None:
        """A credential from the environment: PIXIE_OPENSEARCH_PASSWORD is that of an OpenSearch URL."""
        return os.environ.get(f"PIXIE_{self.engine.upper()}_{name.upper()}") or None

    def user_and_password(self) -> tuple[str | None, str | None]:
        """From the URL, or else from the environment."""
        if self._user is not None:
            return self._user, self._password
        return self.secret("user"), self.secret("password")

    def number(self, name: str) -> int | None:
        """An option that is a whole number; None where it is not given.

        Raises:
            InvalidParameterError: It is something else.
        """
        value = self.options.get(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit():
            raise InvalidParameterError(f"in the URL, {name} is {value!r}; it must be a whole number")
        return int(value)

    @property
    def verifies(self) -> bool:
        """Certificates are verified, unless the URL says ``verify=false``."""
        return self.options.get("verify", "true").lower() not in ("false", "0", "no")

    @staticmethod
    def with_port(host: str, port: int) -> str:
        """A host with a port, its own or this one."""
        has_port = host.rpartition(":")[2].isdigit() and not host.endswith("]")
        return host if has_port else f"{host}:{port}"

    def _warn_of_plain_text(self) -> None:
        secrets = (self._user, self.secret("user"), self.secret("api_key"), self.secret("token"))
        if self.transport == "http" and any(secrets) and not all(host.startswith(_LOOPBACK) for host in self.hosts):
            warnings.warn(
                f"credentials go to {self} unencrypted: write {self.engine}+https:// where the server has TLS",
                PixieWarning,
                stacklevel=4,
            )
