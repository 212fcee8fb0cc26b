"""Webhooks (docs/webhooks.md): messages are stored with the event that causes them, then signed and delivered in lanes.

``outbox`` stores messages as deliveries, in lanes: a lane is all that goes to one host for one organisation. Each
``delivery_loop`` leases lanes (``lane_leases``), sends the due deliveries of each within its ``lane_window``, and
records the results (``results``), which sets the next attempt (``delivery_schedule``) and the lane's circuit breaker
(``breaker``). The dispatcher makes the first attempts of the messages that announce a call itself (``first_attempts``).

    outbox             the messages as rows
    lane_leases        lease, read and release lanes; a higher fence voids the results of earlier holders
    lane_places        the lanes that a worker may lease, shared by organisations
    lane_window        a leased lane: the deliveries fetched from it, and how many may be in flight
    delivery_loop      lease lanes, send what is due, record results, until stopped
    delivery_worker    the worker's part: the loop, the listener and the periodic tasks
    first_attempts     first attempts that the dialling of a call waits for
    attempt            sign, send and time one attempt
    sender             one POST within bounds of time and bytes
    outgoing_request   the request of the current task, for the hooks of the connector
    response_handler   responses whose status counts even if the body is malformed
    ssrf_guard         sockets to allowed addresses only; look-ups in places that organisations share
    name_lookup        look-ups of names with c-ares
    signatures         signatures of Standard Webhooks
    secrets            the signing secrets of organisations: create, read, rotate
    secret_encryption  secrets at rest
    delivery_schedule  what follows from a response: state, next attempt, health of the host
    breaker            the circuit breaker of a lane
    results            record results of attempts in one transaction
    expiry             expire deliveries, with a share for each organisation
    idle_lanes         delete lanes that nothing was sent in for long
    retention          delete old deliveries, update gauges
    deliveries_query   the port ``WebhookDeliveries``: list deliveries and attempts, resend
    metrics            counters, histograms and gauges
"""
