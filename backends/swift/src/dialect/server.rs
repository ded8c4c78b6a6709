//! Recognises the kind of a server by the ids that it gives to requests.

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

pub(super) const TRANS_ID: HeaderName = HeaderName::from_static("x-trans-id");

/// The kind of a server.
///
/// The id of a request begins with `tx`, 21 hexadecimal digits, a dash and the time in ten hexadecimal digits. radosgw
/// adds `-<instance>-<zone>`, the instance in hexadecimal. Swift adds what its operator has set as `trans_id_suffix`,
/// usually nothing; a suffix of the same form as radosgw's costs requests and has no other effect.
///
/// Sources: `swift/common/utils`, `generate_trans_id`; `src/rgw/rgw_common.h` in Ceph, `transaction_id`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Server {
    /// OpenStack Swift.
    Swift,
    /// Ceph's gateway.
    Radosgw,
}

impl Server {
    /// Returns the kind of the server that has sent these headers; None if they don't show it.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(TRANS_ID)?.to_str().ok()?;
        let (unique, rest) = id.strip_prefix("tx")?.split_at_checked(21)?;
        let (time, suffix) = rest.strip_prefix('-')?.split_at_checked(10)?;
        if !is_hex(unique) || !is_hex(time) {
            return None;
        }
        let instance = suffix.strip_prefix('-').and_then(|suffix| suffix.split_once('-'));
        Some(match instance {
            Some((instance, zone)) if is_hex(instance) && !zone.is_empty() => Self::Radosgw,
            _ => Self::Swift,
        })
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
pub(crate) const SWIFT: &str = "tx5b7b2d1ab2c04d86a0a21-006b0bcf3d";
#[cfg(test)]
pub(crate) const RADOSGW: &str = "tx000003422692fadc66f00-006b0bce21-100c-default";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn server(id: &str) -> Option<Server> {
        Server::of(&HeaderMap::from_iter([(TRANS_ID, HeaderValue::from_str(id).unwrap())]))
    }

    #[test]
    fn swift_and_radosgw_are_known_by_the_ids_of_their_answers() {
        assert_eq!(server(RADOSGW), Some(Server::Radosgw));
        assert_eq!(server(SWIFT), Some(Server::Swift));
        assert_eq!(server(&format!("{SWIFT}-region-2")), Some(Server::Swift));
        assert_eq!(server(&format!("{SWIFT}dc2")), Some(Server::Swift));
    }

    #[test]
    fn any_other_id_says_nothing() {
        for id in ["", "tx", "tx1", "txx5b7b2d1ab2c04d86a0a2-006b0bcf3d", "tx5b7b2d1ab2c04d86a0a21", "tx-ä"]
        {
            assert_eq!(server(id), None, "{id}");
        }
        assert_eq!(Server::of(&HeaderMap::new()), None);
    }
}
