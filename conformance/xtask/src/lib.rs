//! Real servers for tests, the demo and the bench: brought up in a scratch directory, gone afterwards.
//!
//! [`Installation`] finds or installs PostgreSQL. [`Scratch`] is a directory that outlives nobody: a guardian
//! process stops what runs in it and removes it, also after a panic, Ctrl-C or `kill -9`. [`Postgres`] is a
//! cluster in it, [`Swiftwal`] the program under test, [`Site`] the usual arrangement of all of them.

mod postgres;
mod processes;
mod run;
mod scratch;
mod setup;
mod site;
mod swiftwal;
mod wait;

pub use postgres::{Load, Postgres};
pub use processes::{Process, descendants};
pub use run::{line, output, stdout};
pub use scratch::Scratch;
pub use setup::Installation;
pub use site::Site;
pub use swiftwal::Swiftwal;
pub use wait::until;
