"""Runs Keystone in one process, with a separate database.

identity.py DIRECTORY PORT PROXY_PORT WIRE_PORT

DIRECTORY contains keystone.conf. The first start creates the database, the users, the catalog and seed.json, which
contains the ids that Keystone has chosen. Later starts use them.
"""

import json
import os
import sys

DIRECTORY, PORT, PROXY_PORT, WIRE_PORT = sys.argv[1], *map(int, sys.argv[2:])
# Keystone would parse these arguments as its own.
sys.argv = ["keystone"]
CONFIGURATION = os.environ["OS_KEYSTONE_CONFIG_FILES"] = os.path.join(DIRECTORY, "keystone.conf")

from cryptography.fernet import Fernet
from keystone.cmd.bootstrap import Bootstrapper
from keystone.common.sql import upgrades
from keystone.conf import CONF
from keystone.server import configure
from keystone.server.wsgi import initialize_public_application
from werkzeug.serving import make_server
from werkzeug.test import Client

SEED = os.path.join(DIRECTORY, "seed.json")
AUTH_URL = f"http://127.0.0.1:{PORT}/v3"


class Api:
    """Keystone's API, called within the process: the server listens only when everything exists."""

    def __init__(self, application, user, password, project):
        self.client = Client(application)
        self.token = None
        account = {"name": user, "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": account}}
        response = self.call("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        self.token = response.headers["X-Subject-Token"]

    def call(self, method, path, body=None):
        headers = {"X-Auth-Token": self.token} if self.token else {}
        response = self.client.open("/v3" + path, base_url=AUTH_URL[:-3], method=method, json=body, headers=headers)
        if response.status_code >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {response.text}")
        return response

    def make(self, kind, **fields):
        """Creates an object of this kind, such as a user, and returns its id."""
        return self.call("POST", f"/{kind}s", {kind: fields}).json[kind]["id"]

    def role(self, name):
        return self.call("GET", f"/roles?name={name}").json["roles"][0]["id"]

    def grant(self, project, user, role):
        self.call("PUT", f"/projects/{project}/users/{user}/roles/{self.role(role)}")


def make_keys():
    for repository in ("fernet-keys", "credential-keys"):
        os.makedirs(os.path.join(DIRECTORY, repository), mode=0o700)
        for name in ("0", "1"):
            with open(os.path.join(DIRECTORY, repository, name), "wb") as key:
                key.write(Fernet.generate_key())


def make_database():
    """Creates the database in a child process: Keystone can set up its managers only once in a process."""
    child = os.fork()
    if child:
        if os.waitpid(child, 0)[1]:
            raise SystemExit("creating the database failed")
        return
    configure(config_files=[CONFIGURATION])
    upgrades.offline_sync_database_to_version()
    first = Bootstrapper()
    first.admin_username = first.admin_password = first.project_name = "admin"
    first.admin_role_name = "admin"
    first.service_name, first.region_id = "keystone", "RegionOne"
    first.public_url = first.internal_url = first.admin_url = AUTH_URL
    first.bootstrap()
    os._exit(0)


def seed(application):
    """Creates two users of a project `backups`, the proxy's user, and the catalog with both endpoints of the proxy."""
    admin = Api(application, "admin", "admin", "admin")
    project = admin.make("project", name="backups", domain_id="default")
    archiver = admin.make("user", name="archiver", password="archiver-secret", domain_id="default")
    reader = admin.make("user", name="reader", password="reader-secret", domain_id="default")
    admin.grant(project, archiver, "member")
    admin.grant(project, reader, "reader")
    proxy = admin.make("user", name="swift", password="swift-secret", domain_id="default")
    admin.grant(admin.make("project", name="service", domain_id="default"), proxy, "service")
    swift = admin.make("service", type="object-store", name="swift")
    # Clients of the internal interface connect through the wire.
    for interface, port in (("public", PROXY_PORT), ("admin", PROXY_PORT), ("internal", WIRE_PORT)):
        url = f"http://127.0.0.1:{port}/v1/AUTH_%(project_id)s"
        admin.make("endpoint", service_id=swift, interface=interface, region_id="RegionOne", url=url)
    mine = Api(application, "archiver", "archiver-secret", "backups")
    path = f"/users/{archiver}/application_credentials"
    credential = mine.call("POST", path, {"application_credential": {"name": "backup"}})
    credential = credential.json["application_credential"]
    return {"project": project, "user": archiver, "credential": credential["id"], "secret": credential["secret"]}


def main():
    new = not os.path.exists(SEED)
    if new:
        make_keys()
        make_database()
    application = initialize_public_application()
    if new:
        # The tokens for this must not expire, even if those of the tests have a short lifetime.
        CONF.set_override("expiration", 3600, "token")
        facts = seed(application)
        CONF.clear_override("expiration", "token")
        with open(SEED, "w") as file:
            json.dump(facts, file)
    make_server("127.0.0.1", PORT, application, threaded=True).serve_forever()


main()
