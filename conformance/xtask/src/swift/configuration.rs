//! Writes the configuration files of Swift and Keystone from the templates in `xtask/swift`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Service, Swift};
use crate::{ports, run, template};

const SCRIPTS: [(&str, &str); 3] = [
    ("identity.py", include_str!("../../swift/identity.py")),
    ("local_cache.py", include_str!("../../swift/local_cache.py")),
    ("swift_server.py", include_str!("../../swift/swift_server.py")),
];
const SWIFT: &str = include_str!("../../swift/swift.conf");
const STORAGE: &str = include_str!("../../swift/storage.conf");
const PROXY: &str = include_str!("../../swift/proxy.conf");
const KEYSTONE: &str = include_str!("../../swift/keystone.conf");

/// The ports of the servers.
#[derive(Debug)]
pub(super) struct Ports {
    proxy: u16,
    keystone: u16,
    /// The ports of each node: object, container, account.
    nodes: Vec<[u16; 3]>,
}

impl Ports {
    /// Finds free ports for this number of nodes.
    pub(super) fn find(nodes: usize) -> Result<Self> {
        let port = || -> Result<u16> { Ok(ports::listen()?.local_addr()?.port()) };
        let nodes = (0..nodes).map(|_| Ok([port()?, port()?, port()?])).collect::<Result<_>>()?;
        Ok(Self { proxy: port()?, keystone: port()?, nodes })
    }

    /// Returns the server's port; 0, on which nothing listens, for a node that doesn't exist.
    pub(super) fn of(&self, service: Service) -> u16 {
        let of_node = |node: usize, kind: usize| self.nodes.get(node - 1).map_or(0, |ports| ports[kind]);
        match service {
            Service::Object(node) => of_node(node, 0),
            Service::Container(node) => of_node(node, 1),
            Service::Account(node) => of_node(node, 2),
            Service::Proxy => self.proxy,
            Service::Keystone => self.keystone,
        }
    }

    /// Returns the ports of each node, separated by commas.
    pub(super) fn triples(&self) -> Vec<String> {
        self.nodes.iter().map(|ports| ports.map(|port| port.to_string()).join(",")).collect()
    }
}

impl Swift {
    /// Writes every configuration file, and creates the nodes' directories.
    pub(super) fn configure(&self) -> Result<()> {
        let options = &self.options;
        ensure!(
            (1..=options.nodes).contains(&options.replicas),
            "at most one replica a node, and at least one"
        );
        ensure!(options.token_life.as_secs() > 0, "a token lives for a second at least");
        for (name, text) in SCRIPTS {
            self.write(name, text, &[])?;
        }
        let (names, bytes) = (options.listing_names.to_string(), options.max_file_bytes.to_string());
        self.write("swift.conf", SWIFT, &[("LISTING_NAMES", &names), ("MAX_FILE_SIZE", &bytes)])?;
        for service in self.services() {
            match service {
                Service::Proxy => self.configure_proxy()?,
                Service::Keystone => self.configure_keystone()?,
                storage => self.configure_storage(storage, "0")?,
            }
        }
        Ok(())
    }

    /// Writes the configuration of a storage server; `reserve`, such as `0` or `100%`, of the disk must stay free.
    pub(super) fn configure_storage(&self, service: Service, reserve: &str) -> Result<()> {
        let name = service.to_string();
        let (kind, node) = name.split_once('-').context("a storage server has a node")?;
        let devices = self.directory.join(format!("n{node}"));
        fs::create_dir_all(devices.join(format!("d{node}")))?;
        let values = [("KIND", kind), ("DEVICES", &devices.to_string_lossy()), ("RESERVE", reserve)];
        self.write_server(service, STORAGE, &values)
    }

    fn configure_proxy(&self) -> Result<()> {
        let life = self.options.token_life.as_secs().to_string();
        let rate = |seconds| format!("container_ratelimit_0 = {}", 1.0 / f64::from(seconds));
        let limit = self.options.seconds_between_writes.map(rate);
        let auth = if self.options.keystone { "authtoken keystoneauth tempauth" } else { "tempauth" };
        let values = [
            ("AUTH", auth),
            ("TEMPAUTH_PREFIX", self.prefix_v1()),
            ("TOKEN_LIFE", &life),
            ("RATELIMIT", limit.as_deref().unwrap_or_default()),
            ("MANIFEST_SEGMENTS", &self.options.manifest_segments.to_string()),
            ("BULK", if self.options.bulk_delete { "bulk" } else { "" }),
            ("KEYSTONE_PORT", &self.port(Service::Keystone).to_string()),
        ];
        self.write_server(Service::Proxy, PROXY, &values)
    }

    fn configure_keystone(&self) -> Result<()> {
        let directory = self.keystone_directory();
        fs::create_dir_all(&directory)?;
        let life = self.options.token_life.as_secs().to_string();
        let values = [("DIRECTORY", &*directory.to_string_lossy()), ("TOKEN_LIFE", &life)];
        self.write("keystone/keystone.conf", KEYSTONE, &values)
    }

    fn write_server(&self, service: Service, template: &str, values: &[(&str, &str)]) -> Result<()> {
        let user = run::stdout(Command::new("id").arg("-un"))?;
        let port = self.port(service).to_string();
        let common =
            [("PORT", &*port), ("USER", user.trim()), ("DIRECTORY", &self.directory.to_string_lossy())];
        self.write(&format!("{service}.conf"), template, &[&common, values].concat())
    }

    fn write(&self, name: &str, template: &str, values: &[(&str, &str)]) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, template::fill(template, values))
            .with_context(|| format!("writing {}", path.display()))
    }
}
