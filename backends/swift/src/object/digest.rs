//! MD5 sums, as Swift compares them.

use bytes::Bytes;
use md5::{Digest, Md5};
use object_store::PutPayload;

/// From this size on, the sum is calculated in a separate thread, so that it doesn't delay the network.
const LONG: usize = 256 << 10;

/// An MD5 that is being calculated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Md5Sum(Md5);

impl Md5Sum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the sum in lower-case hexadecimal.
    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Returns the MD5 of a payload, in lower-case hexadecimal.
pub(crate) async fn md5_hex(payload: &PutPayload) -> object_store::Result<String> {
    if payload.content_length() < LONG {
        return Ok(sum(payload.iter()));
    }
    let payload = payload.clone();
    Ok(tokio::task::spawn_blocking(move || sum(payload.iter())).await?)
}

fn sum<'a>(chunks: impl Iterator<Item = &'a Bytes>) -> String {
    let mut sum = Md5Sum::default();
    chunks.for_each(|chunk| sum.update(chunk));
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn short_and_long_payloads_are_summed_over_all_their_chunks() {
        assert_eq!(md5_hex(&"abc".into()).await.unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        let chunks = PutPayload::from_iter([Bytes::from(vec![7; LONG]), Bytes::from(vec![7; 1])]);
        let one = PutPayload::from(vec![7; LONG + 1]);
        assert_eq!(md5_hex(&chunks).await.unwrap(), sum(one.iter()));
    }
}
