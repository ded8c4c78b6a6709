//! `NO_PROXY`, as curl reads it: <https://curl.se/libcurl/c/CURLOPT_NOPROXY.html>

use std::net::IpAddr;

use url::Host;

/// The hosts that are reached without a proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct NoProxy {
    all: bool,
    entries: Vec<String>,
}

impl NoProxy {
    /// Parses a list of names and addresses, with commas or blanks between them. A `*` stands for all hosts only if it
    /// is alone.
    pub(super) fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Self { all: list == "*", entries: entries.map(str::to_ascii_lowercase).collect() }
    }

    pub(super) fn contains(&self, host: &Host<&str>) -> bool {
        let fits = |entry: &String| match host {
            Host::Domain(name) => names(entry, name),
            Host::Ipv4(address) => covers(entry, (*address).into()),
            Host::Ipv6(address) => covers(entry, (*address).into()),
        };
        self.all || self.entries.iter().any(fits)
    }
}

/// Whether the entry is this name, or a domain that it is in. A dot at the beginning of the entry, and one at the end
/// of either, have no meaning.
fn names(entry: &str, name: &str) -> bool {
    let entry = entry.strip_suffix('.').unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    let rest = name.strip_suffix('.').unwrap_or(name).strip_suffix(entry);
    !entry.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether the entry is this address, or a network such as `10.0.0.0/8` that it is in.
fn covers(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = entry.split_once('/').unwrap_or((entry, ""));
    let Ok(network) = network.parse::<IpAddr>() else { return false };
    let bits = bits.parse::<u32>().unwrap_or(0);
    let (network, address, width) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits().into(), address.to_bits().into(), u32::BITS)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), u128::BITS),
        _ => return false,
    };
    let rest = if bits == 0 { 0 } else { width.saturating_sub(bits) };
    bits <= width && (network ^ address).checked_shr(rest).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of curl 7.88.1, except those for networks of IPv6, which later versions have corrected.
    #[test]
    fn hosts_are_excepted_as_by_curl() {
        for (list, host, is_excepted) in [
            ("example.com", "example.com", true),
            (".example.com", "example.com", true),
            (".example.com", "www.example.com", true),
            ("example.com", "www.example.com", true),
            ("example.com", "notexample.com", false),
            ("EXAMPLE.com", "example.COM", true),
            ("example.com.", "example.com", true),
            ("example.com", "example.com.", true),
            ("a b example.com", "example.com", true),
            ("a, example.com", "example.com", true),
            ("a ,example.com", "example.com", true),
            (",,a,,example.com", "example.com", true),
            ("..example.com", "example.com", false),
            ("com", "example.com", true),
            (".", "example.com", false),
            ("*", "x.y", true),
            ("*,a", "x.y", false),
            (" * ", "x.y", false),
            ("a,*", "x.y", false),
            ("*.example.com", "www.example.com", false),
            ("example.com:80", "example.com", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1/", "127.0.0.1", true),
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/33", "127.0.0.0", false),
            ("127.0.0.0/0", "127.0.0.5", false),
            ("192.168.0.0/16", "192.169.3.4", false),
            ("192.168.0.0/16", "192.168.3.4", true),
            ("0.0.1", "10.0.0.1", false),
            ("localhost", "127.0.0.1", false),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", false),
            ("fd00::/8", "[fd12:3::4]", true),
            ("fd00::/8", "[fe12:3::4]", false),
        ] {
            let url = url::Url::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(NoProxy::parse(list).contains(&url.host().unwrap()), is_excepted, "{list} {host}");
        }
    }
}
