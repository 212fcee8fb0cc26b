"""Gateways: one package per kind of switch, each an adapter of the port application/ports/call_gateway.py.

A kind connects → its client keeps a reconnecting link → requests go out, responses and events come in → an event buffer
per consumer passes them on. CONTRIBUTING.md, Add a gateway, lists the steps for a further kind.

- asterisk: Asterisk over its Manager Interface
- simulated: a simulated phone network behind a socket, in which no phone rings
- reconnecting_link: a link that reconnects with exponential backoff, and the events of its state
- event_buffer: the events that one consumer has not received yet
"""
