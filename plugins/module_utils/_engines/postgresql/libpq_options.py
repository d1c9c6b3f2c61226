# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options of libpq that a SQLAlchemy URL gives, whatever driver it was written for.

SQLAlchemy takes hosts in five ways, each driver has options of its own, and libpq fills in what is missing from a
service file and from the environment. ``pg_dump`` and our own connections need one answer.
"""

from __future__ import annotations

import configparser
import getpass
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from ..._core.url_parts import PlainURL

#: What PQconndefaults() of PostgreSQL 11 to 18 lists, without what is only for debugging it.
KEYWORDS = frozenset(
    """
    service servicefile user password passfile channel_binding connect_timeout dbname host hostaddr port
    client_encoding options application_name fallback_application_name keepalives keepalives_idle keepalives_interval
    keepalives_count tcp_user_timeout sslmode sslnegotiation sslcompression sslcert sslkey sslcertmode sslpassword
    sslrootcert sslcrl sslcrldir sslsni requirepeer require_auth min_protocol_version max_protocol_version
    ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname gsslib gssdelegation replication
    target_session_attrs load_balance_hosts scram_client_key scram_server_key oauth_issuer oauth_client_id
    oauth_client_secret oauth_scope sslkeylogfile
    """.split()  # noqa: SIM905 - a list of them would be as long as the file
)
#: What may be on no command line.
SECRETS = frozenset(["password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"])
#: What a client program sets by itself, or what makes it another kind of client.
_OF_THE_PROGRAM = frozenset(["application_name", "fallback_application_name", "client_encoding", "replication"])
#: What libpq reads where an option is not given, without the database, services, and what a program decides.
VARIABLES = {
    "PGCONNECT_TIMEOUT": "connect_timeout",
    **{
        f"PG{keyword.replace('_', '').upper()}": keyword
        for keyword in (
            *("host", "hostaddr", "port", "user", "password", "passfile", "channel_binding", "options", "sslmode"),
            *("sslnegotiation", "sslcompression", "sslcert", "sslkey", "sslcertmode", "sslrootcert", "sslcrl"),
            *("sslcrldir", "sslsni", "requirepeer", "require_auth", "min_protocol_version", "max_protocol_version"),
            *("ssl_min_protocol_version", "ssl_max_protocol_version", "gssencmode", "krbsrvname", "gsslib"),
            *("gssdelegation", "target_session_attrs", "load_balance_hosts"),
        )
    },
}
_OF_LIBPQ = ("psycopg2", "psycopg", "psycopg_async")
_HOST_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def build_libpq_options(url: URL | PlainURL) -> dict[str, str]:
    """Return what libpq is given to connect to where a URL leads; the password is among it."""
    query = {key: _choose_last(value) for key, value in url.query.items() if key not in ("host", "port")}
    found = {key: value for key, value in query.items() if key in KEYWORDS and value}
    if "sslmode" not in found and query.get("ssl"):  # asyncpg's name for it
        found["sslmode"] = _convert_sslmode(query["ssl"])
    if query.get("direct_tls", "").lower() in _TRUE:  # asyncpg's as well
        found["sslnegotiation"] = "direct"
    if query.get("unix_sock"):  # pg8000 names the socket, libpq its folder
        found["host"] = str(Path(query["unix_sock"]).parent)
    hosts, ports = _join_hosts_and_ports(url)
    named = {
        "host": hosts,
        "port": ports,
        "user": url.username,
        "password": None if url.password is None else str(url.password),
        "dbname": url.database,
    }
    found.update({key: value for key, value in named.items() if value})
    return found


def build_program_options(url: URL | PlainURL) -> dict[str, str]:
    """Return what a client program gets on its command line: nothing secret, nothing that it sets by itself."""
    return {key: value for key, value in build_libpq_options(url).items() if key not in SECRETS | _OF_THE_PROGRAM}


def build_driver_query(url: URL, driver: str) -> dict[str, Any]:
    """Return the options of a URL as another driver takes them; those that only the first one knows are left out."""
    if driver == "asyncpg":
        return dict(url.query) if url.get_driver_name() == "asyncpg" else _build_asyncpg_query(dict(url.query))
    options = build_libpq_options(url)
    for key in ("user", "password", "dbname"):
        options.pop(key, None)
    hosts = {key: options.pop(key, None) for key in ("host", "port")}
    if hosts["port"] and "," not in hosts["port"]:  # libpq takes one for all hosts, SQLAlchemy does not
        hosts["port"] = ",".join([hosts["port"]] * len((hosts["host"] or "").split(",")))
    if "host" in url.query or "port" in url.query or not url.host:
        return {**options, **{key: value for key, value in hosts.items() if value}}
    return dict(options)


def is_local(url: URL) -> bool:
    """Return whether a URL leads to this very host for certain."""
    options = build_libpq_options(url)
    hosts = (options.get("hostaddr") or options.get("host") or "").split(",")
    return all(host in ("", "localhost", "127.0.0.1", "::1") or host.startswith(("/", "@")) for host in hosts)


def with_defaults(url: URL, variables: Mapping[str, str], given: Mapping[str, str]) -> URL:
    """Return a URL with what libpq would take from a service file and the environment written into it.

    Args:
        url: as it was given.
        variables: the environment that the migration will have.
        given: what of it the database's entry gives, which no process but that of env.py may have.
    """
    service = _choose_last(url.query.get("service", "")) or variables.get("PGSERVICE", "")
    if service:
        url = _with_service(url, service, variables)
    url = _with_variables(url, given)
    if url.database is None:
        user = url.username or variables.get("PGUSER") or getpass.getuser()
        url = url.set(database=variables.get("PGDATABASE") or _choose_last(url.query.get("dbname", "")) or user)
    return url.difference_update_query(["dbname"])


def _with_variables(url: URL, given: Mapping[str, str]) -> URL:
    """Fill in what variables of an entry say and the URL does not; what a driver has no name for, it reads itself."""
    written = build_libpq_options(url)
    named = {keyword: given[name] for name, keyword in VARIABLES.items() if given.get(name)}
    missing = {keyword: value for keyword, value in named.items() if keyword not in written}
    for keyword, part in (("user", "username"), ("password", "password")):
        if keyword in missing:
            url = url.set(**{part: missing.pop(keyword)})  # type: ignore[arg-type]
    in_query = "host" in url.query or "port" in url.query
    if not in_query and _HOST_NAME.fullmatch(missing.get("host", "")):
        url = url.set(host=missing.pop("host"))
    if not in_query and "host" not in missing and missing.get("port", "").isdigit():
        url = url.set(port=int(missing.pop("port")))
    if url.get_driver_name() not in _OF_LIBPQ:
        missing = {keyword: value for keyword, value in missing.items() if keyword in ("host", "port")}
    return url.update_query_dict(missing)


def _with_service(url: URL, service: str, variables: Mapping[str, str]) -> URL:
    """Fill in what a service says and the URL does not; a service that is not found is left for libpq to name."""
    found = _read_service(service, _choose_last(url.query.get("servicefile", "")), variables)
    if found is None:
        return url
    written = build_libpq_options(url)
    missing = {key: value for key, value in found.items() if key in KEYWORDS and key not in written}
    parts = {"user": "username", "password": "password", "dbname": "database"}
    named: dict[str, Any] = {parts[key]: missing.pop(key) for key in list(missing) if key in parts}
    url = url.set(**named)
    if "host" in missing and "port" in written and "port" not in url.query:
        url = url.set(port=None)
        missing["port"] = written["port"]
    return url.update_query_dict(missing).difference_update_query(["service", "servicefile"])


def _read_service(name: str, file: str, variables: Mapping[str, str]) -> dict[str, str] | None:
    own = (
        file
        or variables.get("PGSERVICEFILE")
        or str(Path(variables.get("HOME", "~")).expanduser() / ".pg_service.conf")
    )
    folder = variables.get("PGSYSCONFDIR") or "/etc/postgresql-common"
    for path in (Path(own), Path(folder) / "pg_service.conf"):
        parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False)
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, configparser.Error):
            continue
        if parser.has_section(name):
            return dict(parser.items(name))
    return None


def _join_hosts_and_ports(url: URL | PlainURL) -> tuple[str, str]:
    """Return hosts and ports as libpq lists them, from each of the ways in which SQLAlchemy takes them."""
    if "host" not in url.query:
        ports = _split_list(url.query.get("port", ())) or ([str(url.port)] if url.port else [])
        return url.host or "", ",".join(ports)
    hosts = _split_list(url.query["host"])
    ports = _split_list(url.query.get("port", ()))
    if not ports and all(_has_port(host) or ":" not in host for host in hosts) and any(map(_has_port, hosts)):
        pairs = [host.rpartition(":") if _has_port(host) else (host, "", "") for host in hosts]
        return ",".join(pair[0] for pair in pairs), ",".join(pair[2] for pair in pairs)
    if not ports and url.port:
        ports = [str(url.port)]
    return ",".join(hosts), ",".join(ports)


def _has_port(host: str) -> bool:
    name, colon, port = host.rpartition(":")
    return bool(colon) and port.isdigit() and ":" not in name and not host.startswith("/")


def _split_list(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else [str(part) for part in value]
    return [] if parts == [""] else parts


def _choose_last(value: Any) -> str:
    """Return the value of an option; of one that is given several times libpq takes the last."""
    return value if isinstance(value, str) else str(value[-1])


def _convert_sslmode(value: str) -> str:
    if value.lower() in _TRUE:
        return "require"
    return "disable" if value.lower() in _FALSE else value


def _build_asyncpg_query(query: dict[str, Any]) -> dict[str, Any]:
    known = ("host", "port", "passfile", "target_session_attrs", "krbsrvname", "gsslib")
    found = {key: value for key, value in query.items() if key in known}
    mode = query.get("sslmode") or query.get("ssl")
    return {**found, **({"ssl": mode} if mode else {})}
