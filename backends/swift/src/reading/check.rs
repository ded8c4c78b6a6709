//! Compares the content that is read with its known MD5.

use std::collections::VecDeque;

use http::StatusCode;
use object_store::Result;

use crate::{
    client::Response,
    error::StoreError,
    manifests::Manifests,
    object::{Md5Sum, Shape, header, unquoted},
    target::Target,
};

/// Compares a complete object, while it is read, with the known hashes of its content.
#[derive(Debug)]
pub(super) enum Check {
    /// No hash is known: a range of an object, a dynamic large object, or one that consists of ranges of large objects.
    None,
    /// A static large object with this tag, whose manifest must be read first.
    Manifest { e_tag: String },
    /// Stretches of the content, each with its MD5.
    Stretches(Stretches),
}

impl Check {
    /// Chooses the check for the response to a GET. The tag of a plain object is its MD5.
    pub(super) fn of(response: &Response) -> Self {
        let e_tag = header(&response.headers, "etag").map(unquoted).unwrap_or_default();
        match Shape::of(&response.headers) {
            _ if response.status != StatusCode::OK => Self::None,
            Shape::Plain => Self::Stretches(Stretches::new([(u64::MAX, md5(e_tag))])),
            Shape::Static => Self::Manifest { e_tag: e_tag.to_owned() },
            Shape::Dynamic { .. } => Self::None,
        }
    }

    /// Reads the manifest of a static large object, which contains the hashes of its segments. No hash is known if the
    /// segments are ranges of other large objects, or if the server returns no manifests and no listing shows the
    /// segments.
    ///
    /// Swift compares each segment with its tag as well, but only after it has sent it: damage in the last one would
    /// remain unnoticed.
    ///
    /// # Errors
    ///
    /// `Precondition` if the object no longer has this tag.
    pub(super) async fn read_manifest(manifests: &Manifests, object: &Target, tag: &str) -> Result<Self> {
        let Some(leaves) = manifests.leaves(object, tag).await? else { return Ok(Self::None) };
        let leaves = leaves.iter().filter(|segment| segment.length() > 0);
        Ok(Self::Stretches(Stretches::new(leaves.map(|segment| {
            let whole = segment.range.is_none();
            (segment.length(), whole.then(|| md5(&segment.e_tag)).flatten())
        }))))
    }
}

/// The stretches that an object consists of, in order.
#[derive(Debug)]
pub(super) struct Stretches {
    /// The bytes that each stretch still lacks, and its MD5 if that is known.
    ahead: VecDeque<(u64, Option<String>)>,
    sum: Md5Sum,
}

impl Stretches {
    fn new(stretches: impl IntoIterator<Item = (u64, Option<String>)>) -> Self {
        Self { ahead: stretches.into_iter().collect(), sum: Md5Sum::default() }
    }

    /// Adds the next bytes. Fails at the end of a stretch with another hash than expected.
    pub(super) fn update(&mut self, mut bytes: &[u8], object: &Target) -> Result<(), StoreError> {
        while let (Some((left, md5)), false) = (self.ahead.front_mut(), bytes.is_empty()) {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            let (taken, rest) = bytes.split_at(bytes.len().min(most));
            if md5.is_some() {
                self.sum.update(taken);
            }
            *left -= taken.len() as u64;
            bytes = rest;
            if *left == 0 {
                self.end(object)?;
            }
        }
        Ok(())
    }

    /// Ends the current stretch: no more bytes follow.
    pub(super) fn end(&mut self, object: &Target) -> Result<(), StoreError> {
        let found = std::mem::take(&mut self.sum).finish();
        match self.ahead.pop_front() {
            Some((_, Some(expected))) if expected != found => {
                Err(StoreError::Damaged { target: object.to_string(), expected, found })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the tag if it is an MD5.
fn md5(tag: &str) -> Option<String> {
    let is_md5 = tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_md5.then(|| tag.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

    fn check(stretches: &[(u64, Option<&str>)], chunks: &[&str]) -> Result<(), StoreError> {
        let stretches = stretches.iter().map(|(bytes, md5)| (*bytes, md5.map(str::to_owned)));
        let (mut stretches, object) = (Stretches::new(stretches), Target::new("c", "a"));
        chunks.iter().try_for_each(|chunk| stretches.update(chunk.as_bytes(), &object))?;
        stretches.end(&object)
    }

    #[test]
    fn stretches_are_compared_wherever_chunks_end() {
        let both = [(3, Some(ABC)), (2, None), (3, Some(ABC))];
        for chunks in [&["abcxxabc"][..], &["a", "bcx", "xa", "bc"]] {
            assert!(check(&both, chunks).is_ok());
        }
        assert!(check(&both, &["abcxxabd"]).is_err());
        assert!(check(&both, &["abdxxabc"]).is_err());
    }

    #[test]
    fn a_plain_object_is_one_stretch_that_ends_where_it_ends() {
        assert!(check(&[(u64::MAX, Some(ABC))], &["ab", "c"]).is_ok());
        assert!(check(&[(u64::MAX, Some(ABC))], &["ab"]).is_err());
    }
}
