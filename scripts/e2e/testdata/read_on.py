"""Reads COUNT records of a topic as a member of a consumer group, from where the group stands, with Confluent's client and
its Avro deserializer, prints them as JSON lines and commits. Fails when there are fewer, or more.

usage: read_on.py BOOTSTRAP REGISTRY TOPIC GROUP COUNT string|avro

The last word says how keys are written.
"""
import json
import sys
import time

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

bootstrap, registry, topic, group, count, keys = sys.argv[1:7]
decode = AvroDeserializer(SchemaRegistryClient({"url": registry}))
consumer = Consumer({
    "bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "isolation.level": "read_committed",
    "auto.offset.reset": "earliest", "enable.partition.eof": True,
})
consumer.subscribe([topic])
read = 0
end = time.monotonic() + 120
while time.monotonic() < end:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        # The end of the partition, which is reported once: whatever is to be read must have come by then.
        if message.error().name() == "_PARTITION_EOF":
            break
        sys.exit(str(message.error()))
    value = decode(message.value(), SerializationContext(topic, MessageField.VALUE))
    key = message.key()
    key = decode(key, SerializationContext(topic, MessageField.KEY)) if keys == "avro" else key.decode()
    print(json.dumps({"key": key, "value": value, "timestamp": message.timestamp()[1]}, default=str))
    read += 1
if read != int(count):
    sys.exit("%d records, and not %s" % (read, count))
consumer.commit(asynchronous=False)
consumer.close()
