"""The SIPp scenario that plays every callee: the called number determines the behaviour of its phone.

The first two digits of a short number choose, as do those after ``+77`` of a long one:
10 answers and waits for BYE; 11 answers, talks for ``-d`` milliseconds and hangs up; 12 the same as 10, with early
media; 30 rings until it is cancelled; 33 never responds; 34 responds "100 Trying" and no more; 70 answers and
hangs up after a second; 90 forwards to 1001; the others refuse as in REFUSALS, those of RING_FIRST ring first.

``+79`` RR TT ddddd rings for RR tenths of a second, answers, talks for TT tenths and hangs up. ``+7701…`` behaves by its
thousands digit, as in the simulated network: 1 and 8 answer and talk, 7 leaves, 2 to 6 refuse or ring.

Each INVITE is a line of the log, without retransmissions and re-INVITEs.
"""

HOSTILE = '486 Busy|B|ANSWER|16|SIP 200 OK|9|1, "quoted\\" ${EPOCH} (un;balanced: &amp;@/ Занято'
REFUSALS = {
    "20": "486 Busy Here",
    "21": "600 Busy Everywhere",
    "23": "486 Busy Here",
    "31": "480 Temporarily Unavailable",
    "32": "408 Request Timeout",
    "40": "603 Decline",
    "41": "403 Forbidden",
    "42": "607 Unwanted",
    "43": "603 Decline",
    "50": "404 Not Found",
    "51": "484 Address Incomplete",
    "52": "410 Gone",
    "53": "604 Does Not Exist Anywhere",
    "60": "503 Service Unavailable",
    "61": "500 Server Internal Error",
    "62": "488 Not Acceptable Here",
    "63": "502 Bad Gateway",
    "64": "504 Server Time-out",
    "80": HOSTILE,
    "81": f"486 {'Busy ' * 200}",
}
RING_FIRST = {"23", "43"}
_OTHERS = {
    "10": "waits",
    "11": "talks",
    "12": "plays",
    "30": "rings",
    "33": "silent",
    "34": "trying",
    "70": "leaves",
    "90": "forwards",
}
_BY_THOUSANDS = {"11": "18", "20": "2", "30": "3", "40": "4", "50": "5", "60": "6", "70": "7"}
_TAG = ";tag=[pid]-[call_number]"
_CONTACT = "      Contact: <sip:[local_ip]:[local_port]>\n"
_ELSEWHERE = "      Contact: <sip:1001@[local_ip]:[local_port]>\n"
_EMPTY = "      Content-Length: 0\n"
_SDP = """      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
"""
_BYE = f"""  <send retrans="500"><![CDATA[
      BYE [$contact] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: [$to]{_TAG}
      To: [$from]
      [last_Call-ID:]
      CSeq: 1 BYE
      Max-Forwards: 70
      Content-Length: 0

  ]]></send>
  <recv response="200" next="end"/>
"""


def _reply(status: str, tag: str = "", cseq: str = "[last_CSeq:]", body: str = _EMPTY, attributes: str = "") -> str:
    """Return a literal status line: SIPp takes no variable there, hence one label for each code."""
    lines = [f"SIP/2.0 {status}", "[last_Via:]", "[last_From:]", f"[last_To:]{tag}", "[last_Call-ID:]", cseq]
    head = "".join(f"      {line}\n" for line in lines)
    return f"  <send{attributes}><![CDATA[\n{head}{body}\n  ]]></send>\n"


def _label(name: str) -> str:
    return f'  <label id="{name}"/>\n'


def _find(header: str, pattern: str, names: str) -> str:
    return f'      <ereg regexp="{pattern}" search_in="hdr" header="{header}:" check_it="false" assign_to="{names}"/>\n'


def _pause(milliseconds: int) -> str:
    return f'  <pause milliseconds="{milliseconds}"/>\n'


def _tenths(name: str) -> str:
    """Convert the value of a name to milliseconds."""
    return (
        f'      <todouble assign_to="{name}_ms" variable="{name}"/>\n'
        f'      <multiply assign_to="{name}_ms" value="100"/>\n'
    )


def _pattern(prefix: str) -> str:
    short = f"([+]77)?{prefix}[0-9]*"
    if prefix in _BY_THOUSANDS:
        return f"sip:({short}|[+]7701[0-9]*[{_BY_THOUSANDS[prefix]}][0-9][0-9][0-9])@"
    return f"sip:{short}@"


_LABELS = _OTHERS | {prefix: f"refuses{prefix}" for prefix in REFUSALS}
_RINGING = _reply("180 Ringing", _TAG, body=_CONTACT + _EMPTY)
_RING = _RINGING + _pause(200)
_OK = _reply("200 OK", _TAG, body=_CONTACT + _SDP, attributes=' retrans="500"')
_ANSWER = _OK + '  <recv request="ACK"/>\n'
_ANSWER_AGAIN = (
    _reply("200 OK", body=_CONTACT + _SDP, attributes=' retrans="500"') + '  <recv request="ACK" next="joined"/>\n'
)
_REFUSED = '  <recv request="ACK" next="end"/>\n'
_CANCELLED = (
    '  <recv request="CANCEL"/>\n'
    + _reply("200 OK")
    + _reply("487 Request Terminated", _TAG, "CSeq: [$cseq] INVITE")
    + _REFUSED
)
_LOG = '      <log message="[timestamp] INVITE [$number] [$caller] [call_id]"/>\n'


def scenario() -> str:
    """Return it in SIPp's XML."""
    parts = [
        '<?xml version="1.0" encoding="UTF-8" ?>\n<scenario name="perezvon callees">\n',
        '  <recv request="INVITE" rrs="true">\n    <action>\n',
        *(_find("To", _pattern(prefix), f"is{prefix}") for prefix in _LABELS),
        *(_find("From", ".*", "from"), _find("To", ".*", "to"), _find("CSeq", "[0-9]+", "cseq")),
        _find("Contact", "sip:[^>]*", "contact"),
        *(_find("To", "sip:([^@]*)@", "called,number"), _find("From", "sip:([^@]*)@", "calling,caller"), _LOG),
        _find("To", "sip:[+]79([0-9]{2})([0-9]{2})[0-9]*@", "timed,ring,talk"),
        *(_tenths("ring"), _tenths("talk")),
        '    </action>\n  </recv>\n  <Reference variables="called,calling"/>\n',
        '  <nop next="timed" test="timed"/>\n',
        *(f'  <nop next="{name}" test="is{prefix}"/>\n' for prefix, name in _LABELS.items()),
        '  <nop next="refuses50"/>\n',
        *(
            _label(f"refuses{prefix}") + (_RING if prefix in RING_FIRST else "") + _reply(status, _TAG) + _REFUSED
            for prefix, status in REFUSALS.items()
        ),
        _label("forwards") + _reply("302 Moved Temporarily", _TAG, body=_ELSEWHERE + _EMPTY) + _REFUSED,
        _label("rings") + _RINGING + _CANCELLED,
        _label("trying") + _reply("100 Trying") + _CANCELLED,
        _label("silent") + _pause(40_000) + '  <nop next="end"/>\n',
        _label("timed") + _RINGING + '  <pause variable="ring_ms"/>\n' + _ANSWER,
        '  <pause variable="talk_ms"/>\n' + _BYE,
        _label("talks") + _RING + _ANSWER + "  <pause/>\n" + _BYE,
        _label("leaves") + _ANSWER + _pause(1_000) + _BYE,
        _label("plays") + _reply("183 Session Progress", _TAG, body=_CONTACT + _SDP) + _pause(200),
        _label("waits") + _RING + _ANSWER,
        _label("joined") + '  <recv request="INVITE" optional="true" next="again"/>\n  <recv request="BYE"/>\n',
        _reply("200 OK", attributes=' next="end"') + _label("again") + _ANSWER_AGAIN,
        _label("end") + "</scenario>\n",
    ]
    return "".join(parts)
