"""Encodes values with fastavro, for the tests that compare readers.

usage: write_values.py FOLDER

Writes a file CASE.json for each case: the writer's schema, the reader's (or null) that the values are to be projected
to, the values' bodies in hexadecimal, and what a reader has to make of them, in Avro's JSON encoding.
"""
import io
import json
import sys

import fastavro
import fastavro.read

import avro_json

fastavro.read.LOGICAL_READERS.clear()


def record(name, *fields, **more):
    return {"type": "record", "name": name, "fields": [dict(zip(("name", "type", "default"), f)) for f in fields], **more}


def logical(typ, name, **more):
    return {"type": typ, "logicalType": name, **more}


SUIT = {"type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"]}
FOUR = {"type": "fixed", "name": "Four", "size": 4}
MONEY = record("Money", ("amount", logical("bytes", "decimal", precision=9, scale=2)), ("suit", SUIT), namespace="common")
ADDRESS = record("Address", ("city", "string"), namespace="")
TREE = record("Tree", ("value", "long"), ("left", ["null", "Tree"]), ("right", ["null", "Tree"]), ("more", {"type": "array", "items": "Tree"}))


def tree(depth):
    if depth == 0:
        return None
    return {"value": depth, "left": tree(depth - 1), "right": None, "more": [tree(1) for _ in range(depth % 3 if depth > 1 else 0)]}


CASES = {
    "primitives": (
        record("P", ("n", "null"), ("b", "boolean"), ("i", "int"), ("l", "long"), ("f", "float"), ("d", "double"), ("y", "bytes"), ("s", "string")),
        None,
        [
            {"n": None, "b": True, "i": 2**31 - 1, "l": 2**63 - 1, "f": 1.5, "d": -0.1, "y": bytes(range(256)), "s": "añ日𝄞"},
            {"n": None, "b": False, "i": -(2**31), "l": -(2**63), "f": -0.25, "d": 1e300, "y": b"", "s": ""},
        ],
    ),
    "logical": (
        record(
            "L",
            ("date", logical("int", "date")),
            ("time", logical("int", "time-millis")),
            ("micros", logical("long", "time-micros")),
            ("at", logical("long", "timestamp-millis")),
            ("exactly", logical("long", "timestamp-micros")),
            ("local", logical("long", "local-timestamp-millis")),
            ("price", logical("bytes", "decimal", precision=9, scale=2)),
            ("fixed", {"type": "fixed", "name": "Dec", "size": 5, "logicalType": "decimal", "precision": 9, "scale": 3}),
            ("uuid", logical("string", "uuid")),
            ("span", {"type": "fixed", "name": "Span", "size": 12, "logicalType": "duration"}),
            ("unknown", logical("string", "of-somebody")),
            ("maybe", ["null", logical("long", "timestamp-millis")], None),
        ),
        None,
        [
            {
                "date": 20_000, "time": 86_399_999, "micros": 86_399_999_999, "at": 1_764_393_600_123, "exactly": 1_764_393_600_123_456,
                "local": -1, "price": b"\x01\x02", "fixed": b"\xff\xff\xff\xff\xfe", "uuid": "b9e4d6d0-5a6d-3f5c-9a3c-6c7f1a0ad001",
                "span": b"\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00", "unknown": "x", "maybe": 0,
            }
        ],
    ),
    "named": (
        record("N", ("e", SUIT), ("again", "Suit"), ("f", FOUR), ("list", {"type": "array", "items": "Four"}), ("map", {"type": "map", "values": "Suit"}), namespace="a.b"),
        None,
        [{"e": "SPADES", "again": "HEARTS", "f": b"\x00\xff\x01\x80", "list": [b"abcd", b"efgh"], "map": {"x": "HEARTS", "y": "SPADES"}}],
    ),
    "containers": (
        record(
            "C",
            ("deep", {"type": "array", "items": {"type": "map", "values": {"type": "array", "items": "long"}}}),
            ("union", ["null", "boolean", "double", "bytes", "string", SUIT, FOUR, {"type": "array", "items": "int"}, {"type": "map", "values": "int"}, record("In", ("x", "int"))]),
        ),
        None,
        [{"deep": [{"a": [1, 2], "b": []}, {}], "union": u} for u in (None, True, 2.5, b"\x00\xff", "text", ("Suit", "SPADES"), [1, 2], {"k": 3}, {"x": 9})],
    ),
    "recursive": (TREE, None, [tree(n) for n in range(1, 7)]),
    # As riftline writes a schema whose types other subjects hold.
    "references": (
        record("Order", ("buyer", record("Person", ("home", ADDRESS), ("purse", MONEY), ("suit", ["null", "common.Suit"], None), namespace="people")),
               ("price", "common.Money"), ("again", ["null", "Order"], None), namespace="shop"),
        None,
        [
            {
                "buyer": {"home": {"city": "Seoul"}, "purse": {"amount": b"\x01", "suit": "SPADES"}, "suit": ("common.Suit", "HEARTS")},
                "price": {"amount": b"\x02", "suit": "HEARTS"}, "again": None,
            }
        ],
    ),
    "text alone": ("string", None, ["a", "", "日"]),
    "a union alone": (["null", "long", "string"], None, [None, 7, "x"]),
    "nothing": ("null", None, [None] * 4500),
    "no fields": (record("Empty"), None, [{}] * 10),
    "no records": (record("None", ("a", "int")), None, []),
    "many": (record("M", ("i", "long"), ("s", "string")), None, [{"i": i, "s": "text %d " % i * 9} for i in range(6_000)]),
    "large": (record("B", ("s", "string")), None, [{"s": "x" * 700_000}, {"s": "y"}, {"s": "z" * 300_000}]),
    "projected": (
        record("E", ("a", "int"), ("gone", {"type": "map", "values": "string"}), ("old", "string"), ("e", {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}),
               ("u", ["null", "int"]), ("list", {"type": "array", "items": "float"}), ("in", record("In", ("x", "int")))),
        record("E", ("added", ["null", "string"], None), ("u", ["string", "long", "null"]), ("a", "double"), ("e", {"type": "enum", "name": "Kind", "symbols": ["B", "X"], "default": "X"}),
               ("list", {"type": "array", "items": "double"}), ("in", record("In", ("y", {"type": "array", "items": "int"}, [1, 2]), ("x", "long"))),
               ("text", "string", "añ"), ("raw", "bytes", "ÿ\u0000"), ("map", {"type": "map", "values": "int"}, {"k": 5})),
        [
            {"a": i, "gone": {"k": "v"}, "old": "o", "e": "ABC"[i % 3], "u": None if i % 2 else i, "list": [0.5 * i, -1.5], "in": {"x": -i}}
            for i in range(7)
        ],
    ),
    "projected, recursive": (
        TREE,
        record("Tree", ("more", {"type": "array", "items": "Tree"}), ("value", "double"), ("right", ["null", "Tree"]), ("note", "string", "none"), ("left", ["null", "Tree"])),
        [tree(n) for n in range(1, 7)],
    ),
    "projected alone": ("int", ["null", "string", "double"], [1, -2, 3]),
}


def body(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


for name, (writer, reader, values) in CASES.items():
    parsed = fastavro.parse_schema(json.loads(json.dumps(writer)))
    bodies = [body(parsed, v) for v in values]
    target = parsed
    if reader is not None:
        target = fastavro.parse_schema(json.loads(json.dumps(reader)))
        values = [fastavro.schemaless_reader(io.BytesIO(b), parsed, target, return_named_type=True) for b in bodies]
    with open("%s/%s.json" % (sys.argv[1], name), "w") as file:
        json.dump({"writer": json.dumps(writer), "reader": reader and json.dumps(reader), "bodies": [b.hex() for b in bodies],
                   "want": [avro_json.encode(reader or writer, v) for v in values]}, file)
