//! The catalog of an identity service, and the endpoint of the object store in it.

use serde::Deserialize;
use url::Url;

use super::AuthError;
use crate::config::Endpoint;

/// An endpoint of the object store in the catalog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) region: String,
    /// `public`, `internal` or `admin`.
    pub(super) interface: String,
    pub(super) url: String,
}

/// An entry of v3's catalog: <https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management>
#[derive(Debug, Deserialize)]
pub(super) struct ServiceV3 {
    #[serde(rename = "type")]
    kind: String,
    endpoints: Vec<EndpointV3>,
}

#[derive(Debug, Deserialize)]
struct EndpointV3 {
    interface: String,
    region_id: Option<String>,
    region: Option<String>,
    url: String,
}

/// An entry of v2.0's catalog.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceV2 {
    #[serde(rename = "type")]
    kind: String,
    endpoints: Vec<EndpointV2>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointV2 {
    region: Option<String>,
    #[serde(rename = "publicURL")]
    public: Option<String>,
    #[serde(rename = "internalURL")]
    internal: Option<String>,
    #[serde(rename = "adminURL")]
    admin: Option<String>,
}

const OBJECT_STORE: &str = "object-store";

pub(super) fn offers_v3(catalog: Vec<ServiceV3>) -> Vec<Offer> {
    let services = catalog.into_iter().filter(|service| service.kind == OBJECT_STORE);
    let offer = |EndpointV3 { interface, region_id, region, url }| Offer {
        region: region_id.or(region).unwrap_or_default(),
        interface,
        url,
    };
    services.flat_map(|service| service.endpoints).map(offer).collect()
}

pub(super) fn offers_v2(catalog: Vec<ServiceV2>) -> Vec<Offer> {
    let services = catalog.into_iter().filter(|service| service.kind == OBJECT_STORE);
    let offers = |EndpointV2 { region, public, internal, admin }| {
        let region = region.unwrap_or_default();
        [("public", public), ("internal", internal), ("admin", admin)].into_iter().filter_map(
            move |(name, url)| Some(Offer { region: region.clone(), interface: name.to_owned(), url: url? }),
        )
    };
    services.flat_map(|service| service.endpoints).flat_map(offers).collect()
}

/// Returns the first endpoint of the wanted interface in the wanted region.
pub(super) fn pick(offers: &[Offer], wanted: &Endpoint) -> Result<Url, AuthError> {
    let fits = |offer: &&Offer| {
        offer.interface == wanted.interface
            && wanted.region.as_ref().is_none_or(|region| *region == offer.region)
    };
    let url = offers.iter().find(fits).and_then(|offer| Url::parse(&offer.url).ok());
    url.ok_or_else(|| AuthError::NoEndpoint {
        wanted: match &wanted.region {
            Some(region) => format!("{OBJECT_STORE} {} in {region}", wanted.interface),
            None => format!("{OBJECT_STORE} {}", wanted.interface),
        },
        known: offers.iter().map(|offer| format!("{} in {}", offer.interface, offer.region)).collect(),
    })
}
