# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option file with which a client program reaches the database of a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from ..._core.url_parts import PlainURL

#: Options of a URL by the name that they have in an option file.
_SSL = {
    "ssl_ca": "ssl-ca",
    "ssl_capath": "ssl-capath",
    "ssl_cert": "ssl-cert",
    "ssl_key": "ssl-key",
    "ssl_cipher": "ssl-cipher",
}
_VERIFIES = ("ssl_verify_cert", "ssl_verify_identity", "ssl_check_hostname")
#: These reach "localhost" by TCP; the others find a socket, as the programs do.
_BY_TCP = ("pymysql", "asyncmy", "aiomysql")
_NO = ("false", "0", "no", "off")


def build_client_options(url: URL | PlainURL, driver: str) -> dict[str, str]:
    """Return where a URL leads and who connects, by the names of an option file; nothing of a driver's own.

    Args:
        url: of the database.
        driver: by which its connections are made: they and the programs have to reach the same server.
    """
    query = {name: str(value) for name, value in url.query.items()}
    options: dict[str, str] = {}
    socket = query.get("unix_socket")
    if socket:
        options |= {"socket": socket, "protocol": "socket"}
    else:
        options |= {
            "host": url.host or "",
            "port": str(url.port or ""),
            "protocol": "tcp" if _is_tcp(url, driver) else "",
        }
    options |= {"user": url.username or "", "password": url.password or ""}
    options |= {option: query[name] for name, option in _SSL.items() if name in query}
    # A newer program verifies what the drivers do not; what they verify it has to verify as well.
    verifies = bool({"ssl_ca", "ssl_capath", *_VERIFIES[:2]} & set(query)) and not any(
        query.get(name, "").lower() in _NO for name in _VERIFIES
    )
    options["loose-ssl-verify-server-cert"] = "1" if verifies else "0"
    if query.get("ssl_disabled", "").lower() not in ("", *_NO):
        options["loose-ssl"] = "0"
    return {name: value for name, value in options.items() if value}


def _is_tcp(url: URL | PlainURL, driver: str) -> bool:
    return driver in _BY_TCP or url.host not in (None, "", "localhost")


def build_option_file(url: URL | PlainURL, driver: str) -> str:
    """Return the content of an option file for the programs; there is a secret in it."""
    included = url.query.get("read_default_file")
    lines = [f"!include {included}"] if included else []
    lines += [
        "[client]",
        *(f"{name}={_quote_value(value)}" for name, value in build_client_options(url, driver).items()),
    ]
    return "\n".join(lines) + "\n"


def _quote_value(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def build_own_query(url: URL, driver: str) -> dict[str, Any]:
    """Return the options of a URL for a connection of our own, in the characters that hold all others."""
    query = {name: value for name, value in url.query.items() if name not in ("charset", "init_command")}
    return query if driver == "mariadbconnector" else {**query, "charset": "utf8mb4"}
