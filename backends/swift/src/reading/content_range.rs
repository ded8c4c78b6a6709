//! The header `Content-Range`.

use std::ops::Range;

/// Returns the range of bytes and the size of the object in a value such as `bytes 2-4/14`.
pub(super) fn content_range(value: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first..last + 1, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_gives_the_bytes_and_the_size() {
        assert_eq!(content_range("bytes 2-4/14"), Some((2..5, 14)));
        assert_eq!(content_range("bytes 5-4/14"), None);
        assert_eq!(content_range("bytes */14"), None);
    }
}
