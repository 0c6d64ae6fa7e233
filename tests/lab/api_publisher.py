"""Makes a Kubernetes API server hold exactly the objects it is told, from inside the server's network namespace.

    api_publisher.py DIR      (the DIR of scripts/control-plane.sh)

Each line of standard input is a JSON list of objects; the answer is a line that is empty or says what was refused.
What was published before and is not in the list is deleted first, so that its addresses are free again.
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
# The server makes these itself.
OF_THE_SERVER = [("ServiceCIDR", "kubernetes")]


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
        """Returns what was refused."""
        wanted = {path_of(o): o for o in objects if (o["kind"], o["metadata"]["name"]) not in OF_THE_SERVER}
        refused = []
        for path in [path for path in self.published if path not in wanted]:
            refused += self.request("DELETE", path)
            del self.published[path]
        for path, wish in wanted.items():
            if self.published.get(path) == wish:
                continue
            if path in self.published:
                refused += self.request("PUT", path, wish)
            else:
                refused += self.request("POST", path.rpartition("/")[0], wish)
            if "status" in wish:
                refused += self.request("PUT", f"{path}/status", wish)
            self.published[path] = wish
        # The server ends connections on which nothing was asked for 90 seconds; the next request makes a new one.
        self.connection.close()
        return refused

    def request(self, method, path, body=None):
        self.connection.request(method, path, body and json.dumps(body), self.headers)
        response = self.connection.getresponse()
        answer = response.read()
        return [] if response.status < 300 else [f"{method} {path}: {json.loads(answer).get('message')}"]


def path_of(wish):
    metadata = wish["metadata"]
    return COLLECTIONS[wish["kind"]].format(metadata.get("namespace", "default")) + "/" + metadata["name"]


if __name__ == "__main__":
    main()
