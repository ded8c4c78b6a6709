"""Creates an application credential with only the role `reader`, through Keystone's API, and prints it as JSON."""

import json
import os
import uuid
from urllib.request import Request, urlopen

URL = os.environ["OS_AUTH_URL"]


def post(path, body, **headers):
    request = Request(URL + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urlopen(request) as answer:
        return answer.headers, json.load(answer)


domain = {"id": "default"}
user = {"name": os.environ["OS_USERNAME"], "domain": domain, "password": os.environ["OS_PASSWORD"]}
identity = {"methods": ["password"], "password": {"user": user}}
scope = {"project": {"name": os.environ["OS_PROJECT_NAME"], "domain": domain}}
headers, token = post("/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
credential = {"name": f"reader-{uuid.uuid4()}", "roles": [{"name": "reader"}]}
path = f"/users/{token['token']['user']['id']}/application_credentials"
_, made = post(path, {"application_credential": credential}, **{"X-Auth-Token": headers["X-Subject-Token"]})
print(json.dumps({**made["application_credential"], "user_id": token["token"]["user"]["id"]}))
