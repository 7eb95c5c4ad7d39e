"""Reads COUNT records of a topic, committed ones only, with Confluent's client and its Avro deserializer, which asks the
registry for the schemas; prints them as JSON lines.

usage: decode_topic.py BOOTSTRAP REGISTRY TOPIC COUNT
"""
import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

bootstrap, registry, topic, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
decode = AvroDeserializer(SchemaRegistryClient({"url": registry}))
consumer = Consumer({
    "bootstrap.servers": bootstrap, "group.id": "decode-" + topic, "enable.auto.commit": False,
    "isolation.level": "read_committed", "auto.offset.reset": "earliest",
})
consumer.assign([TopicPartition(topic, 0, 0)])
end = time.monotonic() + 120
while count > 0 and time.monotonic() < end:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        sys.exit(str(message.error()))
    value = decode(message.value(), SerializationContext(topic, MessageField.VALUE))
    print(json.dumps({"offset": message.offset(), "key": message.key().decode(), "value": value}, default=str))
    count -= 1
consumer.close()
