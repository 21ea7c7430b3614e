"""How towline reaches hosts: ssh, local, fake. `open_transport` picks one by what a target says."""

from __future__ import annotations

from towline.transports.base import Order, Reply, Transport, ask
from towline.transports.fake import FakeHosts, FakeTransport
from towline.transports.pool import TransportPool, open_transport

__all__ = ["FakeHosts", "FakeTransport", "Order", "Reply", "Transport", "TransportPool", "ask", "open_transport"]
