"""Makes a Kubernetes API server hold exactly the given objects. Runs in the server's network namespace.

    api_publisher.py DIR      (the DIR of scripts/control-plane.sh)

Each line of standard input is a JSON list of objects. The answer is a line with the rejected requests; it is empty if
there are none. Objects that were published before and are not in the list are deleted first, so that their addresses
are free again.
"""

import http.client
import json
import ssl
import sys

COLLECTIONS = {
    "Service": "/api/v1/namespaces/{}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "Node": "/api/v1/nodes",
    "ServiceCIDR": "/apis/networking.k8s.io/v1/servicecidrs",
}
# Objects that the server creates itself.
SERVER_OBJECTS = [("ServiceCIDR", "kubernetes")]


def main():
    directory = sys.argv[1]
    with open(directory + "/token") as file:
        token = file.read().strip()
    tls = ssl.create_default_context(cafile=directory + "/ca.crt")
    publisher = Publisher(http.client.HTTPSConnection("127.0.0.1", 6443, context=tls), token)
    for line in sys.stdin:
        print("; ".join(publisher.publish(json.loads(line))), flush=True)


class Publisher:
    def __init__(self, connection, token):
        self.connection = connection
        self.headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
        self.published = {}

    def publish(self, objects):
        """Returns the rejected requests."""
        desired = {path_of(o): o for o in objects if (o["kind"], o["metadata"]["name"]) not in SERVER_OBJECTS}
        rejected = []
        for path in [path for path in self.published if path not in desired]:
            rejected += self.request("DELETE", path)
            del self.published[path]
        for path, obj in desired.items():
            if self.published.get(path) == obj:
                continue
            if path in self.published:
                rejected += self.request("PUT", path, obj)
            else:
                rejected += self.request("POST", path.rpartition("/")[0], obj)
            if "status" in obj:
                rejected += self.request("PUT", f"{path}/status", obj)
            self.published[path] = obj
        # The server closes connections that were idle for 90 seconds; the next request opens a new one.
        self.connection.close()
        return rejected

    def request(self, method, path, body=None):
        self.connection.request(method, path, body and json.dumps(body), self.headers)
        response = self.connection.getresponse()
        answer = response.read()
        return [] if response.status < 300 else [f"{method} {path}: {json.loads(answer).get('message')}"]


def path_of(obj):
    metadata = obj["metadata"]
    return COLLECTIONS[obj["kind"]].format(metadata.get("namespace", "default")) + "/" + metadata["name"]


if __name__ == "__main__":
    main()
