//! A real OpenStack Swift on the loopback interface, whose servers a test can stop, kill and damage.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Result;
use rustix::process::Signal;

mod configuration;
mod damage;
mod environment;
mod options;
mod requests;
mod service;

use configuration::Ports;
use environment::Seed;

pub use options::SwiftOptions;
pub use service::{Daemon, Service};

use crate::servers::Servers;
use crate::{Scratch, SwiftInstallation, Wire, http, run};

/// A real OpenStack Swift, with a real Keystone if requested, on free ports of 127.0.0.1; stopped when dropped.
///
/// Its files are in the scratch directory, whose guardian ends it even after a `kill -9`. The servers run as the
/// current user, since the PostgreSQL user may have no permission for the Python that they need. The daemons of a real
/// Swift run only when [`Self::once`] is called.
///
/// Clients can reach the proxy directly, or through [`Self::wire`], which cuts and stalls connections on request.
#[derive(Debug)]
pub struct Swift {
    scratch: Arc<Scratch>,
    installation: SwiftInstallation,
    directory: PathBuf,
    options: SwiftOptions,
    ports: Ports,
    wire: Wire,
    servers: Servers<Service>,
    seed: Option<Seed>,
}

impl Swift {
    /// Starts it in the scratch directory, and returns when every server is ready. Use one for each scratch directory.
    pub fn start(scratch: &Arc<Scratch>, options: SwiftOptions) -> Result<Self> {
        let installation = SwiftInstallation::ensure()?;
        let directory = scratch.directory("swift")?;
        let ports = Ports::find(options.nodes)?;
        let wire = Wire::to(ports.of(Service::Proxy))?;
        let scratch = Arc::clone(scratch);
        let servers = Servers::new(&directory);
        let mut swift = Self { scratch, installation, directory, options, ports, wire, servers, seed: None };
        swift.configure()?;
        swift.start_all()?;
        if swift.options.keystone {
            swift.seed = Some(Seed::read(&swift.keystone_directory())?);
        }
        Ok(swift)
    }

    /// Returns the relay between the proxy and the clients that use it; see [`crate::Environment::wired`].
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Returns its scratch directory.
    #[must_use]
    pub fn scratch(&self) -> &Arc<Scratch> {
        &self.scratch
    }

    /// Returns the port of 127.0.0.1 on which the server listens.
    #[must_use]
    pub fn port(&self, service: Service) -> u16 {
        self.ports.of(service)
    }

    /// Returns the command-line client `swift` of python-swiftclient, in the scratch directory, without any settings in
    /// its environment.
    #[must_use]
    pub fn client(&self) -> Command {
        self.here(&self.installation.client())
    }

    /// Ends the server as `kill -9` does, and returns when it is gone. A stopped server is no error.
    pub fn kill(&self, service: Service) -> Result<()> {
        self.servers.kill(service)
    }

    /// Starts a server that was killed, and returns when it is ready.
    pub fn up(&self, service: Service) -> Result<()> {
        self.spawn(service)?;
        self.wait_for(service)
    }

    /// Freezes the server: it still accepts connections, and never answers.
    pub fn stop(&self, service: Service) -> Result<()> {
        self.servers.signal(service, Signal::STOP)
    }

    /// Continues a frozen server.
    pub fn cont(&self, service: Service) -> Result<()> {
        self.servers.signal(service, Signal::CONT)
    }

    /// Ends every outage: continues frozen servers, starts killed ones, heals the wire.
    pub fn mend(&self) -> Result<()> {
        self.wire.heal();
        for service in self.services() {
            if self.cont(service).is_err() {
                self.up(service)?;
            }
        }
        Ok(())
    }

    /// Runs a daemon once on every node, and returns when it has finished.
    pub fn once(&self, daemon: Daemon) -> Result<()> {
        for node in 1..=self.options.nodes {
            self.run_script(&["once", &daemon.to_string(), &node.to_string()])?;
        }
        Ok(())
    }

    /// Adds the names in the file, one on each line, to the listing of an existing container, as objects of 1 MiB that
    /// were never stored: a large container within a second.
    pub fn list_only(&self, account: &str, container: &str, names: &Path) -> Result<()> {
        self.run_script(&["list", account, container, &names.to_string_lossy()]).map(drop)
    }

    /// Makes every object server refuse new data because its disk is full: the proxy answers writes with 503. Restarts
    /// them.
    pub fn fill_disks(&self) -> Result<()> {
        self.restart_object_servers("100%")
    }

    /// Reverts [`Self::fill_disks`].
    pub fn free_disks(&self) -> Result<()> {
        self.restart_object_servers("0")
    }

    /// Sets how many bytes [`Self::account_v1`] may contain in total, or removes that limit.
    pub fn limit_account(&self, bytes: Option<u64>) -> Result<()> {
        let quota = bytes.map_or_else(String::new, |bytes| bytes.to_string());
        let mut post = self.client();
        post.envs(self.environment_v1_operator()).args(["post", "-m", &format!("quota-bytes:{quota}")]);
        run::stdout(&mut post).map(drop)
    }

    /// Returns the server's log of all its starts.
    pub fn log(&self, service: Service) -> Result<String> {
        self.servers.log(service)
    }

    fn services(&self) -> Vec<Service> {
        let nodes = 1..=self.options.nodes;
        let on_node = |node| [Service::Object(node), Service::Container(node), Service::Account(node)];
        let mut services: Vec<Service> = nodes.flat_map(on_node).collect();
        services.push(Service::Proxy);
        services.extend(self.options.keystone.then_some(Service::Keystone));
        services
    }

    fn start_all(&self) -> Result<()> {
        // Keystone takes the longest to start, and needs no rings.
        if self.options.keystone {
            self.spawn(Service::Keystone)?;
        }
        self.make_rings()?;
        let services = self.services();
        let of_swift = services.iter().filter(|&&service| service != Service::Keystone);
        of_swift.copied().try_for_each(|service| self.spawn(service))?;
        services.iter().copied().try_for_each(|service| self.wait_for(service))
    }

    fn make_rings(&self) -> Result<()> {
        let replicas = self.options.replicas.to_string();
        let nodes = self.ports.triples();
        let arguments = ["rings", &replicas].into_iter().chain(nodes.iter().map(String::as_str));
        self.run_script(&arguments.collect::<Vec<_>>()).map(drop)
    }

    fn spawn(&self, service: Service) -> Result<()> {
        let command = match service {
            Service::Keystone => self.keystone_command(),
            _ => self.script(&["serve", &service.to_string()]),
        };
        self.servers.spawn(service, command)
    }

    fn wait_for(&self, service: Service) -> Result<()> {
        let path = if service == Service::Keystone { "/v3" } else { "/healthcheck" };
        self.servers
            .wait_for(service, || http::get(self.port(service), path).is_ok_and(|status| status == 200))
    }

    fn restart_object_servers(&self, reserve: &str) -> Result<()> {
        for node in 1..=self.options.nodes {
            let server = Service::Object(node);
            self.configure_storage(server, reserve)?;
            self.kill(server)?;
            self.up(server)?;
        }
        Ok(())
    }

    fn run_script(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(&mut self.script(arguments))
    }

    /// The command `python swift_server.py DIRECTORY ARGUMENTS`.
    fn script(&self, arguments: &[&str]) -> Command {
        let mut command = self.here(&self.installation.python());
        command.arg("swift_server.py").arg(&self.directory).args(arguments);
        command
    }

    /// The command `python identity.py DIRECTORY PORT PROXY_PORT WIRE_PORT`.
    fn keystone_command(&self) -> Command {
        let mut command = self.here(&self.installation.python());
        let ports = [self.port(Service::Keystone), self.port(Service::Proxy), self.wire.port()];
        command.args(["-W", "ignore", "identity.py"]).arg(self.keystone_directory());
        command.args(ports.map(|port| port.to_string()));
        command
    }

    /// A command of the current user in the guarded directory, without our environment.
    fn here(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).env_clear();
        command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")]);
        command.env("HOME", &self.directory).env("PYTHONUNBUFFERED", "1");
        command
    }

    fn keystone_directory(&self) -> PathBuf {
        self.directory.join("keystone")
    }
}
