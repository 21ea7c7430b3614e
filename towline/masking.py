"""Masks what looks like a secret in the output of hooks and hosts, before it is stored or shown (docs/masking.md).

The text is untrusted and masked in a worker, so the time must be linear in its length. Hence the rules for each pattern
below: it begins with a literal or at the start of a word (so that no word is scanned twice), and an unbounded
repetition is either possessive or the last part of the pattern.

`detect-secrets` is not used for the patterns: outside of source code it takes each word for a candidate (its scan of
one log line finds `INFO` and `user`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

MASK = "[masked]"

_PIECE = 16 * 1024
"""Characters masked per call: a call into `re` holds the GIL while it lasts."""
_PIECE_END = 4096  # how far back to look for the end of a line or an item


def mask(text: str) -> str:
    """The text with what looks like a secret masked.

    >>> mask("login password=hunter2 at https://bob:hunter2@example.com")
    'login password=[masked] at https://bob:[masked]@example.com'
    >>> mask("curl -u bob:hunter2 https://example.com")
    'curl -u bob:[masked] https://example.com'
    """
    return "".join(map(_mask_piece, _pieces(_without_private_keys(text))))


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            end = _cut(text, end - _PIECE_END, end)
        yield text[start:end]
        start = end


def _cut(text: str, lowest: int, end: int) -> int:
    """Where to cut: after a line whose value is not on the next line, else after a list item, else at `end`."""
    cut = end
    while (cut := text.rfind("\n", lowest, cut)) >= 0:
        if text[cut - 1] not in ":=|>+-\\\"'\r":
            return cut + 1
    return next((cut + 1 for mark in " ,&" if (cut := text.rfind(mark, lowest, end)) >= 0), end)


# ── private keys: span many lines, and either end may be cut off ─────────────────────────────────────────────────

_STREAM = r"(?:\[std(?:out|err)\])?+"  # the prefix of a line in a script log
_KEY_EDGE = re.compile(r"-----(BEGIN|END) [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(rf"{_STREAM}[ \t]{{0,16}}[\w+/=\\]{{0,4096}}[ \t\r]{{0,4}}", re.ASCII)
_CUT_KEY_LINE = re.compile(rf"{_STREAM}[A-Za-z0-9+/]{{16,80}}={{0,2}}[ \t\r]{{0,4}}")
_FULL_KEY_LINE = re.compile(rf"{_STREAM}[ \t]{{0,16}}[A-Za-z0-9+/]{{60,80}}={{0,2}}[ \t\r]{{0,4}}")


def _without_private_keys(text: str) -> str:
    """Masks private keys from BEGIN to END or to the end of the text, and the rest of a key whose BEGIN was cut off.

    A log's tail may start within a key. The Base64 lines before an END without BEGIN belong to the key; without END,
    those at the very start of the text do.
    """
    parts = []
    at = _end_of_leading_base64(text)
    if at:
        parts.append(f"{MASK}\n")
    while edge := _KEY_EDGE.search(text, at):
        begins, at_end = edge.start(), edge.end()
        if edge[1] == "END":
            begins = _start_of_base64(text, at, begins)
        else:
            while (edge := _KEY_EDGE.search(text, at_end)) and edge[1] != "END":
                at_end = edge.end()
            at_end = edge.end() if edge else len(text)
        parts += [text[at:begins], MASK]
        at = at_end
    return "".join([*parts, text[at:]])


def _end_of_leading_base64(text: str) -> int:
    """The end of the Base64 lines at the start of the text, the first of which may be cut; 0 if there are none."""
    at = text.find("\n") + 1
    if not at or not _CUT_KEY_LINE.fullmatch(text, 0, at - 1):
        return 0
    first = at
    while (line_end := text.find("\n", at)) >= 0 and _FULL_KEY_LINE.fullmatch(text, at, line_end):
        at = line_end + 1
    return at if at > first else 0


def _start_of_base64(text: str, lowest: int, end: int) -> int:
    """The start of the Base64 lines that end at `end`, not before `lowest`. The last two lines may be short."""
    start, lines = end, 0
    while start > lowest:
        line = max(lowest, text.rfind("\n", lowest, start - (lines > 0)) + 1)
        pattern = _KEY_LINE if lines < 3 else _FULL_KEY_LINE if line > lowest else _CUT_KEY_LINE
        if not pattern.fullmatch(text, line, start - (lines > 0)):
            break
        start, lines = line, lines + 1
    return start


# ── secrets on one or two lines ──────────────────────────────────────────────────────────────────────────────────

# Quoted strings, closed or not; possessive, so never scanned twice.
_STRING = r"""(?:"(?:[^"\\\n]|\\.)*+["\\]?+|'(?:[^'\\\n]|\\.)*+['\\]?+)"""
_ESCAPED_STRING = r"""(?:\\{1,3}["'][^"'\\\n]*+(?:\\{0,3}["'])?+)"""  # JSON within JSON
# Adjacent strings are one value: "a" "b", "a" + 'b', also on the following lines.
_NEXT_STRING = (
    rf"""(?<=["'])[ \t]{{0,8}}(?:[+.\\][ \t]{{0,8}})?(?:\r?\n{_STREAM}[ \t]{{0,64}})?"""
    rf"""(?:[+.][ \t]{{0,8}})?{_STRING}(?![ \t]{{0,4}}[:=])"""
)
_PLAIN = r"""(?:[^\s"'&,;\\]|\\(?!["'])|[&,;](?!\s|\Z|[\w.-]{1,40}=))"""
_VALUE = rf"(?:{_STRING}|{_ESCAPED_STRING}|{_PLAIN})++(?:{_NEXT_STRING}){{0,64}}+"

# A name whose value is a secret, from the start to the end of its word.
_KEYS = (
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "secret",
    "token",
    "credential",
    "cookie",
    "signature",
    r"(?:api|access|account|auth|client|encryption|license|master|private|shared|signing|storage)[_-]?key",
    r"sess(?:ion)?[_-]?id",
    r"connection[_-]?string",
    r"[_-]auth(?![a-z])",
    r"(?<!by)(?<!com)(?<!tres)(?<=[\w.-])pass(?![a-z])",  # DB_PASS; not compass
    r"(?<![\w-])pass(?=[\"']?=)",  # "pass: 12" is a test result
    r"(?<=[\w-])(?<!old)pwd(?![a-z])",
    r"pwd(?=[\"']?[ \t]{0,4}[=:][ \t]{0,4}[^\s/])",  # PWD=/srv/app is a shell's working directory
)
_NAME = rf"(?>(?<![\w-])[\w-]*?(?:{'|'.join(_KEYS)})[\w-]*+)"
_SEPARATOR = r"""(?:\\{0,3}["'])?\]?[ \t]{0,8}(?:=>|:=|={1,2}|:(?!:|//))[ \t]{0,8}"""
# The value is a line of its own: a string, or a word with more than letters (prose has only letters).
_ON_NEXT_LINE = (
    rf"""(?:[|>\\][-+]?)?[ \t]{{0,8}}\r?\n{_STREAM}[ \t]{{0,64}}(?:-[ \t]{{1,4}})?"""
    r"""(?=(?:"[^"\n]{1,512}"|'[^'\n]{1,512}'|(?=[A-Za-z]{0,64}[^\sA-Za-z])[^\s:=]\S{5,4096})"""
    r"""[ \t,;]{0,4}\r?(?:\n|\Z))"""
    r"""(?!\S{0,128}[:=](?:\s|\Z))"""
)

_ASSIGNED = re.compile(rf"({_NAME}{_SEPARATOR}(?:{_ON_NEXT_LINE})?){_VALUE}", re.IGNORECASE | re.ASCII)
_OPTION = re.compile(rf"((?<!\S)(?=--?[a-z]){_NAME}[ \t]{{1,4}}(?:\\\r?\n[ \t]{{0,64}})?)(?!-){_VALUE}", re.I | re.A)
# SQL's IDENTIFIED BY 'x' and PASSWORD 'x', and .netrc's login x password y
_QUOTED_PASSWORD = re.compile(
    r"(\b(?:identified[ \t]{1,4}by|password)[ \t]{1,4}(?=['\"])|\blogin[ \t]{1,4}\S{1,128}[ \t]{1,4}password[ \t]{1,4})"
    rf"{_VALUE}",
    re.I | re.A,
)


def _named(text: str) -> str:
    for pattern in (_ASSIGNED, _OPTION, _QUOTED_PASSWORD):
        text = pattern.sub(rf"\1{MASK}", text)
    return text


# Whole header lines: Authorization (any scheme), Cookie. In quotes, up to the closing quote.
_HEADER = re.compile(
    r"""(?<![\w])((?:authorization|(?:set-)?cookie2?)\\{0,3}["']?[ \t]{0,4}:[ \t]{0,4}(?:\\{0,3}["'])?+)[^\r\n"'\\]++"""
    r"""(?:(?<==)"[^"\n]*+"[^\r\n"'\\]*+){0,64}+""",
    re.I | re.A,
)
_BEARER = re.compile(r"(?<![\w-])((?:bearer|basic)[ \t]{1,4})(?=[\w.~+/-]{0,64}[\d=])[\w.~+/-]{8,}+=*", re.I | re.A)

# https://user:password@host; a user without a password, or with an empty one, may be a token.
_IN_ADDRESS = re.compile(
    r"""://(?:([^\s/:@"'<>]{0,128}+):(?!\d{1,5}(?:[/?#\s]|\Z))[^\s"'<>]{1,256}@|[^\s/:@"'<>]{16,512}+:?@)"""
)


def _address(found: re.Match[str]) -> str:
    user = found[1]
    return f"://{user}:{MASK}@" if user is not None and len(user) < 16 else f"://{MASK}@"


# -u user:password as in curl; `docker run -u 1000:1000` and `rsync -u host:/path` have numbers and paths
_USER_OPTION = re.compile(
    r"""((?<!\S)(?:-[a-z]{0,8}u[ \t]{0,4}|--(?:proxy-)?(?:user|auth)(?:[ \t]{1,4}|=)|-U[ \t]{1,4})"""
    r"""(?:\\{0,3}["'])?+[^\s:"'/\\]{1,128}+:)(?!\d{1,10}(?![^\s"'])|/)[^\s"'\\]++""",
    re.A,
)
# Commands with a one-letter option that takes a password.
_PASSWORD_OPTIONS = {
    r"(?:mysql|mariadb)[\w-]*+": r"-p(?=\S)",
    r"sshpass": r"-p[ \t]{0,4}",
    r"redis-cli": r"-a[ \t]{1,4}",
    r"ldap[a-z]{3,10}": r"-w[ \t]{0,4}",
    r"(?:docker|podman|helm|oc)[ \t]{1,4}(?:registry[ \t]{1,4})?login": r"-p[ \t]{1,4}",
    r"(?:sqlcmd|zip|unzip)": r"-P[ \t]{0,4}",
}
_COMMANDS = tuple(
    (re.compile(rf"\b{command}\b[^\n]*+", re.A), re.compile(rf"((?<!\S){option}){_VALUE}"))
    for command, option in _PASSWORD_OPTIONS.items()
)


def _in_commands(text: str) -> str:
    for command, option in _COMMANDS:
        text = command.sub(lambda found, option=option: option.sub(rf"\1{MASK}", found[0]), text)  # type: ignore[misc]
    return text


# Tokens of services, recognised by prefix, only at the start of a word.
_TOKENS = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?!\w)",  # AWS
    r"AIza[\w-]{30,}+",  # Google
    r"ya29\.[\w-]{10,}+",
    r"gh[pousr]_[A-Za-z0-9]{20,}+",  # GitHub
    r"github_pat_\w{20,}+",
    r"gl[a-z]{2,5}-[\w-]{15,}+",  # GitLab
    r"xox[abeoprs]-[\w-]{10,}+",  # Slack
    r"xapp-[\w-]{10,}+",
    r"hooks\.slack\.com/services/[\w/+-]{10,}+",
    r"[srp]k_(?:live|test)_\w{10,}+",  # Stripe
    r"whsec_[\w+/=]{10,}+",
    r"sk-[\w-]{20,}+",  # OpenAI, Anthropic
    r"SG\.[\w-]{10,}+\.[\w-]{10,}+",  # SendGrid
    r"npm_[A-Za-z0-9]{30,}+",
    r"pypi-[\w-]{30,}+",
    r"rubygems_[a-f0-9]{30,}+",
    r"do[opr]_v1_[a-f0-9]{30,}+",  # DigitalOcean
    r"hv[bsr]\.[\w-]{20,}+",  # Vault
    r"dckr_pat_[\w-]{15,}+",  # Docker
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{20,}+",  # Shopify
    r"hf_[A-Za-z0-9]{20,}+",  # Hugging Face
    r"lin_api_\w{20,}+",  # Linear
    r"NRAK-[A-Z0-9]{20,}+",  # New Relic
    r"AGE-SECRET-KEY-1[A-Z0-9]{40,}+",
    r"\d{8,10}:AA[\w-]{30,}+",  # Telegram
    r"eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+",  # a JSON Web Token
)
_TOKEN = re.compile(rf"(?<![\w-])(?:{'|'.join(_TOKENS)})", re.A)


def _substitution(pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str]) -> Callable[[str], str]:
    return lambda text: pattern.sub(replacement, text)


# (lowercase keywords, substitution): the substitution runs only if a keyword is in the text, which is rare.
_STEPS: tuple[tuple[tuple[str, ...], Callable[[str], str]], ...] = (
    (("authorization", "cookie"), _substitution(_HEADER, rf"\1{MASK}")),
    (("bearer", "basic"), _substitution(_BEARER, rf"\1{MASK}")),
    (("://",), _substitution(_IN_ADDRESS, _address)),
    (("-",), _substitution(_USER_OPTION, rf"\1{MASK}")),
    (("mysql", "mariadb", "sshpass", "redis-cli", "ldap", "login", "sqlcmd", "zip"), _in_commands),
    (
        (
            "pass",
            "secret",
            "token",
            "credential",
            "cookie",
            "signature",
            "key",
            "sess",
            "string",
            "auth",
            "pwd",
            "iden",
        ),
        _named,
    ),
    (("",), _substitution(_TOKEN, MASK)),
)


def _mask_piece(text: str) -> str:
    small = text.lower()
    for words, step in _STEPS:
        if any(word in small for word in words):
            text = step(text)
    return text
