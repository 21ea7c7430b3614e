"""Transports to hosts: ssh, local, fake. `open_transport` picks one by the target's access settings."""

from __future__ import annotations

from towline.transports.base import Order, Reply, Transport, ask
from towline.transports.fake import FakeHosts, FakeTransport
from towline.transports.pool import TransportPool, open_transport

__all__ = ["FakeHosts", "FakeTransport", "Order", "Reply", "Transport", "TransportPool", "ask", "open_transport"]
