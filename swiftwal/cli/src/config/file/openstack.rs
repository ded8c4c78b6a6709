//! The variables of the OpenStack tools and of the shell that have no effect here, as an `openrc` contains them.

/// The names that don't end in one of [`ENDINGS`].
const NAMES: [&str; 21] = [
    "CLOUDPROMPT_ENABLED",
    "COMPUTE_API_VERSION",
    "NOVA_VERSION",
    "OS_AUTH_PLUGIN",
    "OS_AUTH_STRATEGY",
    "OS_CERT",
    "OS_CLOUDNAME",
    "OS_DOMAIN_ID",
    "OS_DOMAIN_NAME",
    "OS_ENDPOINT",
    "OS_INSECURE",
    "OS_KEY",
    "OS_NO_CACHE",
    "OS_PASSCODE",
    "OS_SERVICE_ENDPOINT",
    "OS_SERVICE_TOKEN",
    "OS_SYSTEM_SCOPE",
    "OS_URL",
    "PS1",
    "PYTHONWARNINGS",
    "no_proxy",
];

/// The endings of settings that there are for each service, as in `OS_IMAGE_API_VERSION`.
const ENDINGS: [&str; 3] = ["_API_VERSION", "_ENDPOINT_OVERRIDE", "_ENDPOINT_TYPE"];

/// Whether the OpenStack tools or the shell know the variable, if it isn't a setting of the storage.
pub(super) fn is_unused(name: &str) -> bool {
    let is_of_a_service = name.starts_with("OS_") && ENDINGS.iter().any(|ending| name.ends_with(ending));
    is_of_a_service || NAMES.contains(&name)
}
