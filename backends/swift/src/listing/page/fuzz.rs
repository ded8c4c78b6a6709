//! A fuzzing target: it must not panic, whatever the bytes are.

use super::{Row, directory};

/// Reads the bytes as a page of a container's listing.
pub fn listing(bytes: &[u8]) {
    let Ok(rows) = serde_json::from_slice::<Vec<Row>>(bytes) else { return };
    for row in rows {
        let name = row.name().to_owned();
        let Some(entry) = row.object() else {
            let _ = directory(&name, "/");
            continue;
        };
        if let Some(location) = entry.location() {
            assert_eq!(location.as_ref(), name);
            let meta = entry.meta(location);
            assert!(meta.is_err() || meta.is_ok_and(|meta| meta.size == entry.bytes));
        }
        let _ = (entry.may_be_large(), entry.may_be_static(), entry.clone().tagged());
    }
}
