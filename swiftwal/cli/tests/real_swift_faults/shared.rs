//! The Swifts that tests share.

use std::time::Duration;

use xtask::{Swift, SwiftOptions};

use crate::lease;

/// A Swift for all tests of a kind.
type Shared = lease::Shared<Swift>;
/// The right to use, and to break, a shared Swift.
pub(crate) type Lease = lease::Lease<Swift>;

/// Makes a Swift with these options, which is started when a test needs it.
macro_rules! swift {
    ($options:expr) => {
        Shared::new(|scratch| Swift::start(scratch, $options), Swift::mend)
    };
}

/// One node, version 1 authentication.
pub(crate) static PLAIN: Shared = swift!(SwiftOptions::default());
/// One node and Keystone.
pub(crate) static KEYSTONE: Shared = swift!(SwiftOptions::with_keystone());
/// One node, and Keystone with tokens that are valid just long enough for a busy machine.
pub(crate) static SHORT_LIVED: Shared =
    swift!(SwiftOptions { token_life: Duration::from_secs(10), ..SwiftOptions::with_keystone() });
/// With a limit of one write in ten seconds in a container.
pub(crate) static RATED: Shared =
    swift!(SwiftOptions { seconds_between_writes: Some(10), ..SwiftOptions::default() });
/// With objects smaller than a WAL segment, and short manifests.
pub(crate) static NARROW: Shared = swift!(SwiftOptions::narrow());
/// Three nodes with a replica on each.
pub(crate) static THREE: Shared = swift!(SwiftOptions::three_replicas());
