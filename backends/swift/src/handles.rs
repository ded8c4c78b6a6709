//! The handles that the operations on objects share.

use std::sync::Arc;

use crate::{containers::Containers, deletion::Deletion, listing::Listings, manifests::Manifests};

/// Access to the containers of a store, to their listings, to manifests, and to the deletion of single objects. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub(crate) struct Handles {
    pub(crate) containers: Arc<Containers>,
    pub(crate) listings: Listings,
    pub(crate) manifests: Manifests,
    pub(crate) deletion: Deletion,
}

impl Handles {
    pub(crate) fn new(containers: Containers) -> Self {
        let containers = Arc::new(containers);
        let listings = Listings::new(&containers);
        let manifests = Manifests::new(&containers, &listings);
        let deletion = Deletion::new(&containers);
        Self { containers, listings, manifests, deletion }
    }
}
