"""A simulated phone network behind a socket, as a switch would be: no phone rings.

A client sends requests → the server passes them to the network → phones behave as their numbers say → the agenda lets
time pass → the event stream, with faults if some are set, goes to every client that subscribed.

- kind: the kind of gateway: address, connection, examination, environment
- client: the adapter of the port CallGateway
- control: a connection for tests and demos: counts, faults, restart
- connection: the client's end of a connection: requests and their responses
- server: the server's end: serves one network to any number of clients
- protocol: the messages between them
- link: one end of a connection: a JSON object per line
- translation: conversion between the port's types and the protocol's
- address: parsing of addresses, listening and connecting
- network: the switch itself, without sockets: channels, ledger and clock
- phones: behaviour of phones by their numbers
- ledger: ends of calls and counts of dials
- capacity: limits of concurrent calls and of calls per second
- agenda: actions that are due at a time
- event_stream: events in flight to clients
- faults: what can go wrong: lost, duplicate, late and reordered events, cut links, refusals
- doctor: the examination of a network
"""
