"""Builds and reads packets for packet_node.ts: a request a line, a JSON answer a line."""
import json
import sys

from scapy.all import *  # noqa: F403  the expressions of tests use it

for line in sys.stdin:
    request = json.loads(line)
    try:
        if "build" in request:
            answer = {"hex": bytes(eval(request["build"])).hex()}
        else:
            answer = {"text": Ether(bytes.fromhex(request["show"])).show(dump=True)}
    except Exception as error:  # said to the test, which fails with it
        answer = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
