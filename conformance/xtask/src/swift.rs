use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

mod configuration;
mod damage;
mod environment;
mod options;
mod requests;
mod service;

use configuration::Ports;
use environment::Seed;

pub use environment::Environment;
pub use options::SwiftOptions;
pub use requests::LoggedRequest;
pub use service::{Daemon, Service};

use crate::{Scratch, SwiftInstallation, Wire, http, run, until};

/// How much of a log an error shows.
const LAST_LINES: usize = 30;

/// A real OpenStack Swift, with a real Keystone if wanted, on free ports of 127.0.0.1; stopped when dropped.
///
/// Everything lies in the scratch directory, whose guardian ends it even after a `kill -9`. Servers run as we do,
/// not as the PostgreSQL user, who may not be able to read the Python they run on. The daemons of a real Swift run
/// only by [`Self::once`].
///
/// Clients reach the proxy in two ways: straight, or through [`Self::wire`], which cuts and stalls on command.
#[derive(Debug)]
pub struct Swift {
    scratch: Arc<Scratch>,
    installation: SwiftInstallation,
    directory: PathBuf,
    options: SwiftOptions,
    ports: Ports,
    wire: Wire,
    servers: Mutex<HashMap<Service, Child>>,
    seed: Option<Seed>,
}

impl Swift {
    /// Starts it in the scratch directory; returns once every server answers. One for a scratch directory.
    pub fn start(scratch: &Arc<Scratch>, options: SwiftOptions) -> Result<Self> {
        let installation = SwiftInstallation::ensure()?;
        let directory = scratch.directory("swift")?;
        let ports = Ports::find(options.nodes)?;
        let wire = Wire::to(ports.of(Service::Proxy))?;
        let scratch = Arc::clone(scratch);
        let servers = Mutex::default();
        let mut swift = Self { scratch, installation, directory, options, ports, wire, servers, seed: None };
        swift.configure()?;
        swift.start_all()?;
        if swift.options.keystone {
            swift.seed = Some(Seed::read(&swift.keystone_directory())?);
        }
        Ok(swift)
    }

    /// What stands between the proxy and the clients that go through it; see [`Environment::wired`].
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The scratch directory that it lies in.
    #[must_use]
    pub fn scratch(&self) -> &Arc<Scratch> {
        &self.scratch
    }

    /// The port of 127.0.0.1 that the server listens on.
    #[must_use]
    pub fn port(&self, service: Service) -> u16 {
        self.ports.of(service)
    }

    /// The command-line client `swift` of python-swiftclient, in the scratch directory, with nothing in its
    /// environment that says where Swift is.
    #[must_use]
    pub fn client(&self) -> Command {
        self.here(&self.installation.client())
    }

    /// Ends the server as `kill -9` does; returns once it is gone. Fine if it is down already.
    pub fn kill(&self, service: Service) -> Result<()> {
        if let Some(mut child) = self.servers().remove(&service) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts a server that was killed; returns once it answers.
    pub fn up(&self, service: Service) -> Result<()> {
        self.spawn(service)?;
        self.wait_for(service)
    }

    /// Freezes the server: it still takes connections, and never answers.
    pub fn stop(&self, service: Service) -> Result<()> {
        self.signal(service, Signal::STOP)
    }

    /// Lets a frozen server go on where it was.
    pub fn cont(&self, service: Service) -> Result<()> {
        self.signal(service, Signal::CONT)
    }

    /// Ends every outage: lets go on what was frozen, starts what was killed, heals the wire.
    pub fn mend(&self) -> Result<()> {
        self.wire.heal();
        for service in self.services() {
            if self.cont(service).is_err() {
                self.up(service)?;
            }
        }
        Ok(())
    }

    /// Runs a daemon once over every node; returns when it is done.
    pub fn once(&self, daemon: Daemon) -> Result<()> {
        for node in 1..=self.options.nodes {
            self.run_script(&["once", &daemon.to_string(), &node.to_string()])?;
        }
        Ok(())
    }

    /// Puts the names in the file, one a line, into the listing of a container that is there, as objects of 1 MiB
    /// that were never stored: a large container in a second.
    pub fn list_only(&self, account: &str, container: &str, names: &Path) -> Result<()> {
        self.run_script(&["list", account, container, &names.to_string_lossy()]).map(drop)
    }

    /// Makes every object server refuse new data for want of space: writes are answered 503. Restarts them.
    pub fn fill_disks(&self) -> Result<()> {
        self.restart_object_servers("100%")
    }

    /// Ends what [`Self::fill_disks`] began.
    pub fn free_disks(&self) -> Result<()> {
        self.restart_object_servers("0")
    }

    /// Sets how many bytes [`Self::account_v1`] may hold in all, or lifts that limit.
    pub fn limit_account(&self, bytes: Option<u64>) -> Result<()> {
        let quota = bytes.map_or_else(String::new, |bytes| bytes.to_string());
        let mut post = self.client();
        post.envs(self.environment_v1_operator()).args(["post", "-m", &format!("quota-bytes:{quota}")]);
        run::stdout(&mut post).map(drop)
    }

    /// What the server wrote to its log, over all its starts.
    pub fn log(&self, service: Service) -> Result<String> {
        let path = self.log_file(service);
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
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
        // Keystone takes the longest, and needs no rings.
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
        let mut servers = self.servers();
        ensure!(!servers.contains_key(&service), "{service} is up already");
        let mut command = match service {
            Service::Keystone => self.keystone_command(),
            _ => self.script(&["serve", &service.to_string()]),
        };
        let log = OpenOptions::new().create(true).append(true).open(self.log_file(service))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        servers.insert(service, child.with_context(|| format!("starting {service}"))?);
        Ok(())
    }

    fn wait_for(&self, service: Service) -> Result<()> {
        let path = if service == Service::Keystone { "/v3" } else { "/healthcheck" };
        until(&format!("{service} answers"), || {
            if let Some(child) = self.servers().get_mut(&service)
                && let Some(status) = child.try_wait()?
            {
                bail!("{service} ended with {status}:\n{}", self.last_lines(service)?);
            }
            Ok(http::get(self.port(service), path).is_ok_and(|status| status == 200))
        })
    }

    fn signal(&self, service: Service, signal: Signal) -> Result<()> {
        let servers = self.servers();
        let child = servers.get(&service).with_context(|| format!("{service} is not up"))?;
        Ok(kill_process(Pid::from_child(child), signal)?)
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

    fn servers(&self) -> MutexGuard<'_, HashMap<Service, Child>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_script(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(&mut self.script(arguments))
    }

    /// `python swift_server.py DIRECTORY ARGUMENTS`.
    fn script(&self, arguments: &[&str]) -> Command {
        let mut command = self.here(&self.installation.python());
        command.arg("swift_server.py").arg(&self.directory).args(arguments);
        command
    }

    /// `python identity.py DIRECTORY PORT PROXY_PORT WIRE_PORT`.
    fn keystone_command(&self) -> Command {
        let mut command = self.here(&self.installation.python());
        let ports = [self.port(Service::Keystone), self.port(Service::Proxy), self.wire.port()];
        command.args(["-W", "ignore", "identity.py"]).arg(self.keystone_directory());
        command.args(ports.map(|port| port.to_string()));
        command
    }

    /// A command of ours that works where the guardian ends it, with nothing of our environment.
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

    fn log_file(&self, service: Service) -> PathBuf {
        self.directory.join(format!("{service}.log"))
    }

    fn last_lines(&self, service: Service) -> Result<String> {
        let log = self.log(service)?;
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
    }
}

impl Drop for Swift {
    fn drop(&mut self) {
        for child in self.servers().values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
