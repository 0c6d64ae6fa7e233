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
    "Service": "/api/v1/namespaces/default/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    "Node": "/api/v1/nodes",
}


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
        wanted = {(o["kind"], o["metadata"]["name"]): o for o in objects if o["kind"] in COLLECTIONS}
        refused = []
        for kind, name in [key for key in self.published if key not in wanted]:
            refused += self.request("DELETE", f"{COLLECTIONS[kind]}/{name}")
            del self.published[kind, name]
        for (kind, name), wish in wanted.items():
            if self.published.get((kind, name)) == wish:
                continue
            if (kind, name) in self.published:
                refused += self.request("PUT", f"{COLLECTIONS[kind]}/{name}", wish)
            else:
                refused += self.request("POST", COLLECTIONS[kind], wish)
            if "status" in wish:
                refused += self.request("PUT", f"{COLLECTIONS[kind]}/{name}/status", wish)
            self.published[kind, name] = wish
        return refused

    def request(self, method, path, body=None):
        self.connection.request(method, path, body and json.dumps(body), self.headers)
        response = self.connection.getresponse()
        answer = response.read()
        return [] if response.status < 300 else [f"{method} {path}: {json.loads(answer).get('message')}"]


if __name__ == "__main__":
    main()
