"""How towline reaches hosts: ssh, local, fake. `open_transport` picks one by what a target says."""

from __future__ import annotations

from towline.transports.base import Event, Order, Transport, ask
from towline.transports.fake import FakeHosts, FakeTransport
from towline.transports.pool import TransportPool, open_transport

__all__ = ["Event", "FakeHosts", "FakeTransport", "Order", "Transport", "TransportPool", "ask", "open_transport"]
