//! Faults in a real Swift and a real Keystone, as those who call the program meet them.
//!
//! In each, nothing that was acknowledged is lost, nothing wrong is acknowledged, the exit codes are as promised,
//! and the program ends within the minute and a half that [`place::Running::wait`] gives it.

mod backup;
mod connections;
mod credentials;
mod damage;
mod keystone;
mod large_wal;
mod limits;
mod listings;
mod outages;
mod place;
mod replicas;
mod restore;
mod shared;
