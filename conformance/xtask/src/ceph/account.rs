//! The user of the gateway: credentials, suspension and quotas.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::Ceph;
use crate::{Environment, Swift};

const USER: &str = "backups";
const SUBUSER: &str = "backups:archiver";
const SECRET: &str = "archiver-secret";

impl Ceph {
    /// Version 1 as a subuser with full access.
    #[must_use]
    pub fn environment_v1(&self) -> Environment {
        let url = format!("http://127.0.0.1:{}/auth/1.0", self.ports.gateway);
        self.environment(&[("ST_AUTH", &url), ("ST_USER", SUBUSER), ("ST_KEY", SECRET)])
    }

    /// Version 3 with a password, as a member of the project `backups` in the Keystone beside this Swift, which must be
    /// the one that the gateway was started with. Its catalog doesn't know the gateway: `OS_STORAGE_URL` names it.
    pub fn environment_v3_password(&self, keystone: &Swift) -> Result<Environment> {
        let account = keystone.account_v3()?;
        let url = format!("http://127.0.0.1:{}/swift/v1/{account}", self.ports.gateway);
        let settings: Vec<_> = keystone.environment_v3_password()?.into_iter().collect();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(self.environment(&settings).with("OS_STORAGE_URL", &url))
    }

    /// The settings for tests, which can't use this type: both of the above, each with the prefix `SWIFT_TEST_CEPH_`.
    pub fn test_settings(&self, keystone: &Swift) -> Result<BTreeMap<String, String>> {
        let all = self.environment_v1().into_iter().chain(self.environment_v3_password(keystone)?);
        Ok(all.map(|(name, value)| (format!("SWIFT_TEST_CEPH_{name}"), value)).collect())
    }

    /// Suspends the user, whose requests are then refused, although new tokens are still issued.
    pub fn suspend_user(&self) -> Result<()> {
        self.of_user(&["user", "suspend"])
    }

    /// Reverts [`Self::suspend_user`].
    pub fn enable_user(&self) -> Result<()> {
        self.of_user(&["user", "enable"])
    }

    /// Limits each container of the user to this number of objects and of bytes, or removes the limits.
    pub fn limit_containers(&self, objects: Option<u64>, bytes: Option<u64>) -> Result<()> {
        let limit = |option: &str, limit: Option<u64>| {
            format!("--{option}={}", limit.map_or("-1".to_owned(), |limit| limit.to_string()))
        };
        let limits = [limit("max-objects", objects), limit("max-size", bytes)];
        let set = ["quota", "set", "--quota-scope=bucket", &limits[0], &limits[1]];
        self.of_user(&set)?;
        self.of_user(&["quota", "enable", "--quota-scope=bucket"])
    }

    pub(super) fn create_user(&self) -> Result<()> {
        let (name, subuser, secret) =
            (format!("--display-name={USER}"), format!("--subuser={SUBUSER}"), format!("--secret={SECRET}"));
        let create = ["user", "create", &name, &subuser, &secret];
        self.of_user(&[&create, &["--access=full", "--key-type=swift", "--max-buckets=1000000"][..]].concat())
            .context("creating the user of the gateway")
    }

    /// Runs a command for this user.
    fn of_user(&self, arguments: &[&str]) -> Result<()> {
        self.run("radosgw-admin", &[arguments, &["--uid", USER]].concat())
    }

    fn environment(&self, settings: &[(&'static str, &str)]) -> Environment {
        Environment::new(settings, [self.ports.gateway, self.wire.port()])
    }
}
