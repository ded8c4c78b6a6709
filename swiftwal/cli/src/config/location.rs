//! The URL of a repository.

use std::{env, fmt, path::Path, str::FromStr};

use url::Url;

use super::ConfigError;

/// The URL of a repository. It contains no password and no query, which might contain one, so it may be shown.
///
/// Messages show its `Display`: `container NAME` for a container of Swift without a prefix, otherwise the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location(Url);

impl Location {
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// Returns the URL of a container of Swift.
    pub(super) fn of_container(name: &str) -> Result<String, ConfigError> {
        if name.is_empty() || name.contains('/') {
            return Err(ConfigError::BadContainer(name.to_owned()));
        }
        let mut url = "swift://".to_owned();
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(byte.into()),
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        Ok(url)
    }

    /// Returns the name, if this is a container of Swift without a prefix.
    fn container(&self) -> Option<&str> {
        let whole = self.0.scheme() == "swift" && matches!(self.0.path(), "" | "/");
        self.0.host_str().filter(|_| whole)
    }
}

impl FromStr for Location {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if !text.contains("://") {
            return Err(no_scheme(text));
        }
        // An invalid text isn't shown: it may contain a password.
        let url: Url = text.parse().map_err(ConfigError::BadUrl)?;
        if url.password().is_some() {
            return Err(ConfigError::PasswordInUrl { scheme: url.scheme().to_owned() });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConfigError::QueryInUrl { scheme: url.scheme().to_owned() });
        }
        Ok(Self(url))
    }
}

fn no_scheme(text: &str) -> ConfigError {
    let path = text.strip_prefix("file:").unwrap_or(text);
    let path = env::current_dir().unwrap_or_default().join(Path::new(path));
    let directory =
        Url::from_file_path(path).map_or_else(|()| "file:///directory".to_owned(), |url| url.to_string());
    let container =
        Location::of_container(text).map_or_else(|_| String::new(), |url| format!(", for a container {url}"));
    ConfigError::NoScheme { text: text.to_owned(), directory, container }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.container() {
            Some(name) => write!(f, "container {name}"),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        crate::message::chain(&text.parse::<Location>().unwrap_err())
    }

    #[test]
    fn a_whole_container_is_called_by_its_name_and_all_else_by_its_url() {
        for (url, shown) in [
            ("swift://PgProd", "container PgProd"),
            ("swift://pgprod/main", "swift://pgprod/main"),
            ("file:///srv/backups", "file:///srv/backups"),
            ("memory://x", "memory://x"),
        ] {
            assert_eq!(url.parse::<Location>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_container_of_any_name_makes_a_url_and_one_with_a_slash_none() {
        let url = Location::of_container("Größe 1#x").unwrap();
        assert_eq!(url, "swift://Gr%C3%B6%C3%9Fe%201%23x");
        assert_eq!(url.parse::<Location>().unwrap().url().as_str(), url);
        assert!(Location::of_container("a/b").is_err() && Location::of_container("").is_err());
    }

    #[test]
    fn a_path_is_no_url_and_the_right_one_is_told() {
        assert_eq!(
            message("/srv/my backups"),
            "'/srv/my backups' is not a URL; for a directory use file:///srv/my%20backups"
        );
        assert_eq!(
            message("file:/srv/backups"),
            "'file:/srv/backups' is not a URL; for a directory use file:///srv/backups"
        );
        let message = message("pgprod");
        assert!(
            message.contains("file:///") && message.ends_with(", for a container swift://pgprod"),
            "{message}"
        );
    }

    #[test]
    fn a_password_is_refused_and_never_shown() {
        for url in ["swift://me:hunter2@pgprod", "swift://me:hunter2@pg prod", "swift://me:hunter2@[pgprod"] {
            assert!(!message(url).contains("hunter2"), "{}", message(url));
        }
        assert!(
            message("swift://me:hunter2@pgprod")
                .starts_with("the repository's URL, swift://…, contains a password")
        );
    }

    #[test]
    fn a_query_is_refused_and_never_shown() {
        for url in ["swift://pgprod?password=hunter2", "file:///backup#hunter2"] {
            let message = message(url);
            assert!(message.contains("%3F") && !message.contains("hunter2"), "{message}");
        }
    }
}
