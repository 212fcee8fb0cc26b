"""Bodies that are not JSON in plain UTF-8: what is wrong with them, in words that lead to the cause."""

from msgspec import DecodeError

from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.request_errors import FieldError, Loc, UnsupportedContentCoding

_ECHO_MAX = 50
_FIRST_BYTES = (
    (b"\xef\xbb\xbf", "it begins with a byte order mark (BOM, bytes EF BB BF); send UTF-8 without it"),
    (b"\xff\xfe", "it is UTF-16 or UTF-32; send UTF-8"),
    (b"\xfe\xff", "it is UTF-16; send UTF-8"),
    (b"\x00", "it is UTF-16 or UTF-32; send UTF-8"),
    (b"{\x00", "it is UTF-16 or UTF-32; send UTF-8"),
    (b"[\x00", "it is UTF-16 or UTF-32; send UTF-8"),
    (b"\x1f\x8b", "it is compressed with gzip; send it uncompressed"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; send it uncompressed"),
    (b"\x78\x9c", "it is compressed with deflate; send it uncompressed"),
)
_FIRST_BYTES_MAX = max(len(start) for start, _ in _FIRST_BYTES)


def check_content_coding(request: AnyRequest) -> None:
    """Check that the body is not compressed (RFC 9110 §8.4). Raises UnsupportedContentCoding."""
    coding = context_of(request).headers.get(b"content-encoding", b"").decode("latin-1").strip()
    if coding.lower() not in {"identity", ""}:
        raise UnsupportedContentCoding(coding[:_ECHO_MAX])


def malformed_json(body: memoryview, error: Exception, at: Loc) -> FieldError:
    """Return the field error of a text that is not JSON. ``error`` is what the decoder raised; only first bytes are read."""
    return FieldError(at, f"Malformed JSON: {_reason(bytes(body[:_FIRST_BYTES_MAX]), error)}", "json_invalid")


def _reason(start: bytes, error: Exception) -> str:
    if not start:
        return "it is empty"
    for known, reason in _FIRST_BYTES:
        if start.startswith(known):
            return reason
    match error:
        case UnicodeDecodeError():
            byte = error.object[error.start]
            return f"a text is not UTF-8: it contains byte 0x{byte:02X}; convert it, for example from windows-1251"
        case RecursionError():
            return "it is nested too deeply"
        case DecodeError():
            return (
                str(error).removeprefix("JSON is malformed: ").replace("Input data was truncated", "it is incomplete")
            )
        case _:
            return "it cannot be read"
