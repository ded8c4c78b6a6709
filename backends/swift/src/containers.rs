//! The two containers of a store: which requests tell that one is missing, and what creates it.

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

/// Swift's proxies remember for 6 s that a container wasn't there, unless their operator has changed that.
const REMEMBERED_ABSENT: Duration = Duration::from_secs(20);

const STORAGE_POLICY: HeaderName = HeaderName::from_static("x-storage-policy");

/// The container of the objects and that of the segments: sends requests about what lies in them, and creates them.
#[derive(Debug)]
pub(crate) struct Containers {
    pub(crate) client: Client,
    /// The container of the objects.
    pub(crate) container: String,
    /// The container of the segments.
    pub(crate) segments: String,
    /// The storage policy of containers created here; none: the cluster's default, and for segments that of the
    /// container.
    policy: Option<String>,
    /// Whether a missing container is created.
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

    /// The object of that name.
    pub(crate) fn target(&self, location: &Path) -> Target {
        Target::new(&self.container, location.as_ref())
    }

    /// Sends a request about an object or a listing, and makes sure that a 404 is not the container's.
    ///
    /// A missing container is made and the request sent again, if this store may make it: the container itself
    /// when it was built so, that of the segments whenever something is written there. Otherwise a missing
    /// container is [`StoreError::MissingContainer`].
    ///
    /// Nothing is asked about a container in which something was there a moment ago.
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
            // It is refused so only for want of a container, which another may have made meanwhile.
            return self.send_to_new(request).await;
        }
        if made || writing { Ok(self.client.send(request).await?) } else { Ok(response) }
    }

    /// Sends a request whose 404 may be the container's.
    pub(crate) async fn send_unproven(&self, request: Request) -> Result<Response> {
        let main = request.container == self.container;
        let response = self.client.send(request).await?;
        // A manifest is answered 202 before its container is looked for.
        if main && response.status.is_success() && response.status != StatusCode::ACCEPTED {
            self.sighting.record(Instant::now());
        }
        Ok(response)
    }

    /// Writes to a container that is there by now: a proxy that looked a moment too early remembers for some seconds that
    /// it isn't.
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

    /// The tries of a request to a container that was made a moment ago.
    pub(crate) fn tries_of_new<E: std::error::Error + Send + Sync + 'static>(
        &self,
        request: &Request,
    ) -> Tries<E> {
        Tries::new(self.client.left(request).min(REMEMBERED_ABSENT), &Trouble::default())
    }

    /// The body of the answer to a request, which is sent again if the body breaks off.
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

    /// Whether a container was missing and has been made now.
    ///
    /// # Errors
    ///
    /// [`StoreError::MissingContainer`] if it is missing and not to be made.
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

    /// The answer about a container that exists.
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
        // 409: someone else made it a moment ago, with another policy. It is there.
        if response.status.is_success() || response.status == StatusCode::CONFLICT {
            return Ok(());
        }
        let status = response.status;
        let source = rejected(response).await;
        match &self.policy {
            Some(policy) if status == StatusCode::BAD_REQUEST => Err(StoreError::Policy {
                container: container.to_owned(),
                policy: policy.clone(),
                known: self.client.info().await.map(|info| info.policies).unwrap_or_default(),
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
                reason: format!("{policy:?} can't be the name of a storage policy"),
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
