//! Faults in a real Swift and a real Keystone, as callers of the program experience them.
//!
//! In each test, nothing acknowledged is lost, nothing wrong is acknowledged, the exit codes are as documented, and the
//! program ends within the minute and a half that [`place::Running::wait`] gives it.

mod backup;
mod connections;
mod credentials;
mod damage;
mod keystone;
mod large_wal;
#[path = "../real_faults/lease.rs"]
mod lease;
mod limits;
mod listings;
mod outages;
#[path = "../real_faults/place.rs"]
mod place;
mod races;
mod replicas;
mod restore;
mod shared;
