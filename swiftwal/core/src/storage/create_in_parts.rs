//! The creation of objects in parts: a capability that only some backends have.

use std::fmt;

use async_trait::async_trait;
use object_store::{MultipartUpload, Result, path::Path};

/// Creates objects in parts, without overwriting, for objects that are too large to be held in memory for one put.
#[async_trait]
pub trait CreateInParts: fmt::Debug + Send + Sync {
    /// Begins an upload. Its `complete` fails with `AlreadyExists`, and changes nothing, if the name is taken. On some
    /// storages it may succeed nevertheless if another process completes at the same moment, as with a put that must
    /// not overwrite. Until it has succeeded, no object has the name. After a crash, the sweep finds the parts.
    async fn create(&self, location: &Path) -> Result<Box<dyn MultipartUpload>>;

    /// Whether parts of `bytes` bytes, and a shorter last one, are accepted. If not, a file is stored in one put,
    /// whatever its size.
    async fn takes_parts_of(&self, bytes: usize) -> Result<bool>;

    /// Makes an object durable that another process has stored and perhaps not acknowledged, as a put that must not
    /// overwrite does with an existing object.
    async fn make_durable(&self, location: &Path) -> Result<()>;
}
