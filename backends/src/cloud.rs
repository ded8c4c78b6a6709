//! The backends for cloud storage: S3, Google Cloud Storage and Azure, through the stores of `object_store`. The
//! registry opens them.

mod bucket;

use std::{str::FromStr, sync::Arc, time::Duration};

#[cfg(feature = "s3")]
use object_store::aws::AmazonS3Builder;
#[cfg(feature = "azure")]
use object_store::azure::MicrosoftAzureBuilder;
#[cfg(feature = "gcs")]
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ClientOptions, GetOptions, ObjectStore, path::Path, prefix::PrefixStore};
use swiftwal_core::{Backend, Limits, OpenError, Options, Storage};
use url::Url;

use self::bucket::{Bucket, UnprovenAbsence, hint};

/// The size of a part. A few parts are in memory at a time.
const PART_BYTES: usize = 16 << 20;

const TIB: u64 = 1 << 40;

/// How long a connection may be silent. A limit on the whole request would interrupt large parts.
const SILENCE: Duration = Duration::from_secs(60);

/// Storage in Amazon S3 or a compatible service, `s3://bucket/prefix`. The settings are named as in the environment of
/// the AWS tools (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …).
///
/// Parts of crashed uploads remain until a lifecycle rule of the bucket removes them.
#[cfg(feature = "s3")]
#[derive(Clone, Copy, Debug)]
pub struct S3;

#[cfg(feature = "s3")]
impl S3 {
    /// 10,000 parts and 5 TiB, according to the S3 user guide ("Multipart upload limits").
    const LIMITS: Limits = Limits {
        part_bytes: PART_BYTES,
        put_bytes: Limits::PUT_BYTES,
        max_parts: 10_000,
        max_object_bytes: 5 * TIB,
    };
}

#[cfg(feature = "s3")]
impl Backend for S3 {
    fn schemes(&self) -> &'static [&'static str] {
        &["s3"]
    }

    fn settings(&self) -> &'static [&'static str] {
        &["AWS_"]
    }

    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        let builder = AmazonS3Builder::new().with_url(location.as_str()).with_client_options(client());
        let settings = settings(options, "aws_");
        let builder = settings.fold(builder, |builder, (key, value)| builder.with_config(key, value));
        storage(location, builder.build(), Self::LIMITS)
    }
}

/// Storage in Google Cloud Storage, `gs://bucket/prefix`, with settings such as
/// `GOOGLE_APPLICATION_CREDENTIALS`.
#[cfg(feature = "gcs")]
#[derive(Clone, Copy, Debug)]
pub struct Gcs;

#[cfg(feature = "gcs")]
impl Gcs {
    /// 10,000 parts and 5 TiB, according to the documentation of Cloud Storage ("Quotas and limits").
    const LIMITS: Limits = Limits {
        part_bytes: PART_BYTES,
        put_bytes: Limits::PUT_BYTES,
        max_parts: 10_000,
        max_object_bytes: 5 * TIB,
    };
}

#[cfg(feature = "gcs")]
impl Backend for Gcs {
    fn schemes(&self) -> &'static [&'static str] {
        &["gs"]
    }

    fn settings(&self) -> &'static [&'static str] {
        &["GOOGLE_"]
    }

    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        let builder =
            GoogleCloudStorageBuilder::new().with_url(location.as_str()).with_client_options(client());
        let settings = settings(options, "google_");
        let builder = settings.fold(builder, |builder, (key, value)| builder.with_config(key, value));
        storage(location, builder.build(), Self::LIMITS)
    }
}

/// Storage in Azure Blob Storage, `az://container/prefix`, with settings such as
/// `AZURE_STORAGE_ACCOUNT_NAME`.
#[cfg(feature = "azure")]
#[derive(Clone, Copy, Debug)]
pub struct Azure;

#[cfg(feature = "azure")]
impl Azure {
    /// 50,000 blocks of up to 4000 MiB, according to the documentation of Blob Storage ("Scalability targets").
    const LIMITS: Limits = Limits {
        part_bytes: PART_BYTES,
        put_bytes: Limits::PUT_BYTES,
        max_parts: 50_000,
        max_object_bytes: 190 * TIB,
    };
}

#[cfg(feature = "azure")]
impl Backend for Azure {
    fn schemes(&self) -> &'static [&'static str] {
        &["az"]
    }

    fn settings(&self) -> &'static [&'static str] {
        &["AZURE_"]
    }

    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        let builder = MicrosoftAzureBuilder::new().with_url(location.as_str()).with_client_options(client());
        let settings = settings(options, "azure_");
        let builder = settings.fold(builder, |builder, (key, value)| builder.with_config(key, value));
        storage(location, builder.build(), Self::LIMITS)
    }
}

fn client() -> ClientOptions {
    // The client uses the TLS provider of the process. If the program has installed one, that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientOptions::new().with_timeout_disabled().with_read_timeout(SILENCE)
}

/// Returns the settings that begin with `family` and that the store knows. Others in the environment are for other
/// programs.
fn settings<'a, K: FromStr>(
    options: &'a Options,
    family: &'static str,
) -> impl Iterator<Item = (K, &'a str)> {
    options.settings.keys().filter_map(move |name| {
        let value = options.setting(name)?;
        let name = name.to_ascii_lowercase();
        let key = name.starts_with(family).then(|| name.parse().ok())??;
        Some((key, value))
    })
}

/// Opens the objects below the path of `location`, unless `built` is an error.
fn storage(
    location: &Url,
    built: object_store::Result<impl ObjectStore>,
    limits: Limits,
) -> Result<Storage, OpenError> {
    let invalid = |reason: String| OpenError::invalid_location(location, reason);
    if location.query().is_some() || location.fragment().is_some() {
        return Err(invalid("it continues after the path; write '?' as %3F and '#' as %23".to_owned()));
    }
    let prefix = Path::from_url_path(location.path()).map_err(|error| invalid(error.to_string()))?;
    let store = built.map_err(|error| OpenError::settings(location, error.to_string()))?;
    let store = Bucket::new(PrefixStore::new(store, prefix));
    let mut unproven_read = GetOptions::default();
    unproven_read.extensions.insert(UnprovenAbsence);
    // Amazon's directory buckets list in no order.
    Ok(Storage::new(Arc::new(store)).with_unproven_read(unproven_read).with_limits(limits).with_hints(hint))
}
