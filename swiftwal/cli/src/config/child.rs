//! Passes the configuration on to a process of this program.

use std::process::Command;

use super::{Config, Environment, SettingNames};

impl Config {
    /// Lets `command`, which runs this program, use the same repository with the same settings. They may be secrets, so
    /// they are in its environment, where only this user can read them, and not among its arguments. It needs no
    /// configuration file, which may have been a pipe.
    ///
    /// `environment` is that of this process, and `names` are those of all settings.
    pub(crate) fn pass_to(&self, command: &mut Command, environment: Environment, names: &SettingNames) {
        command.args(["--repository", self.repository.url().as_str()]);
        self.put_settings_into(command, environment, names);
    }

    /// Lets processes of this program that `command` starts use the same settings with a repository that they are given.
    pub(crate) fn put_settings_into(
        &self,
        command: &mut Command,
        environment: Environment,
        names: &SettingNames,
    ) {
        for (name, _) in environment {
            let is_source = ["SWIFTWAL_CONFIG", "SWIFTWAL_REPOSITORY", "SWIFTWAL_CONTAINER"]
                .iter()
                .any(|source| name == *source);
            if is_source || name.to_str().is_some_and(|name| names.contains(name)) {
                command.env_remove(name);
            }
        }
        command.envs(&self.settings);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use swiftwal_backends::registry;

    use super::*;
    use crate::config::Flags;

    #[test]
    fn a_process_resolves_the_same_settings_and_has_no_secret_in_its_arguments() {
        let variables = [
            ("SWIFTWAL_CONTAINER", "other"),
            ("SWIFTWAL_CONFIG", ""),
            ("OS_PROJECT_ID", "hidden by the option"),
            ("OS_PASSWORD", "hunter2"),
            ("HOME", "/home/me"),
        ];
        let environment: Environment =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let settings = [("OS_PROJECT_NAME", "backups"), ("OS_USERNAME", "me")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags =
            Flags { container: Some("pgprod".to_owned()), settings: settings.into(), ..Flags::default() };
        let config = Config::resolve(flags, environment.clone(), &registry(), true).ok().unwrap();

        let mut command = Command::new("swiftwal");
        config.pass_to(&mut command, environment.clone(), &SettingNames::of(&registry()));
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["--repository", "swift://pgprod"]);
        let mut inherited: std::collections::BTreeMap<OsString, OsString> = environment.into_iter().collect();
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => drop(inherited.insert(name.to_owned(), value.to_owned())),
                None => drop(inherited.remove(name)),
            }
        }
        let flags = Flags { repository: Some("swift://pgprod".to_owned()), ..Flags::default() };
        let resolved =
            Config::resolve(flags, inherited.into_iter().collect(), &registry(), true).ok().unwrap();
        assert_eq!((resolved.repository, resolved.settings), (config.repository, config.settings));
    }
}
