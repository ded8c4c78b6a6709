"""Runs one server or tool of Swift, with its configuration in DIRECTORY instead of /etc/swift.

swift_server.py DIRECTORY rings REPLICAS OBJECT,CONTAINER,ACCOUNT...  creates the rings, with three ports for each node
swift_server.py DIRECTORY serve proxy|object-1|container-1|...        runs the server, which logs to standard error
swift_server.py DIRECTORY once object-updater|container-updater NODE  runs a daemon once
swift_server.py DIRECTORY list ACCOUNT CONTAINER NAMES                adds the names in a file to a listing
swift_server.py DIRECTORY unlist ACCOUNT CONTAINER OBJECT             removes the object from the container's listing
swift_server.py DIRECTORY hash ACCOUNT CONTAINER OBJECT               prints the object's directory name on disk
"""

import os
import sys
import warnings

warnings.filterwarnings("ignore")

from swift.common import constraints, storage_policy, utils

KINDS = ("object", "container", "account")


def rings(directory, replicas, *nodes):
    from swift.common.ring import RingBuilder

    ports = [node.split(",") for node in nodes]
    for kind in KINDS:
        builder = RingBuilder(part_power=4, replicas=int(replicas), min_part_hours=0)
        for number, node in enumerate(ports, start=1):
            place = {"ip": "127.0.0.1", "port": int(node[KINDS.index(kind)])}
            place.update({f"replication_{name}": value for name, value in list(place.items())})
            builder.add_dev({"region": 1, "zone": number, "device": f"d{number}", "weight": 1.0, "meta": "", **place})
        builder.rebalance()
        # The objects of the second policy are on the same disks.
        for name in (kind, "object-1") if kind == "object" else (kind,):
            builder.get_ring().save(os.path.join(directory, f"{name}.ring.gz"))


def serve(directory, service):
    from swift.common import wsgi

    # It would change the working directory, by which the scratch directory's guardian recognises its processes.
    wsgi.clean_up_daemon_hygiene = lambda: None
    kind = service.split("-")[0]
    options = {}
    if kind == "object":
        from swift.obj.server import global_conf_callback

        options["global_conf_callback"] = global_conf_callback
    return wsgi.run_wsgi(os.path.join(directory, f"{service}.conf"), f"{kind}-server", verbose=True, **options)


def once(directory, daemon, node):
    from swift.common.daemon import run_daemon
    from swift.container.updater import ContainerUpdater
    from swift.obj.updater import ObjectUpdater

    work = {"object-updater": ObjectUpdater, "container-updater": ContainerUpdater}[daemon]
    conf = os.path.join(directory, f"{daemon.split('-')[0]}-{node}.conf")
    run_daemon(work, conf, section_name=daemon, once=True, verbose=True)


def brokers(directory, account, container):
    """Returns the broker of each replica of the container's database."""
    from swift.common.ring import Ring
    from swift.container.backend import ContainerBroker

    part, nodes = Ring(directory, ring_name="container").get_nodes(account, container)
    place = utils.hash_path(account, container)
    for node in nodes:
        device = os.path.join(directory, f"n{node['zone']}", node["device"])
        database = os.path.join(device, utils.storage_directory("containers", part, place), f"{place}.db")
        yield ContainerBroker(database, account=account, container=container)


def enlist(directory, account, container, names):
    now = utils.Timestamp.now().internal
    row = {"created_at": now, "size": 1 << 20, "content_type": "application/octet-stream", "deleted": 0}
    row.update(etag="0" * 32, storage_policy_index=0, ctype_timestamp=None, meta_timestamp=None)
    with open(names) as file:
        rows = [{"name": name, **row} for name in file.read().splitlines()]
    for broker in brokers(directory, account, container):
        broker.merge_items(rows)


def unlist(directory, account, container, name):
    for broker in brokers(directory, account, container):
        broker.delete_object(name, utils.Timestamp.now().internal)


def main():
    directory, task, *arguments = sys.argv[1:]
    utils.set_swift_dir(directory)
    constraints.reload_constraints()
    storage_policy.reload_storage_policies()
    if task == "hash":
        return print(utils.hash_path(*arguments))
    tasks = {"rings": rings, "serve": serve, "once": once, "list": enlist, "unlist": unlist}
    return tasks[task](directory, *arguments)


sys.exit(main())
