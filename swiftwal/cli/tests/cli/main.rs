//! Tests of the built program on directories as repositories, without any server.

#![expect(clippy::unwrap_used, reason = "the tests' helpers fail as tests do")]

mod archive_ahead;
mod archive_memory;
mod archive_wal;
mod bounds;
mod check;
mod configuration;
mod connection_settings;
mod deadline;
mod drill;
mod fetch_memory;
mod frozen;
mod hardening;
mod info;
mod killed_restores;
mod lists;
mod monitoring;
mod pins;
mod prefetch;
mod prune;
mod races;
mod ranges;
mod receive_wal;
mod restore;
mod restore_wal;
mod server;
mod site;
mod slow_storage;
mod stopping;
mod swift;
mod terminal;
mod timeline;
mod unlisted;
mod usage;
mod vanished;
