//! Faults in a real Ceph, as callers of the program experience them through the gateway for Swift's API.
//!
//! As in `real_swift_faults`: nothing acknowledged is lost, nothing wrong is acknowledged, and the exit codes are as
//! documented.

#[path = "../real_faults/lease.rs"]
mod lease;
mod limits;
mod listings;
mod outages;
#[expect(dead_code, reason = "it is also for the faults of Swift")]
#[path = "../real_faults/place.rs"]
mod place;
mod setting;
mod shared;
mod users;
