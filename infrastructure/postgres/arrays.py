"""Arrays as parameters, encoded in one pass: psycopg looks at each element of a plain list several times.

Wrap a list in the class of its type, and write the parameter as ``%b``: these arrays exist in the binary format only.
"""

from collections.abc import Sequence
from struct import Struct, error

from psycopg import DataError, adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = Struct(">iiIii")  # dimensions, 1 if an element may be null, type of the elements, their number, first index
_EMPTY = Struct(">iiI")
_SIZE = Struct(">i")
_INT4 = Struct(">ii")  # size and value of an element
_INT8 = Struct(">iq")
_NULL = _SIZE.pack(-1)


class Int4Array(list[int]):
    """A list of integers as ``int[]``."""


class Int8Array(list[int | None]):
    """A list of integers, None for null, as ``bigint[]``."""


class TextArray(list[str | None]):
    """A list of texts, None for null, as ``text[]``."""


class ByteaArray(list[bytes]):
    """A list of bytes as ``bytea[]``."""


def _array(element: int, elements: Sequence[bytes]) -> bytes:
    if not elements:
        return _EMPTY.pack(0, 0, element)
    return _HEADER.pack(1, 1, element, len(elements), 1) + b"".join(elements)


class _BinaryDumper(Dumper):
    format = Format.BINARY


class _Int4Dumper(_BinaryDumper):
    oid = 1007

    def dump(self, obj: Int4Array) -> bytes:
        try:
            return _array(23, [_INT4.pack(4, value) for value in obj])
        except error as cause:
            raise DataError(f"A number is not within 32 bits: {cause}") from cause


class _Int8Dumper(_BinaryDumper):
    oid = 1016

    def dump(self, obj: Int8Array) -> bytes:
        try:
            return _array(20, [_NULL if value is None else _INT8.pack(8, value) for value in obj])
        except error as cause:
            raise DataError(f"A number is not within 64 bits: {cause}") from cause


class _TextDumper(_BinaryDumper):
    oid = 1009

    def dump(self, obj: TextArray) -> bytes:
        return _array(25, [_NULL if text is None else _sized(text.encode()) for text in obj])


class _ByteaDumper(_BinaryDumper):
    oid = 1001

    def dump(self, obj: ByteaArray) -> bytes:
        return _array(17, [_sized(value) for value in obj])


def _sized(value: bytes) -> bytes:
    return _SIZE.pack(len(value)) + value


for _array_type, _dumper in (
    (Int4Array, _Int4Dumper),
    (Int8Array, _Int8Dumper),
    (TextArray, _TextDumper),
    (ByteaArray, _ByteaDumper),
):
    adapters.register_dumper(_array_type, _dumper)
