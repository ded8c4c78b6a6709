//! The Ceph that tests share.

use xtask::Ceph;

use crate::lease;

/// The right to use, and to break, the Ceph.
pub(crate) type Lease = lease::Lease<Ceph>;

/// With version 1 authentication, and URLs without the account.
pub(crate) static CEPH: lease::Shared<Ceph> =
    lease::Shared::new(|scratch| Ceph::start(scratch, None), Ceph::mend);
