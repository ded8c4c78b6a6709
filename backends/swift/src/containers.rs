//! The two containers of a store: recognises that one is missing, and creates it.

mod sighting;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use object_store::{Result, path::Path};

use self::sighting::Sighting;
use crate::{
    client::{COPY_FROM, Client, Request, Response, rejected},
    error::{Error, StoreError},
    retry::{Failure, Tries, Trouble, Verdict},
    target::Target,
};

/// Longer than Swift's proxies cache that a container is missing, which is 6 s unless the operator has changed it.
const REMEMBERED_ABSENT: Duration = Duration::from_secs(20);

const STORAGE_POLICY: HeaderName = HeaderName::from_static("x-storage-policy");

/// The container of the objects and the container of the segments: sends requests about their content, and creates
/// them.
#[derive(Debug)]
pub(crate) struct Containers {
    pub(crate) client: Client,
    /// The container of the objects.
    pub(crate) container: String,
    /// The container of the segments.
    pub(crate) segments: String,
    /// The storage policy of the containers that are created here. Without one, the container of the objects gets the
    /// cluster's default, and the one of the segments the policy of the container of the objects.
    policy: Option<String>,
    /// Whether a missing container of the objects is created.
    create: bool,
    /// When the container of the objects was last seen to exist.
    sighting: Sighting,
}

impl Containers {
    pub(crate) fn new(
        client: Client,
        container: String,
        segments: String,
        policy: Option<String>,
        create: bool,
    ) -> Self {
        Self { client, container, segments, policy, create, sighting: Sighting::default() }
    }

    /// Returns the object's name in the container.
    pub(crate) fn target(&self, location: &Path) -> Target {
        Target::new(&self.container, location.as_ref())
    }

    /// Sends a request about an object or a listing, and makes sure that a 404 isn't the container's.
    ///
    /// A missing container is created and the request sent again, if this store may create it: the container of the
    /// objects if the store was built so, the container of the segments whenever something is written there. Otherwise
    /// a missing container is [`StoreError::MissingContainer`].
    ///
    /// No request is made about a container that was seen to exist a moment ago.
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        let response = self.send_unproven(request.clone()).await?;
        let main = request.container == self.container;
        if response.status != StatusCode::NOT_FOUND {
            return Ok(response);
        }
        let writing = request.method == Method::PUT;
        if main && !writing && self.sighting.is_fresh(Instant::now()) {
            return Ok(response);
        }
        let made = self.make_if_missing(&request.container, writing, &request.trouble).await?;
        if writing && !request.headers.contains_key(COPY_FROM) {
            // A PUT gets a 404 only if the container is missing. Another process may have created it meanwhile.
            return self.send_to_new(request).await;
        }
        if made || writing { Ok(self.client.send(request).await?) } else { Ok(response) }
    }

    /// Sends a request whose 404 may be the container's.
    pub(crate) async fn send_unproven(&self, request: Request) -> Result<Response> {
        let main = request.container == self.container;
        let response = self.client.send(request).await?;
        // Swift answers 202 for a manifest before it looks for the container.
        if main && response.status.is_success() && response.status != StatusCode::ACCEPTED {
            self.sighting.record(Instant::now());
        }
        Ok(response)
    }

    /// Sends a write to a container that exists now. A proxy that looked for it earlier may have cached for some
    /// seconds that it is missing.
    async fn send_to_new(&self, request: Request) -> Result<Response> {
        let mut tries: Tries<Error> = self.tries_of_new(&request);
        loop {
            let response = self.client.send(request.clone()).await?;
            if response.status != StatusCode::NOT_FOUND {
                return Ok(response);
            }
            tries.again(Failure::retry(rejected(response).await)).await?;
        }
    }

    /// The tries of a request to a container that was just created.
    pub(crate) fn tries_of_new<E: std::error::Error + Send + Sync + 'static>(
        &self,
        request: &Request,
    ) -> Tries<E> {
        Tries::new(self.client.left(request).min(REMEMBERED_ABSENT), &Trouble::default())
    }

    /// Reads the body of the response. If it breaks off, the request is sent again.
    pub(crate) async fn whole(
        &self,
        request: &Request,
        mut response: Response,
        limit: usize,
    ) -> Result<Bytes> {
        let mut tries = self.client.tries(request);
        let status = response.status;
        loop {
            let error = match response.bytes(limit).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let verdict = if error.kind().is_broken() { Verdict::Retry } else { Verdict::Fail };
            let idle = error.kind().idle();
            tries.again(Failure { idle, ..Failure::judged(error, verdict) }).await?;
            response = self.send(request.clone()).await?;
            if response.status != status {
                return Err(rejected(response).await.into());
            }
        }
    }

    /// Creates a container if it is missing. Returns whether it has created it.
    ///
    /// # Errors
    ///
    /// [`StoreError::MissingContainer`] if it is missing and may not be created.
    pub(crate) async fn make_if_missing(
        &self,
        container: &str,
        writing: bool,
        trouble: &Trouble,
    ) -> Result<bool> {
        if self.container_head(container, trouble).await?.is_some() {
            return Ok(false);
        }
        let may_create =
            if container == self.container { self.create } else { container == self.segments && writing };
        if !may_create {
            return Err(missing(container));
        }
        self.create_container(container, trouble).await?;
        Ok(true)
    }

    /// Returns the response to a HEAD of the container; None if it is missing.
    async fn container_head(&self, container: &str, trouble: &Trouble) -> Result<Option<Response>> {
        let response = self.client.send(Request::new(Method::HEAD, container).within(trouble)).await?;
        match response.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                if container == self.container {
                    self.sighting.record(Instant::now());
                }
                Ok(Some(response))
            }
            _ => Err(rejected(response).await.into()),
        }
    }

    async fn create_container(&self, container: &str, trouble: &Trouble) -> Result<()> {
        let mut request = Request::new(Method::PUT, container).within(trouble);
        if let Some(policy) = self.policy_for(container, trouble).await? {
            request = request.header(STORAGE_POLICY, policy);
        }
        let response = self.client.send(request).await?;
        // 409: another process has just created it with another policy.
        if response.status.is_success() || response.status == StatusCode::CONFLICT {
            return Ok(());
        }
        let status = response.status;
        let source = rejected(response).await;
        match &self.policy {
            Some(policy) if status == StatusCode::BAD_REQUEST => Err(StoreError::Policy {
                container: container.to_owned(),
                policy: policy.clone(),
                known: self.client.info_at_once().await.map(|info| info.policies).unwrap_or_default(),
                source: Box::new(source),
            }
            .into()),
            _ => Err(source.into()),
        }
    }

    async fn policy_for(&self, container: &str, trouble: &Trouble) -> Result<Option<HeaderValue>> {
        if let Some(policy) = &self.policy {
            let invalid = |_| StoreError::Protocol {
                target: container.to_owned(),
                reason: format!("'{}' can't be the name of a storage policy", policy.escape_debug()),
            };
            return Ok(Some(HeaderValue::from_str(policy).map_err(invalid)?));
        }
        if container == self.container {
            return Ok(None);
        }
        match self.container_head(&self.container, trouble).await? {
            Some(head) => Ok(head.headers.get(STORAGE_POLICY).cloned()),
            None if self.create => Ok(None),
            None => Err(missing(&self.container)),
        }
    }
}

fn missing(container: &str) -> object_store::Error {
    StoreError::MissingContainer { container: container.to_owned() }.into()
}
