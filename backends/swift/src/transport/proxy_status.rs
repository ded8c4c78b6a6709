//! Recognises responses that a proxy has made itself, by the header `Proxy-Status`.
//!
//! Sources: RFC 9209 (the header), RFC 8941 (its syntax, a list of items with parameters).

use http::{HeaderMap, HeaderName};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Whether the proxy that is nearest to this client reports an error of its own. The last member of the list is of that
/// proxy. Its parameter `error` says that it couldn't obtain the response; without that the header only says what the
/// proxy has forwarded. A header that doesn't follow the syntax says nothing.
pub(super) fn reports_an_error(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PROXY_STATUS).iter().map(|value| value.to_str().ok());
    let Some(values) = values.collect::<Option<Vec<_>>>() else { return false };
    let values = values.join(",");
    let last = split(&values, ',').and_then(|members| members.last().copied());
    let Some(parameters) = last.and_then(|member| split(member, ';')) else { return false };
    // If a parameter is repeated, the last one counts.
    let error = parameters[1..].iter().rev().find_map(|parameter| parameter.trim().strip_prefix("error="));
    error.is_some_and(is_token)
}

/// Splits a text, except in quoted strings. None if such a string has no end. There is at least one part.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// Whether a value is of the type that `error` has.
fn is_token(value: &str) -> bool {
    let is_first = |character: char| character.is_ascii_alphabetic() || character == '*';
    let is_next =
        |character: char| character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(character);
    value.starts_with(is_first) && value.chars().all(is_next)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn reports(values: &[&str]) -> bool {
        let value = |value: &&str| (PROXY_STATUS, HeaderValue::from_str(value).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in values.iter().map(value) {
            headers.append(name, value);
        }
        reports_an_error(&headers)
    }

    #[test]
    fn an_error_of_the_nearest_proxy_is_found_wherever_it_is_among_the_parameters() {
        for value in [
            "proxy.example; error=connection_refused",
            "proxy.example;error=http_request_denied",
            r#""a proxy, or two; \"error\""; details="no; really, error=x" ; error=dns_error; next-hop=a"#,
            "r34.example.net; received-status=200, nearest; error=http_protocol_error; details=\"\"",
            "a; error=7; error=dns_timeout",
        ] {
            assert!(reports(&[value]), "{value}");
        }
        assert!(reports(&["far", "near; error=dns_error"]));
    }

    #[test]
    fn a_proxy_that_has_only_forwarded_an_answer_reports_no_error() {
        for value in [
            "",
            "proxy.example",
            "proxy.example; received-status=503; next-protocol=h2",
            "far; error=dns_error, near; received-status=502",
            r#"proxy; details="; error=dns_error""#,
            r#"proxy; error="dns_error""#,
            "proxy; error",
            "proxy; error=",
            "proxy; errors=dns_error",
            r#"proxy; error=dns_error; details="cut off"#,
        ] {
            assert!(!reports(&[value]), "{value}");
        }
        assert!(!reports(&[]));
        assert!(!reports(&["far; error=dns_error", "near"]));
    }
}
