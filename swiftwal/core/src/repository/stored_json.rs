//! The small files of JSON in a repository: their version, and the hash with which some of them show that a bit has
//! changed.

use object_store::PutMode;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    error::{Error, Result},
    repository::{Repository, layout::ObjectName},
};

/// The field of a file with a hash that has what the file is about; in a commit record, it is called `backup`.
const CONTENT: &str = "content";

/// The part that every version, including later ones, must be able to read.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// A file with a hash: `{"format":1,"blake3":"…","content":{…}}`.
#[derive(Deserialize)]
struct Sealed<'a> {
    blake3: String,
    /// In a commit record, the field is called `backup`.
    #[serde(borrow, alias = "backup")]
    content: &'a RawValue,
}

/// Refuses an object of a newer version, before the rest of it is parsed.
///
/// # Errors
///
/// [`Error::NewerFormat`], and [`Error::Damaged`] if it has no version, or 0: the first is 1.
pub(crate) fn refuse_newer(name: &ObjectName, bytes: &[u8], known: u32) -> Result<()> {
    let version: Version = serde_json::from_slice(bytes).map_err(|error| Error::damaged(name, error))?;
    if version.format == 0 {
        return Err(Error::damaged(name, "it has format version 0"));
    }
    if version.format > known {
        return Err(Error::NewerFormat { object: name.to_string(), found: version.format, known });
    }
    Ok(())
}

/// Returns the bytes to store for `content`: in the field `field`, with the hash of exactly its bytes.
pub(crate) fn seal(format: u32, field: &str, content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let content = serde_json::value::to_raw_value(content)?;
    let blake3 = blake3::hash(content.get().as_bytes());
    Ok(format!(r#"{{"format":{format},"blake3":"{blake3}","{field}":{content}}}"#).into_bytes())
}

/// Returns the content of `bytes`, which were read from the object `name`.
///
/// # Errors
///
/// [`Error::NewerFormat`] for a format above `known`, and [`Error::Damaged`] if any bit has changed.
pub(crate) fn unseal<'a>(name: &ObjectName, bytes: &'a [u8], known: u32) -> Result<&'a str> {
    refuse_newer(name, bytes, known)?;
    let sealed: Sealed<'a> = serde_json::from_slice(bytes).map_err(|error| Error::damaged(name, error))?;
    let content = sealed.content.get();
    if blake3::hash(content.as_bytes()).to_hex().as_str() != sealed.blake3 {
        return Err(Error::damaged(name, "its content doesn't match its checksum"));
    }
    Ok(content)
}

impl Repository {
    /// Stores `content` in a file with a hash. An earlier file of this name is replaced.
    pub(super) async fn store_sealed(
        &self,
        name: &ObjectName,
        format: u32,
        content: &(impl Serialize + Sync),
    ) -> Result<()> {
        let bytes = seal(format, CONTENT, content).map_err(|error| Error::damaged(name, error))?;
        self.put(name, bytes.into(), PutMode::Overwrite).await.map(drop)
    }

    /// Reads what [`store_sealed`](Self::store_sealed) stored. None if it is proven to be missing.
    ///
    /// # Errors
    ///
    /// As [`unseal`], and those of the storage.
    pub(super) async fn read_sealed<T: DeserializeOwned>(
        &self,
        name: &ObjectName,
        known: u32,
    ) -> Result<Option<T>> {
        let Some(bytes) = self.read(name).await? else { return Ok(None) };
        let content = unseal(name, &bytes, known)?;
        serde_json::from_str(content).map(Some).map_err(|error| Error::damaged(name, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_bit_anywhere_in_a_sealed_file_is_noticed() {
        let bytes = seal(1, "content", &"kept until 2027").unwrap();
        assert_eq!(unseal(&ObjectName::Cluster, &bytes, 1).unwrap(), "\"kept until 2027\"");
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[position] ^= 1 << bit;
                assert!(unseal(&ObjectName::Cluster, &changed, 1).is_err(), "bit {bit} of byte {position}");
            }
        }
    }
}
