"""Asterisk, over its Manager Interface (AMI; docs/asterisk.md).

The client sends an action → the switch dials and runs the dialplan → events arrive → when a call hangs up, its ledger row
in the switch's database says how it ended.

- kind: the kind of gateway: options, connection, examination, environment
- options: address, user, secret, trunk and TLS of one Asterisk
- client: the adapter of the port CallGateway
- ami: a session of the Manager Interface: actions with their responses, and events
- wire: the connection: splits messages, sends actions
- messages: parsing and encoding of messages
- originate: a call as an action Originate
- call_events: translation of the switch's events into those of the port
- call_lookup: the state of calls, by channels and ledger
- ledger: parsing of ledger rows
- outcomes: mapping of SIP codes, causes and dial status to outcomes
- dialplan: the lines that the switch's dialplan must contain
- doctor: the examination of an installed Asterisk
- metrics: Prometheus metrics of the adapter
"""
