//! Cuts a part into pieces of a size that the cluster accepts as segments.

use bytes::Bytes;
use object_store::PutPayload;

use crate::{error::StoreError, manifests::Segment, target::Target};

/// Checks that no segment but the last is shorter than the cluster accepts.
///
/// # Errors
///
/// [`StoreError::Upload`], which names the least length of a part.
pub(super) fn long_enough(object: &Target, segments: &[Segment], shortest: u64) -> Result<(), StoreError> {
    let but_last = segments.split_last().map_or(segments, |(_, others)| others);
    match but_last.iter().find(|segment| segment.bytes < shortest) {
        None => Ok(()),
        Some(Segment { bytes, .. }) => Err(StoreError::Upload {
            target: object.to_string(),
            reason: format!(
                "a part has {bytes} bytes, and this cluster accepts none shorter than {shortest} but the last; \
                 make the parts longer"
            ),
        }),
    }
}

/// Cuts the payload into pieces of at most `most` bytes and of nearly equal length, so that none is too short. An empty
/// payload has no pieces, since Swift accepts no empty segments.
pub(super) fn cut(payload: PutPayload, most: u64) -> Vec<PutPayload> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    let length = payload.content_length();
    let even = length.div_ceil(length.div_ceil(most).max(1)).max(1);
    let (mut pieces, mut piece, mut room): (Vec<Vec<Bytes>>, Vec<Bytes>, usize) =
        (Vec::new(), Vec::new(), even);
    for mut chunk in payload {
        while !chunk.is_empty() {
            let taken = chunk.split_to(chunk.len().min(room));
            room -= taken.len();
            piece.push(taken);
            if room == 0 {
                pieces.push(std::mem::take(&mut piece));
                room = even;
            }
        }
    }
    pieces.extend((!piece.is_empty()).then_some(piece));
    pieces.into_iter().map(PutPayload::from_iter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(pieces: &[PutPayload]) -> Vec<usize> {
        pieces.iter().map(PutPayload::content_length).collect()
    }

    #[test]
    fn a_part_is_cut_evenly_where_an_object_may_not_be_longer_whatever_its_chunks() {
        let payload = PutPayload::from_iter([Bytes::from("abc"), Bytes::from("defgh"), Bytes::from("ij")]);
        let pieces = cut(payload, 8);
        assert_eq!(lengths(&pieces), [5, 5]);
        let all: Vec<u8> = pieces.into_iter().flatten().flatten().collect();
        assert_eq!(all, b"abcdefghij");
        assert_eq!(lengths(&cut("abcdefghij".into(), 4)), [4, 4, 2]);
    }

    #[test]
    fn a_part_of_exactly_the_limit_is_one_piece_and_an_empty_one_none() {
        assert_eq!(lengths(&cut("abcd".into(), 4)), [4]);
        assert!(cut(PutPayload::new(), 4).is_empty());
    }

    #[test]
    fn only_the_last_segment_may_be_shorter_than_the_cluster_takes() {
        let segment =
            |bytes| Segment { name: String::new(), e_tag: String::new(), bytes, range: None, nested: false };
        let check = |lengths: &[u64]| {
            let segments: Vec<_> = lengths.iter().copied().map(segment).collect();
            long_enough(&Target::new("c", "a"), &segments, 10)
        };
        assert!(check(&[]).is_ok() && check(&[1]).is_ok() && check(&[10, 1]).is_ok());
        let error = check(&[10, 9, 10]).unwrap_err().to_string();
        assert!(error.contains("c/a") && error.contains("9 bytes") && error.contains("10"), "{error}");
    }
}
