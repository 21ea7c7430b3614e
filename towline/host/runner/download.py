"""Fetches an archive by its URL."""

import os

from towline.host.runner.constants import CHUNK, HTTP_SECONDS


def get_plainly(url):
    """(HTTP status, body of an answer 200 that tells its length); (0, None) for all that urllib has to see to.

    Loading urllib takes longer than fetching a small archive, and S3's presigned addresses need nothing of what it
    can do. Raises OSError and ValueError as urllib does.
    """
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    has_proxy = any(name.lower().endswith("_proxy") for name in os.environ)
    if scheme not in ("http", "https") or has_proxy or not place or set(place) & set("@[]"):
        return 0, None
    host, _, port = place.partition(":")
    request = "GET /%s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n" % (path, place)
    answer = HttpAnswer(connect(scheme, host, int(port or (443 if scheme == "https" else 80))))
    try:
        status = answer.ask(request.encode("ascii"))
    except BaseException:
        answer.close()
        raise
    if status == 200 and b"content-length" in answer.headers and b"transfer-encoding" not in answer.headers:
        return status, answer
    answer.close()
    return (status if status >= 400 else 0), None


class HttpAnswer:
    """An HTTP answer that ends with its connection."""

    def __init__(self, connection):
        self.connection, self.headers, self.read = connection, {}, b""

    def ask(self, request):
        """The status, once the headers are there; 0 where that is not HTTP's usual form."""
        self.connection.sendall(request)
        while b"\r\n\r\n" not in self.read:
            piece = self.connection.recv(CHUNK)
            if not piece or len(self.read) > CHUNK:
                return 0
            self.read += piece
        head, _, self.read = self.read.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        for name, _, value in (line.partition(b":") for line in lines):
            self.headers[name.strip().lower()] = value.strip()
        return int((first.split()[1:2] or [b"0"])[0])

    def read1(self, most):
        """What there is of the body, at most so many bytes; none at the end."""
        piece, self.read = self.read[:most], self.read[most:]
        return piece or self.connection.recv(most)

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(scheme, host, port):
    """A connection to a web server, its certificate checked. The host as bytes: for text Python loads its tables of
    international names."""
    if scheme == "https":
        import socket
        import ssl

        with socket.create_connection((host.encode("ascii"), port), HTTP_SECONDS) as connection:
            return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    try:
        import _socket as socket  # as with signal
    except ImportError:
        import socket
    trouble = OSError("the name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host.encode("ascii"), port, 0, socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(HTTP_SECONDS)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            trouble = error
    raise trouble
