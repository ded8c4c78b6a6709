//! The settings by which clients reach Swift.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Service, Swift};
use crate::Environment;

/// The ids that Keystone chose when it was set up.
#[derive(Debug)]
pub(super) struct Seed {
    project: String,
    user: String,
    credential: String,
    secret: String,
}

impl Seed {
    /// Reads them from the file that `identity.py` leaves in Keystone's directory.
    pub(super) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("seed.json");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let seed: Value = serde_json::from_str(&text)?;
        let field = |name: &str| {
            let value = seed[name].as_str().with_context(|| format!("no {name} in {}", path.display()))?;
            anyhow::Ok(value.to_owned())
        };
        Ok(Self {
            project: field("project")?,
            user: field("user")?,
            credential: field("credential")?,
            secret: field("secret")?,
        })
    }
}

impl Swift {
    /// Version 1 as the owner of the account [`Self::account_v1`].
    #[must_use]
    pub fn environment_v1(&self) -> Environment {
        self.v1("test:tester", "testing")
    }

    /// Version 1 as a user of the same account who has no permission there (403) until a container's ACL grants it.
    #[must_use]
    pub fn environment_v1_reader(&self) -> Environment {
        self.v1("test:reader", "reading")
    }

    /// Version 1 as the cluster's administrator, who may limit every account, in the account [`Self::account_v1`].
    #[must_use]
    pub fn environment_v1_operator(&self) -> Environment {
        let url = format!("http://127.0.0.1:{}/v1/{}", self.port(Service::Proxy), self.account_v1());
        self.v1("operator:operator", "operating").with("OS_STORAGE_URL", &url)
    }

    /// Version 3 with a password, as a member of the project `backups`, whose account is [`Self::account_v3`]. As all
    /// of version 3, it is an error without Keystone.
    pub fn environment_v3_password(&self) -> Result<Environment> {
        self.v3_password("archiver", "archiver-secret")
    }

    /// Version 3 with a password, as a user with the role `reader` in that project: every request is answered 403.
    pub fn environment_v3_reader(&self) -> Result<Environment> {
        self.v3_password("reader", "reader-secret")
    }

    /// Version 3 with an application credential of the member, by its id.
    pub fn environment_v3_application_credential(&self) -> Result<Environment> {
        let seed = self.seed()?;
        Ok(self.v3(&[
            ("OS_AUTH_TYPE", "v3applicationcredential"),
            ("OS_APPLICATION_CREDENTIAL_ID", &seed.credential),
            ("OS_APPLICATION_CREDENTIAL_SECRET", &seed.secret),
        ]))
    }

    /// The settings for the tests of `object_store_swift`, which can't use this type: all of the above, each with the
    /// prefix `SWIFT_TEST_`. It is an error without Keystone.
    pub fn test_settings(&self) -> Result<BTreeMap<String, String>> {
        let all = self
            .environment_v1()
            .into_iter()
            .chain(self.environment_v3_password()?)
            .chain(self.environment_v3_application_credential()?)
            .chain([("OS_APPLICATION_CREDENTIAL_NAME", "backup".to_owned())]);
        Ok(all.map(|(name, value)| (format!("SWIFT_TEST_{name}"), value)).collect())
    }

    /// As [`Self::test_settings`], for a Swift with [low limits](crate::SwiftOptions::narrow), which these tests need
    /// as well: version 1, each with the prefix `SWIFT_TEST_NARROW_`.
    #[must_use]
    pub fn narrow_test_settings(&self) -> BTreeMap<String, String> {
        let all = self.environment_v1().into_iter();
        all.map(|(name, value)| (format!("SWIFT_TEST_NARROW_{name}"), value)).collect()
    }

    /// Returns the id of the project `backups`.
    pub fn project_id(&self) -> Result<&str> {
        Ok(&self.seed()?.project)
    }

    /// Returns the id of the user `archiver`, who is the project's member and owns the application credential `backup`.
    pub fn user_id(&self) -> Result<&str> {
        Ok(&self.seed()?.user)
    }

    /// Returns the account of version 1, as in the storage URL.
    #[must_use]
    pub fn account_v1(&self) -> String {
        format!("{}_test", self.prefix_v1())
    }

    /// Returns the account of version 3, as in the storage URL.
    pub fn account_v3(&self) -> Result<String> {
        Ok(format!("AUTH_{}", self.project_id()?))
    }

    /// With both authentication methods, Keystone's accounts have the usual prefix.
    pub(super) fn prefix_v1(&self) -> &'static str {
        if self.options.keystone { "TEMPAUTH" } else { "AUTH" }
    }

    fn v1(&self, user: &str, key: &str) -> Environment {
        let url = format!("http://127.0.0.1:{}/auth/v1.0", self.port(Service::Proxy));
        self.environment(&[("ST_AUTH", &url), ("ST_USER", user), ("ST_KEY", key)])
    }

    fn v3_password(&self, user: &str, password: &str) -> Result<Environment> {
        self.seed()?;
        Ok(self.v3(&[
            ("OS_USERNAME", user),
            ("OS_PASSWORD", password),
            ("OS_PROJECT_NAME", "backups"),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ]))
    }

    fn v3(&self, settings: &[(&'static str, &str)]) -> Environment {
        let url = format!("http://127.0.0.1:{}/v3", self.port(Service::Keystone));
        let common =
            [("OS_AUTH_URL", &*url), ("OS_IDENTITY_API_VERSION", "3"), ("OS_REGION_NAME", "RegionOne")];
        self.environment(&[&common, settings].concat())
    }

    fn environment(&self, settings: &[(&'static str, &str)]) -> Environment {
        Environment::new(settings, [self.port(Service::Proxy), self.wire.port()])
    }

    fn seed(&self) -> Result<&Seed> {
        self.seed.as_ref().context("this Swift was started without Keystone: set SwiftOptions::keystone")
    }
}
