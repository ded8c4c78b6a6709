//! The probe of whether the server keeps existing objects.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header as http_header};
use object_store::{PutPayload, Result};

use crate::{
    containers::Containers, handles::Handles, large::SegmentNames, object::put_plain, outage::is_outage,
    target::Target,
};

/// How long PostgreSQL waits for the probe at most: what it archives is stored already.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds out whether the server keeps existing objects, unless that is known: stores one twice, under a name of its own
/// among the segments of this object.
///
/// It is removed afterwards. What a crash leaves looks like an abandoned upload, which a sweep removes. A server that
/// refuses it counts as one that keeps nothing. One that doesn't answer within a few seconds teaches nothing.
pub(super) async fn probe(handles: &Handles, object: &Target) {
    let containers = &handles.containers;
    if containers.client.dialect().keeps_existing().is_some() {
        return;
    }
    let name = SegmentNames::unique(object).segment(0, 0);
    let scratch = Target::new(&containers.segments, name);
    let Ok(is_kept) = tokio::time::timeout(PATIENCE, is_kept(containers, &scratch)).await else {
        tracing::debug!(%scratch, "it takes too long to find out whether the server keeps existing objects");
        return;
    };
    let keeps_existing = match is_kept {
        Err(error) if is_outage(&error) => return,
        Err(error) => {
            tracing::debug!(%scratch, %error, "can't find out whether the server keeps existing objects");
            false
        }
        Ok(is_kept) => is_kept,
    };
    containers.client.dialect().learn_keeps_existing(keeps_existing);
    if let Err(error) = handles.deletion.delete_one(&scratch).await {
        tracing::debug!(%scratch, %error, "an object is left behind until a sweep removes it");
    }
}

/// Stores an object twice. Returns whether the second time is refused.
async fn is_kept(containers: &Containers, scratch: &Target) -> Result<bool> {
    let headers = HeaderMap::from_iter([(http_header::IF_NONE_MATCH, HeaderValue::from_static("*"))]);
    for _ in 0..2 {
        // No other object has this content.
        let content = PutPayload::from(scratch.name.clone());
        match put_plain(containers, scratch, content, headers.clone()).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
