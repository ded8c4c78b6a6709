//! Real servers for tests, the demo and the bench: brought up in a scratch directory, gone afterwards.
//!
//! [`Installation`] finds or installs PostgreSQL. [`Scratch`] is a directory that outlives nobody: a guardian
//! process stops what runs in it and removes it, also after a panic, Ctrl-C or `kill -9`. [`Postgres`] is a
//! cluster in it, [`Swiftwal`] the program under test with a directory or a [`Container`] for its repository,
//! [`Site`] the usual arrangement of all of them.
//!
//! [`Swift`] is a real OpenStack Swift, with Keystone if wanted, in such a directory:
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use xtask::{Break, Direction, Fault, Installation, Scratch, Service, Swift, SwiftOptions};
//!
//! let scratch = Scratch::new(Installation::ensure()?)?;
//! let swift = Swift::start(&scratch, SwiftOptions { keystone: true, ..SwiftOptions::three_replicas() })?;
//! // ST_AUTH, ST_USER, …; also environment_v3_password, environment_v3_application_credential.
//! let settings = swift.environment_v1();
//! // An outage of a server, frozen or killed.
//! swift.stop(Service::Object(2))?;
//! swift.cont(Service::Object(2))?;
//! swift.kill(Service::Keystone)?;
//! swift.up(Service::Keystone)?;
//! // A connection that resets after 1000 bytes of an answer.
//! let settings = swift.environment_v3_password()?.wired();
//! swift.wire().arm(Fault { direction: Direction::ToClient, after: 1000, kind: Break::Reset });
//! // What it cost.
//! assert_eq!(swift.requests()?.len(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! [`Wire`] also stands alone, before Keystone or any other server on loopback. Tests in one binary do well to
//! share a Swift: it starts in a few seconds, and each may have a container of its own.

mod apt;
mod container;
mod http;
mod ports;
mod postgres;
mod processes;
mod run;
mod scratch;
mod setup;
mod site;
mod swift;
mod swift_setup;
mod swiftwal;
mod wait;
mod wire;

pub use container::{Container, swift_test_setting, swift_test_settings};
pub use postgres::{Load, Postgres};
pub use processes::{Process, descendants};
pub use run::{line, output, stdout};
pub use scratch::Scratch;
pub use setup::Installation;
pub use site::Site;
pub use swift::{Daemon, Environment, LoggedRequest, Service, Swift, SwiftOptions};
pub use swift_setup::{SwiftInstallation, cache_directory};
pub use swiftwal::{Place, Swiftwal};
pub use wait::until;
pub use wire::{Break, Direction, Fault, Wire};
