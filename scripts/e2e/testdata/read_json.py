"""Reads Avro object container files with fastavro and prints a JSON line for each record: the file's number and the
record in Avro's JSON encoding.

usage: read_json.py FILE...
"""
import json
import sys

import fastavro
import fastavro.read

import avro_json

# Numbers and bytes are compared as they are written.
fastavro.read.LOGICAL_READERS.clear()

for number, name in enumerate(sys.argv[1:]):
    with open(name, "rb") as file:
        reader = fastavro.reader(file, return_named_type=True)
        schema = json.loads(reader.metadata["avro.schema"])
        for record in reader:
            print(json.dumps([number, avro_json.encode(schema, record)]))
