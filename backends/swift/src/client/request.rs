//! One request to an account, and its URL.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use object_store::PutPayload;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::{retry::Trouble, transport::Pace};

/// A complete request, which can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Empty for a request to the account itself.
    pub(crate) container: String,
    /// The name, not encoded; the client encodes it.
    pub(crate) object: Option<String>,
    /// The query, not encoded, in this order. An empty value makes a flag such as `bulk-delete`.
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: PutPayload,
    /// Shared by every part of the program that sends the request again.
    pub(crate) trouble: Trouble,
}

impl Request {
    /// Creates a request to a container.
    pub(crate) fn new(method: Method, container: impl Into<String>) -> Self {
        Self {
            method,
            container: container.into(),
            object: None,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: PutPayload::new(),
            trouble: Trouble::default(),
        }
    }

    /// Creates a request to an object.
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

    /// Sets the body. Its length is sent with it.
    #[must_use]
    pub(crate) fn body(mut self, body: PutPayload) -> Self {
        self.body = body;
        self
    }

    /// Makes it a part of another request: both share one time limit.
    #[must_use]
    pub(crate) fn within(mut self, trouble: &Trouble) -> Self {
        self.trouble = trouble.clone();
        self
    }

    /// What counts as progress while the response is read.
    pub(super) fn pace(&self) -> Pace {
        let is_reported = self.query.iter().any(|(name, _)| matches!(*name, "heartbeat" | "bulk-delete"));
        if is_reported { Pace::Report } else { Pace::Data }
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

/// All characters except the unreserved ones of RFC 3986 are encoded.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As [`NAME`], except the slash: in an object's name Swift gives it no meaning, and it is easier to read.
pub(crate) const PATH: &AsciiSet = &NAME.remove(b'/');

impl Request {
    /// Returns the URL in an account. None if no URL can express it: an empty name, which would mean the container, or
    /// a name with a segment `.` or `..`, which proxies may resolve.
    pub(crate) fn url(&self, account: &Url) -> Option<Url> {
        if self.object.as_deref() == Some("") {
            return None;
        }
        let mut path = account.path().to_owned();
        if !self.container.is_empty() {
            path += "/";
            path.extend(utf8_percent_encode(&self.container, NAME));
        }
        if let Some(object) = &self.object {
            path += "/";
            path.extend(utf8_percent_encode(object, PATH));
        }
        let mut url = account.clone();
        url.set_path(&path);
        url.set_query(self.query_string().as_deref());
        (url.path() == path).then_some(url)
    }

    fn query_string(&self) -> Option<String> {
        let part = |(name, value): &(&str, String)| match value.as_str() {
            "" => (*name).to_owned(),
            value => format!("{name}={}", utf8_percent_encode(value, NAME)),
        };
        let parts = self.query.iter().map(part).collect::<Vec<_>>();
        (!parts.is_empty()).then(|| parts.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(container: &str, object: &str) -> Option<String> {
        let account = Url::parse("http://swift:8080/v1/AUTH_a").unwrap();
        Request::object(Method::GET, container, object).url(&account).map(Into::into)
    }

    #[test]
    fn names_are_encoded_whatever_is_in_them() {
        let expected = "http://swift:8080/v1/AUTH_a/c%20%2Fd/a/%C3%A4%3F%23%25%3A%26%2B~%00b";
        assert_eq!(url("c /d", "a/ä?#%:&+~\0b").as_deref(), Some(expected));
        assert_eq!(url("c", "a//b/").as_deref(), Some("http://swift:8080/v1/AUTH_a/c/a//b/"));
        assert_eq!(
            url("c", "...uploading/x").as_deref(),
            Some("http://swift:8080/v1/AUTH_a/c/...uploading/x")
        );
    }

    #[test]
    fn a_name_that_would_lead_elsewhere_has_no_url() {
        for name in ["..", "../other/object", "a/./b", "a/.."] {
            assert_eq!(url("c", name), None, "{name}");
        }
        assert_eq!(url("..", "a"), None);
        assert_eq!(url("c", ""), None);
        assert!(url("c", "%2E%2E/a").is_some());
    }

    #[test]
    fn queries_have_values_and_flags() {
        let account = Url::parse("http://swift/v1/AUTH_a").unwrap();
        let request = Request::new(Method::GET, "c").query("format", "json").query("marker", "a&b c");
        assert_eq!(request.url(&account).unwrap().query(), Some("format=json&marker=a%26b%20c"));
        let request = Request::new(Method::POST, "").query("bulk-delete", "");
        assert_eq!(request.url(&account).unwrap().as_str(), "http://swift/v1/AUTH_a?bulk-delete");
    }
}
