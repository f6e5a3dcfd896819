"""Values between client and container, without either: what one side's codec writes, the other's reads.

The limits of docs/internals/limits.md are where a codec changes its way, so each way is taken 1 B below, at and above
them, in both directions.
"""

import contextlib
import datetime
import io
import mmap
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.fakes.values import Values
from tests.waiting import wait_until
from wherry._calling.caller import Caller
from wherry._connection import pickling
from wherry._connection.blobs import Blobs
from wherry._connection.rebuilt import Rebuilt
from wherry.exception import SerializationError
from wherry_proto.messages import BlobInfo, FunctionInfo, Message, Payload
from wherry_runner import failures
from wherry_runner.payload import INLINE_BYTES, PICKLE, Payloads

# Where pickle stops copying into frames of its own, and where a value becomes a file.
LIMITS = (64 << 10, INLINE_BYTES)
# What a pickle of bytes, or of an array, has around them: the limits are of the whole.
AROUND = range(-200, 200, 20)


class Ways:
    """Carries a value to the container and back again, as files where it is large."""

    def __init__(self, folder: Path) -> None:
        (folder / "in").mkdir()
        self._folder = folder
        self.values = Values(folder)
        self._payloads = Payloads(str(folder))
        client = Client(folder / "in")
        self._caller = Caller(client, FunctionInfo(name="f", function_id="fu-1"))  # type: ignore[arg-type]

    def there(self, value: Any) -> Any:
        """As an argument."""
        payload = self._caller.encode(((value,), {}))
        (again,), _ = self._payloads.read(PICKLE, payload.blob_id or None, payload.data)
        return again

    def back(self, value: Any) -> Any:
        """As a result, or a generator's value."""
        data, name, size = self._payloads.write(value)
        if name is None:
            assert size == len(data) <= INLINE_BYTES
            return pickling.loads(data)
        path = self._folder / "taken"
        assert not data
        assert size == self.values.desk.take(name, str(path)) > INLINE_BYTES
        with path.open("rb") as file:
            again = pickling.load(file)
        path.unlink()
        return again

    def as_attribute(self, value: Any) -> Any:
        """As an attribute of an exception."""
        error = Carrier("it carries something")
        error.value = value
        _, data = failures.describe(error)
        again = Rebuilt(pickle.loads(data), str).error
        assert type(again) is Carrier
        return again.value


class Client:
    """What `Caller` needs of a client: large arguments become files in a directory that both sides see."""

    def __init__(self, folder: Path) -> None:
        self.blobs = Blobs(_Adopts(), folder)  # type: ignore[arg-type]


class _Adopts:
    def call(self, method: str, request: Message) -> BlobInfo:
        assert method == "Blobs.Adopt"
        return BlobInfo()


class Carrier(Exception):
    value: Any = None


class OutOfBand:
    """Pickles its memory itself, as arrays do."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return OutOfBand, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OutOfBand) and bytes(other.data) == bytes(self.data)

    def __hash__(self) -> int:
        return 0


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    ways = Ways(tmp_path_factory.mktemp("values"))
    yield ways
    ways.values.close()


@pytest.fixture(params=["there", "back"])
def carry(ways: Ways, request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return getattr(ways, request.param)  # type: ignore[no-any-return]


def _sizes() -> Iterator[int]:
    yield from (0, 1)
    for limit in LIMITS:
        yield from (limit - 1, limit, limit + 1)
        yield from (limit + more for more in AROUND)


MAKERS: dict[str, Callable[[int], Any]] = {
    "bytes": lambda n: b"x" * n,
    "bytearray": lambda n: bytearray(b"x" * n),
    "str": lambda n: "x" * n,
    "array": lambda n: np.arange(n, dtype=np.uint8),
    "a class's own buffer": lambda n: OutOfBand(b"x" * n),
    "a buffer that can be written": lambda n: OutOfBand(bytearray(b"x" * n)),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_value_of_every_size_near_a_limit(carry: Callable[[Any], Any], make: Callable[[int], Any]) -> None:
    for size in _sizes():
        value = make(size)
        again = carry(value)
        assert type(again) is type(value), size
        assert np.array_equal(again, value) if isinstance(value, np.ndarray) else again == value, size


@pytest.mark.parametrize("size", [0, 64 << 10, INLINE_BYTES + 1])
def test_nested_and_repeated(carry: Callable[[Any], Any], size: int) -> None:
    array, data = np.arange(size, dtype=np.uint8), bytearray(size)
    again = carry({"array": [array, (array, {"data": data})], "data": data})

    assert again["array"][0] is again["array"][1][0]
    assert again["data"] is again["array"][1][1]["data"]
    assert np.array_equal(again["array"][0], array)
    assert again["data"] == data


DTYPES = ["?", "i1", "<i8", ">i4", "u2", "f2", "f8", "g", "c8", "c16", "S7", "U5", "V3", "M8[ns]", "m8[D]", "i4,f8,S3"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 24, 30_000, 240_000])
def test_arrays_of_every_kind_and_order(carry: Callable[[Any], Any], dtype: str, count: int) -> None:
    flat = np.frombuffer(bytes(range(1, 121)) * count, dtype=np.uint8)[: count * np.dtype(dtype).itemsize]
    if dtype == "?":
        flat = flat % 2
    array = flat.view(dtype) if count else np.zeros(0, dtype)
    cube = array.reshape(2, 3, -1) if count else array.reshape(0, 3)
    for value in (array, cube, np.asfortranarray(cube), cube.T, cube[..., ::2], array[::-1]):
        # NumPy itself gives some of them another byte order or layout.
        again, plain = carry(value), pickle.loads(pickle.dumps(value, 5))
        assert (again.dtype, again.shape, again.strides) == (plain.dtype, plain.shape, plain.strides)
        assert again.tobytes() == plain.tobytes()


def test_arrays_of_objects_and_scalars_and_masks(carry: Callable[[Any], Any]) -> None:
    objects = np.array([{"a": 1}, None, [1, 2], b"x" * 70_000], dtype=object)
    assert carry(objects).tolist() == objects.tolist()
    assert carry(np.float32(2.5)) == np.float32(2.5)
    assert type(carry(np.float32(2.5))) is np.float32
    masked = np.ma.masked_greater(np.arange(40_000), 5)
    assert np.ma.allequal(carry(masked), masked)
    assert carry(masked).mask.sum() == masked.mask.sum()


@pytest.mark.parametrize("count", [0, 10, 10_000, 60_000])
def test_tables(carry: Callable[[Any], Any], count: int) -> None:
    frame = pd.DataFrame(
        {
            "number": np.arange(count, dtype="float64"),
            "text": ["a row's text"] * count,
            "time": pd.date_range("2026-01-01", periods=count, freq="s"),
            "kind": pd.Categorical(["a", "b"] * (count // 2)),
        }
    )
    pd.testing.assert_frame_equal(carry(frame), frame)
    pd.testing.assert_series_equal(carry(frame["number"]), frame["number"])
    table = pa.table({"number": np.arange(count), "text": pa.array(["x"] * count)})
    assert carry(table).equals(table)
    assert carry(table["number"].combine_chunks()).equals(table["number"].combine_chunks())


@pytest.mark.parametrize("side", [1, 200, 900])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "F"])
def test_images(carry: Callable[[Any], Any], mode: str, side: int) -> None:
    image = Image.new(mode, (side, side + 1), 1)
    again = carry(image)
    assert (again.mode, again.size, again.tobytes()) == (mode, (side, side + 1), image.tobytes())


@pytest.mark.parametrize("size", [10, 100_000, INLINE_BYTES + 1])
def test_a_memory_view_arrives_as_its_bytes(carry: Callable[[Any], Any], size: int) -> None:
    assert carry(memoryview(b"x" * size)) == b"x" * size


@pytest.mark.parametrize("size", [4096, 2 << 20])
def test_mapped_memory_is_no_value(ways: Ways, size: int) -> None:
    with contextlib.closing(mmap.mmap(-1, size)) as mapped:
        with pytest.raises(SerializationError, match=r"argument 1 of f can't be sent.*mmap"):
            ways.there(mapped)
        with pytest.raises(TypeError, match="mmap"):
            ways.back(mapped)
        assert ways.there(bytes(mapped)) == bytes(size)


@pytest.mark.parametrize("size", [70_000, INLINE_BYTES // 2, INLINE_BYTES * 2])
def test_memory_in_columns(carry: Callable[[Any], Any], size: int) -> None:
    """A buffer may hold its columns one after the other: they are sent as they lie, as pickle in memory does."""
    columns = np.asfortranarray(np.arange(size, dtype=np.uint8).reshape(2, -1))
    value = OutOfBand(memoryview(columns))
    assert bytes(carry(value).data) == columns.tobytes(order="F")


@pytest.mark.parametrize("size", [10, 64 << 10, 300_000])
def test_an_exceptions_attributes(ways: Ways, size: int) -> None:
    array = np.arange(size, dtype=np.uint8)
    again = ways.as_attribute({"c": array, "f": np.asfortranarray(array.reshape(2, -1)), "own": OutOfBand(b"x" * size)})
    assert np.array_equal(again["c"], array)
    assert np.array_equal(again["f"], array.reshape(2, -1))
    assert again["own"] == OutOfBand(b"x" * size)


# Any value, at any size

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.datetimes(),
    st.timedeltas(),
    st.just(datetime.UTC),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.complex_numbers(allow_nan=False),
)
BULKY = st.builds(
    lambda make, size: MAKERS[make](size),
    st.sampled_from(["bytes", "bytearray", "str", "a class's own buffer", "a buffer that can be written"]),
    st.one_of(st.integers(0, 200_000), *(st.integers(limit - 300, limit + 300) for limit in LIMITS)),
)
VALUES = st.recursive(
    st.one_of(SCALARS, BULKY),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
        st.sets(SCALARS, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@example([b"x" * INLINE_BYTES, OutOfBand(b"x" * (64 << 10))])
@given(value=VALUES)
def test_any_value_arrives_as_it_was(ways: Ways, value: Any) -> None:
    assert ways.there(value) == value
    assert ways.back(value) == value


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(0, 30), min_size=0, max_size=4),
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from("CF"),
)
def test_any_array_arrives_as_it_was(ways: Ways, shape: list[int], dtype: str, order: Any) -> None:
    value = np.zeros(shape, dtype, order=order)
    plain = pickle.loads(pickle.dumps(value, 5))
    for again in (ways.there(value), ways.back(value)):
        assert (again.dtype, again.shape, again.tobytes()) == (plain.dtype, plain.shape, plain.tobytes())


def test_what_does_not_pickle_into_a_file_leaves_none(ways: Ways) -> None:
    class Refuses:
        def __reduce__(self) -> Any:
            raise RuntimeError("not me")

    with pytest.raises(RuntimeError, match="not me"):
        ways.back([b"x" * (2 << 20), Refuses()])
    wait_until(lambda: list(ways.values.folder.iterdir()) == [], "what was sent is gone")


def test_a_file_written_by_parts_is_what_memory_would_have(tmp_path: Path) -> None:
    value = [np.asfortranarray(np.arange(600_000).reshape(3, -1)), bytearray(70_000)]
    with (tmp_path / "value").open("w+b") as file:
        pickling.dump(value, file, True)
        file.seek(0)
        in_file = file.read()
    again = pickle.load(io.BytesIO(in_file))
    assert np.array_equal(again[0], value[0])
    assert isinstance(Payload(data=in_file), Payload)
