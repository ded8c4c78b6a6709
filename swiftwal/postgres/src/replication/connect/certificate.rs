//! Reads what a certificate's outermost structure says: the algorithm of its signature, and its public key.

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};

/// Object identifiers of signature algorithms, in DER.
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];

const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Returns the hash of a certificate that binds a channel to it (`tls-server-end-point`, RFC 5929): made by the hash of its
/// signature, with SHA-256 in place of MD5 and SHA-1. `None` if the signature names no single hash that is known, as
/// Ed25519 and RSA-PSS don't.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let hash = hash_of(signature_algorithm(certificate)?)?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

fn hash_of(algorithm: &[u8]) -> Option<&'static Algorithm> {
    match (algorithm.strip_prefix(&RSA), algorithm.strip_prefix(&ECDSA)) {
        // md5, sha1, sha256
        (Some([0x04 | 0x05 | 0x0b]), _) => Some(&SHA256),
        (Some([0x0c]), _) => Some(&SHA384),
        (Some([0x0d]), _) => Some(&SHA512),
        // sha1, sha256
        (_, Some([0x01] | [0x03, 0x02])) => Some(&SHA256),
        (_, Some([0x03, 0x03])) => Some(&SHA384),
        (_, Some([0x03, 0x04])) => Some(&SHA512),
        _ => None,
    }
}

/// Returns the object identifier of the signature's algorithm.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (signed, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(signed.content, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    Some(element(algorithm.content, OBJECT_IDENTIFIER)?.0.content)
}

/// Returns the public key as it stands in the certificate: a `SubjectPublicKeyInfo`.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (signed, _) = element(certificate, SEQUENCE)?;
    let (to_be_signed, _) = element(signed.content, SEQUENCE)?;
    let rest = to_be_signed.content;
    // The version is missing from certificates of version 1.
    let rest = element(rest, CONTEXT_0).map_or(rest, |(_, rest)| rest);
    // The number, the algorithm of the signature, the issuer, the time, the subject.
    let (_, rest) = any_element(rest)?;
    let rest = [(); 4].iter().try_fold(rest, |rest, ()| Some(element(rest, SEQUENCE)?.1))?;
    Some(element(rest, SEQUENCE)?.0.complete)
}

struct Element<'a> {
    tag: u8,
    complete: &'a [u8],
    content: &'a [u8],
}

/// Splits off the first element if it has this tag.
fn element(der: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    any_element(der).filter(|(element, _)| element.tag == tag)
}

/// Splits off the first element: a tag, a length, and the content.
fn any_element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let [tag, first, ..] = *der else { return None };
    let (header, length) = match first {
        0..=0x7f => (2, usize::from(first)),
        // The lower bits are the number of the length's bytes.
        0x81..=0x83 => {
            let end = 2 + usize::from(first & 0x7f);
            let length = der.get(2..end)?.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
            (end, length)
        }
        _ => return None,
    };
    let complete = der.get(..header + length)?;
    Some((Element { tag, complete, content: &complete[header..] }, &der[header + length..]))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData, SignatureAlgorithm};

    use super::*;

    /// Returns a certificate that is signed so, and the length of the hash that binds to it.
    fn bound(algorithm: &'static SignatureAlgorithm) -> Option<usize> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        let info = public_key(certificate.der()).unwrap();
        assert!(info.ends_with(key.der_bytes()));
        end_point(certificate.der()).map(|hash| hash.len())
    }

    #[test]
    fn the_hash_is_that_of_the_signature_and_ed25519_has_none() {
        assert_eq!(bound(&rcgen::PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(bound(&rcgen::PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(bound(&rcgen::PKCS_ED25519), None);
    }

    #[test]
    fn md5_and_sha_1_count_as_sha_256_and_rsa_pss_as_none() {
        let rsa = |last: u8| hash_of(&[&RSA[..], &[last]].concat());
        assert!([4, 5, 0xb].into_iter().all(|last| rsa(last) == Some(&SHA256)));
        assert!(rsa(0xc) == Some(&SHA384) && rsa(0xd) == Some(&SHA512));
        assert!(rsa(0xa).is_none() && rsa(0xe).is_none());
        assert!(hash_of(&[&ECDSA[..], &[1]].concat()) == Some(&SHA256));
        assert!(hash_of(&[&ECDSA[..], &[3, 4]].concat()) == Some(&SHA512));
    }

    #[test]
    fn what_is_no_certificate_has_neither_hash_nor_key() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        for length in 0..certificate.der().len() {
            let _ = (end_point(&certificate.der()[..length]), public_key(&certificate.der()[..length]));
        }
        for odd in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b"\x30\x83\xff\xff\xff"] {
            assert!(end_point(odd).is_none() && public_key(odd).is_none());
        }
    }
}
