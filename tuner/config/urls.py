"""Refuses credentials in URLs: the results of a study keep its URLs, and messages show them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["refuse_credentials", "refuse_password"]

#: Names of options that hold a secret, also of URLs that were signed for a while.
_SECRET = re.compile(
    r"(secret|access|account|api|private)_?key|token|passw|pwd|credential|signature|^sig$|^sas$",
    re.IGNORECASE,
)
#: Schemes in whose URLs a user may be named, without a password.
_NAME_USERS = frozenset({"ftp", "hdfs", "sftp", "smb", "ssh"})
#: A variable of the environment, which stands for its value.
_VARIABLE = re.compile(r"\$\{\w+\}")

_CURE = (
    "must hold no credentials, which results would keep; leave them to the environment of each machine, such "
    "as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or to its role"
)


def refuse_credentials(place: str) -> str:
    """Return a path or URL. No message repeats it.

    Raises
    ------
    ValueError
        If it is a URL that holds credentials: a user with a password, an option such as ``secret_key``, a
        signature, or any of them in a URL within it, such as that of an endpoint.
    """
    if any(_holds_credentials(part) for part in place.split("::") if "://" in part):
        raise ValueError(_CURE)
    return place


def _holds_credentials(url: str) -> bool:
    try:
        scheme, user, query = urlsplit(url).scheme, *_user_and_query(url)
    except ValueError:  # such as brackets without an end
        return "@" in url
    if user and not (scheme in _NAME_USERS and ":" not in user):
        return True
    return any(_is_secret(name, value) for name, value in parse_qsl(query))


def _user_and_query(url: str) -> tuple[str, str]:
    """Return what stands before the host, and the options."""
    rest, _, query = url.partition("://")[2].partition("?")
    authority = rest.partition("/")[0]
    user, _, host = authority.rpartition("@")
    _, colon, port = host.rpartition(":")
    if colon and not user and "@" in rest and not port.isdigit():  # a password with a slash in it
        user = authority
    return unquote(user), query


def _is_secret(name: str, value: str) -> bool:
    if "://" in value:
        return _holds_credentials(value)
    return bool(value and _SECRET.search(name)) or (name.lower().startswith("endpoint") and "@" in value)


def refuse_password(url: str) -> str:
    """Return the URL of a database. Variables of the environment may stand for passwords in it.

    Raises
    ------
    ValueError
        If it holds a password.
    """
    rest = url.partition("://")[2]
    user, query = rest.rpartition("@")[0], rest.partition("?")[2]
    options = parse_qsl(query.replace("+", "%2B"))
    passwords = [user.partition(":")[2], *(value for name, value in options if _SECRET.search(name))]
    if any(password and not _VARIABLE.fullmatch(password) for password in passwords):
        msg = (
            "must hold no password, which results would keep; write ${PGPASSWORD} in its place, or leave it "
            "to ~/.pgpass"
        )
        raise ValueError(msg)
    return url
