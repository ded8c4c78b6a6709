//! The catalog of an identity service, and the endpoint of the object store in it.
//!
//! A catalog lists every service of a cloud, and its operator may have entered anything there. So each service and each
//! endpoint is decoded by itself, and one that can't be decoded is skipped.

use serde::Deserialize;
use url::Url;

use super::{AuthError, lenient};
use crate::config::Endpoint;

/// An endpoint of the object store in the catalog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) region: String,
    /// `public`, `internal` or `admin`.
    pub(super) interface: String,
    /// None if the catalog has no valid URL for it.
    pub(super) url: Option<Url>,
}

/// An entry of the catalog, with the endpoints in the form of one version of the protocol.
#[derive(Debug, Deserialize)]
pub(super) struct Service<E> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(
        default = "Vec::new",
        deserialize_with = "lenient::elements",
        bound(deserialize = "E: serde::de::DeserializeOwned")
    )]
    endpoints: Vec<E>,
}

/// An endpoint of v3: <https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management>
#[derive(Debug, Deserialize)]
pub(super) struct EndpointV3 {
    interface: String,
    #[serde(default, deserialize_with = "lenient::optional")]
    region_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    region: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    url: Option<String>,
}

/// An endpoint of v2.0.
#[derive(Debug, Deserialize)]
pub(super) struct EndpointV2 {
    #[serde(default, deserialize_with = "lenient::optional")]
    region: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional", rename = "publicURL")]
    public: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional", rename = "internalURL")]
    internal: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional", rename = "adminURL")]
    admin: Option<String>,
}

const OBJECT_STORE: &str = "object-store";

pub(super) fn offers_v3(catalog: Vec<Service<EndpointV3>>) -> Vec<Offer> {
    let offer = |EndpointV3 { interface, region_id, region, url }| Offer {
        region: region_id.or(region).unwrap_or_default(),
        interface,
        url: usable(url),
    };
    endpoints(catalog).map(offer).collect()
}

pub(super) fn offers_v2(catalog: Vec<Service<EndpointV2>>) -> Vec<Offer> {
    let offers = |EndpointV2 { region, public, internal, admin }| {
        let region = region.unwrap_or_default();
        let urls = [("public", public), ("internal", internal), ("admin", admin)];
        urls.into_iter().filter(|(_, url)| url.is_some()).map(move |(name, url)| Offer {
            region: region.clone(),
            interface: name.to_owned(),
            url: usable(url),
        })
    };
    endpoints(catalog).flat_map(offers).collect()
}

fn endpoints<E>(catalog: Vec<Service<E>>) -> impl Iterator<Item = E> {
    let services = catalog.into_iter().filter(|service| service.kind == OBJECT_STORE);
    services.flat_map(|service| service.endpoints)
}

/// The URL, if requests can be sent to it.
pub(super) fn usable(url: Option<String>) -> Option<Url> {
    let url = Url::parse(&url?).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// Returns the first usable endpoint of the wanted interface in the wanted region, or else in the first one that the
/// catalog names: an endpoint there without a valid URL must not lead to another region.
pub(super) fn pick(offers: &[Offer], wanted: &Endpoint) -> Result<Url, AuthError> {
    let fits = |offer: &&Offer| {
        offer.interface == wanted.interface
            && wanted.region.as_ref().is_none_or(|region| *region == offer.region)
    };
    let first = offers.iter().filter(fits).map(|offer| &offer.region).find(|region| !region.is_empty());
    let is_there = |offer: &&Offer| offer.region.is_empty() || Some(&offer.region) == first;
    let url = offers.iter().filter(fits).filter(is_there).find_map(|offer| offer.url.clone());
    url.ok_or_else(|| AuthError::NoEndpoint {
        wanted: match &wanted.region {
            Some(region) => format!("{OBJECT_STORE} {} in {region}", wanted.interface),
            None => format!("{OBJECT_STORE} {}", wanted.interface),
        },
        known: offers.iter().map(described).collect(),
    })
}

/// Describes an endpoint, as in `public in north`.
fn described(Offer { region, interface, url }: &Offer) -> String {
    let problem = if url.is_none() { " (without a valid URL)" } else { "" };
    format!("{interface} in {region}{problem}")
}
