//! The proxies that the environment names, read as curl reads it, except `HTTP_PROXY` in upper case: curl ignores it, and
//! the OpenStack tools don't. A CGI program ignores it, since a client can set it there with a header `Proxy`.

mod no_proxy;

use std::{collections::HashMap, env, fmt};

use url::Url;

use self::no_proxy::NoProxy;

/// The variables, by the scheme of the requested URL, in the order in which they are read.
const HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// Set in a CGI program.
const CGI: &str = "REQUEST_METHOD";

/// The proxies for http and https, and the hosts that are reached without them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: NoProxy,
}

/// A proxy. Its `Display` shows neither user nor password.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// The name of the variable that names it.
    pub(crate) variable: &'static str,
    /// None if the variable has no URL of an HTTP proxy.
    pub(crate) url: Option<Url>,
}

impl Proxies {
    /// The proxies that the environment of this process names.
    #[expect(
        clippy::disallowed_methods,
        reason = "they apply to every HTTP client of a process, and aren't settings of the storage"
    )]
    pub(crate) fn of_environment() -> Self {
        let names = HTTP.iter().chain(&HTTPS).chain(&NO_PROXY).chain([&CGI]);
        let variables = names.filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?)));
        Self::new(&variables.collect())
    }

    /// The proxies that these variables name. Empty ones count as absent.
    pub(crate) fn new(variables: &HashMap<String, String>) -> Self {
        let first = |names: &[&'static str]| {
            let is_forged = |name: &str| name == "HTTP_PROXY" && variables.contains_key(CGI);
            let names = names.iter().filter(|name| !is_forged(name));
            let mut set = names.filter_map(|name| Some((*name, variables.get(*name)?.as_str())));
            set.find(|(_, value)| !value.is_empty())
        };
        let proxy = |names| first(names).map(|(variable, value)| Proxy { variable, url: parse(value) });
        let except = first(&NO_PROXY).map(|(_, list)| NoProxy::parse(list)).unwrap_or_default();
        Self { http: proxy(&HTTP), https: proxy(&HTTPS), except }
    }

    /// The proxy through which this URL is requested.
    pub(crate) fn of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !url.host().is_some_and(|host| self.except.contains(&host)))
    }
}

/// Parses the address of a proxy, which may lack `http://`.
fn parse(value: &str) -> Option<Url> {
    let value = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&value).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, url } = self;
        match url {
            Some(url) => write!(f, "the proxy {} ({variable})", url.origin().ascii_serialization()),
            None => write!(f, "the proxy of {variable}"),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Proxies::new(&variables.collect()).of(&url.parse().unwrap()).map(Proxy::to_string)
    }

    #[test]
    fn a_scheme_has_its_own_proxy_or_the_one_for_all() {
        let variables =
            [("https_proxy", "http://a:3128"), ("HTTPS_PROXY", "b"), ("all_proxy", ""), ("ALL_PROXY", "c:1")];
        assert_eq!(of(&variables, "https://k").as_deref(), Some("the proxy http://a:3128 (https_proxy)"));
        assert_eq!(of(&variables, "http://k").as_deref(), Some("the proxy http://c:1 (ALL_PROXY)"));
        assert_eq!(of(&[], "http://k"), None);
    }

    #[test]
    fn names_in_upper_case_count_and_in_a_cgi_program_the_one_that_a_client_can_set_does_not() {
        let set = [("HTTP_PROXY", "a:1"), ("HTTPS_PROXY", "b:1")];
        assert_eq!(of(&set, "http://k").as_deref(), Some("the proxy http://a:1 (HTTP_PROXY)"));
        let in_cgi = [&set[..], &[("REQUEST_METHOD", "GET")]].concat();
        assert_eq!(of(&in_cgi, "http://k"), None);
        assert_eq!(of(&in_cgi, "https://k").as_deref(), Some("the proxy http://b:1 (HTTPS_PROXY)"));
        let all = [&in_cgi[..], &[("ALL_PROXY", "c:1")]].concat();
        assert_eq!(of(&all, "http://k").as_deref(), Some("the proxy http://c:1 (ALL_PROXY)"));
    }

    #[test]
    fn neither_the_password_of_a_proxy_is_shown_nor_an_address_that_cannot_be_one() {
        let shown = of(&[("HTTP_PROXY", "http://me:hunter2@a:3128")], "http://k");
        assert_eq!(shown.as_deref(), Some("the proxy http://a:3128 (HTTP_PROXY)"));
        let shown = of(&[("HTTP_PROXY", "socks5://me:hunter2@a")], "http://k");
        assert_eq!(shown.as_deref(), Some("the proxy of HTTP_PROXY"));
    }
}
