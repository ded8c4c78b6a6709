//! Starts real servers for tests, the demo and the bench in a scratch directory, and removes everything afterwards.
//!
//! [`Installation`] finds or installs PostgreSQL. [`Scratch`] is a directory with a guardian process, which stops
//! everything that runs in it and removes it, even after a panic, Ctrl-C or `kill -9`. [`Postgres`] is a cluster in it,
//! [`Swiftwal`] the program under test with a directory or a [`Container`] as its repository, and [`Site`] the usual
//! combination of them.
//!
//! [`Swift`] is a real OpenStack Swift in such a directory, with Keystone if requested:
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use xtask::{Break, Direction, Fault, Installation, Scratch, Service, Swift, SwiftOptions};
//!
//! let scratch = Scratch::new(Installation::ensure()?)?;
//! let swift = Swift::start(&scratch, SwiftOptions { keystone: true, ..SwiftOptions::three_replicas() })?;
//! // ST_AUTH, ST_USER, …; also environment_v3_password, environment_v3_application_credential.
//! let settings = swift.environment_v1();
//! // An outage of a server: frozen or killed.
//! swift.stop(Service::Object(2))?;
//! swift.cont(Service::Object(2))?;
//! swift.kill(Service::Keystone)?;
//! swift.up(Service::Keystone)?;
//! // A connection that is reset after 1000 bytes of an answer.
//! let settings = swift.environment_v3_password()?.wired();
//! swift.wire().arm(Fault { direction: Direction::ToClient, after: 1000, kind: Break::Reset });
//! // The number of requests.
//! assert_eq!(swift.requests()?.len(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! [`Ceph`] is a real Ceph with the gateway that speaks Swift's API, of the same abilities.
//!
//! [`Wire`] can also be used alone, in front of Keystone or any other server on the loopback interface. Tests in one
//! binary should share a Swift, which takes a few seconds to start, each with a container of its own.

mod apt;
mod cache;
mod cargo_deb;
mod ceph;
mod ceph_setup;
mod container;
mod environment;
mod http;
mod kill_at;
mod pgbackrest;
mod ports;
mod postgres;
mod postgres_versions;
mod processes;
mod requests;
mod run;
mod scratch;
mod servers;
mod setup;
mod site;
mod swift;
mod swift_setup;
mod swiftwal;
mod template;
mod wait;
mod wire;

pub use apt::ensure as ensure_programs;
pub use cache::cache_directory;
pub use cargo_deb::CargoDeb;
pub use ceph::{Ceph, CephServer};
pub use ceph_setup::CephInstallation;
pub use container::{Container, ceph_test_settings, swift_test_setting, swift_test_settings};
pub use environment::Environment;
pub use kill_at::Log;
pub use pgbackrest::PgBackRest;
pub use postgres::{Load, Postgres};
pub use postgres_versions::{PRERELEASE, VERSIONS};
pub use processes::{Process, descendants, peak_memory_kib};
pub use requests::LoggedRequest;
pub use run::{line, output, stdout};
pub use scratch::Scratch;
pub use setup::Installation;
pub use site::Site;
pub use swift::{Daemon, Service, Swift, SwiftOptions};
pub use swift_setup::SwiftInstallation;
pub use swiftwal::{Place, Swiftwal};
pub use wait::until;
pub use wire::{Break, Direction, Fault, Wire};
