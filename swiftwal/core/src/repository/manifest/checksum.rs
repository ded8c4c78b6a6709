//! The checksums of PostgreSQL's manifest.

use std::fmt;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// An algorithm of `--manifest-checksums`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Names and sizes only.
    None,
    Crc32c,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const ALGORITHMS: [(Algorithm, &str); 6] = [
    (Algorithm::None, "NONE"),
    (Algorithm::Crc32c, "CRC32C"),
    (Algorithm::Sha224, "SHA224"),
    (Algorithm::Sha256, "SHA256"),
    (Algorithm::Sha384, "SHA384"),
    (Algorithm::Sha512, "SHA512"),
];

impl Algorithm {
    /// Returns the algorithm with this name in a manifest.
    pub(super) fn named(name: &str) -> Option<Self> {
        ALGORITHMS.into_iter().find(|(_, known)| *known == name).map(|(algorithm, _)| algorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALGORITHMS.iter().find(|(algorithm, _)| algorithm == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

/// The checksum of a file that is read.
#[derive(Clone, Debug)]
pub(crate) enum Checksum {
    None,
    Crc32c(u32),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Checksum {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::None => Self::None,
            Algorithm::Crc32c => Self::Crc32c(0),
            Algorithm::Sha224 => Self::Sha224(Sha224::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(Sha384::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, data),
            Self::Sha224(sum) => sum.update(data),
            Self::Sha256(sum) => sum.update(data),
            Self::Sha384(sum) => sum.update(data),
            Self::Sha512(sum) => sum.update(data),
        }
    }

    /// Returns the checksum as PostgreSQL writes it, in bytes; a CRC is written in this machine's byte order, of which
    /// PostgreSQL's servers are.
    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Crc32c(sum) => sum.to_le_bytes().to_vec(),
            Self::Sha224(sum) => sum.finalize().to_vec(),
            Self::Sha256(sum) => sum.finalize().to_vec(),
            Self::Sha384(sum) => sum.finalize().to_vec(),
            Self::Sha512(sum) => sum.finalize().to_vec(),
        }
    }
}
