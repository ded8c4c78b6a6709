use http::{HeaderMap, HeaderName, HeaderValue, Method};
use object_store::PutPayload;

/// One request, whole, so that it can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Empty: the account itself.
    pub(crate) container: String,
    /// The raw name; the client encodes it.
    pub(crate) object: Option<String>,
    /// Sent encoded, in this order. An empty value makes a flag: `bulk-delete`.
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: PutPayload,
}

impl Request {
    /// A request to a container.
    pub(crate) fn new(method: Method, container: impl Into<String>) -> Self {
        Self {
            method,
            container: container.into(),
            object: None,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: PutPayload::new(),
        }
    }

    /// A request to an object.
    pub(crate) fn object(method: Method, container: impl Into<String>, object: impl Into<String>) -> Self {
        Self { object: Some(object.into()), ..Self::new(method, container) }
    }

    /// Adds to the query; an empty value makes a flag.
    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Sets a header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body, which goes with its length.
    #[must_use]
    pub(crate) fn body(mut self, body: PutPayload) -> Self {
        self.body = body;
        self
    }

    /// `container/object`, as errors name it.
    pub(crate) fn target(&self) -> String {
        match &self.object {
            Some(object) => format!("{}/{object}", self.container),
            None if self.container.is_empty() => "the account".to_owned(),
            None => self.container.clone(),
        }
    }
}
