"""Replaces memcached by a cache in the proxy's process, which is correct as long as there is only one proxy."""

import time

MONTH = 30 * 24 * 3600


class LocalCache:
    """The methods of Swift's MemcacheRing that the proxy's pipeline calls."""

    def __init__(self):
        self.entries = {}

    def get(self, key, *_, **__):
        value, end = self.entries.get(key, (None, None))
        if end is not None and end <= time.time():
            del self.entries[key]
            return None
        return value

    def set(self, key, value, serialize=True, time=0, *_, **__):
        self.entries[key] = (value, deadline(time))

    def incr(self, key, delta=1, time=0):
        old = self.get(key)
        end = deadline(time) if old is None else self.entries[key][1]
        value = max(0, int(old or 0) + int(delta))
        self.entries[key] = (value, end)
        return value

    def decr(self, key, delta=1, time=0):
        return self.incr(key, -int(delta), time)

    def delete(self, key, server_key=None):
        self.entries.pop(key, None)

    def set_multi(self, mapping, server_key, serialize=True, time=0, *_, **__):
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys, server_key):
        return [self.get(key) for key in keys]


def deadline(seconds):
    """Interprets an expiry as memcached does: 0 means never, and more than a month means a date."""
    if not seconds:
        return None
    return seconds if seconds > MONTH else time.time() + seconds


def filter_factory(global_conf, **_):
    cache = LocalCache()

    def wrap(application):
        def call(environment, start_response):
            environment["swift.cache"] = cache
            return application(environment, start_response)

        return call

    return wrap
