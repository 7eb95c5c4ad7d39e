"""Reads Avro object container files with fastavro and prints their records as JSON lines.

usage: read_objects.py FILE...
"""
import json
import sys

import fastavro

for name in sys.argv[1:]:
    with open(name, "rb") as file:
        for record in fastavro.reader(file):
            print(json.dumps(record, default=str))
