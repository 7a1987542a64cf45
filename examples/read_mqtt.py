"""Print what comes from an MQTT broker: `python examples/read_mqtt.py HOST PORT TOPIC`, for `run --mqtt mqtt://HOST:PORT/TOPIC`."""

import json
import os
import sys

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

host, port, topic = sys.argv[1:]
client = Client(CallbackAPIVersion.VERSION2)
if "EMER_EDGE_MQTT_USERNAME" in os.environ:
    client.username_pw_set(os.environ["EMER_EDGE_MQTT_USERNAME"], os.environ["EMER_EDGE_MQTT_PASSWORD"])
# Results of one stream are at TOPIC/results, of several at TOPIC/STREAM/results.
topics = [(f"{topic}/status", 1), (f"{topic}/results", 1), (f"{topic}/+/results", 1)]
client.on_connect = lambda client, data, flags, reason, properties: client.subscribe(topics)
client.on_message = lambda client, data, message: show(message.topic, json.loads(message.payload))


def show(name, content):
    """Print a status, or the state of a result and how far felt and shown are apart."""
    gap = (content.get("gap") or {}).get("distance")  # a status has none, and is null in a result without one
    print(name, content["state"], "" if gap is None else f"{gap:.2f}", flush=True)


client.connect(host, int(port))
client.loop_forever()
