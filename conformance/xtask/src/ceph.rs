//! A real Ceph with its Swift gateway on the loopback interface, whose servers a test can stop and kill.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Result;
use rustix::process::Signal;

mod account;
mod configuration;
mod requests;
mod server;

use configuration::{CLUSTER_ID, OSD_ID, Ports};

pub use server::CephServer;

use crate::servers::Servers;
use crate::{CephInstallation, Scratch, Service, Swift, SwiftInstallation, Wire, http, run};

/// A real Ceph on free ports of 127.0.0.1: a monitor, a manager, an OSD in memory, and the gateway `radosgw`, which
/// speaks Swift's API. Stopped when dropped.
///
/// Its files are in the scratch directory, whose guardian ends it even after a `kill -9`. The servers run as the
/// current user. Clients can reach the gateway directly, or through [`Self::wire`].
#[derive(Debug)]
pub struct Ceph {
    scratch: Arc<Scratch>,
    installation: CephInstallation,
    clients: SwiftInstallation,
    directory: PathBuf,
    ports: Ports,
    wire: Wire,
    servers: Servers<CephServer>,
}

impl Ceph {
    /// Starts it in the scratch directory, and returns when the gateway is ready. Use one for each scratch directory.
    ///
    /// With `keystone`, a Swift with Keystone, the gateway also accepts that Keystone's tokens, and its URLs contain the
    /// account. Without, there is only version 1, and the URLs don't.
    pub fn start(scratch: &Arc<Scratch>, keystone: Option<&Swift>) -> Result<Self> {
        let (installation, clients) = (CephInstallation::ensure()?, SwiftInstallation::ensure()?);
        let directory = scratch.directory("ceph")?;
        let ports = Ports::find()?;
        let wire = Wire::to(ports.gateway)?;
        let servers = Servers::new(&directory);
        let scratch = Arc::clone(scratch);
        let ceph = Self { scratch, installation, clients, directory, ports, wire, servers };
        ceph.configure(keystone.map(|swift| swift.port(Service::Keystone)))?;
        ceph.start_all()?;
        Ok(ceph)
    }

    /// Returns the relay between the gateway and the clients that use it; see [`crate::Environment::wired`].
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Returns its scratch directory.
    #[must_use]
    pub fn scratch(&self) -> &Arc<Scratch> {
        &self.scratch
    }

    /// Returns the command-line client `swift` of python-swiftclient, in the scratch directory, without any settings in
    /// its environment.
    #[must_use]
    pub fn client(&self) -> Command {
        self.here(&self.clients.client())
    }

    /// Ends the server as `kill -9` does, and returns when it is gone. A stopped server is no error.
    pub fn kill(&self, server: CephServer) -> Result<()> {
        self.servers.kill(server)
    }

    /// Starts a server that was killed, and returns when it is ready.
    pub fn up(&self, server: CephServer) -> Result<()> {
        self.spawn(server)?;
        self.wait_for(server)
    }

    /// Freezes the server: it still accepts connections, and never answers.
    pub fn stop(&self, server: CephServer) -> Result<()> {
        self.servers.signal(server, Signal::STOP)
    }

    /// Continues a frozen server.
    pub fn cont(&self, server: CephServer) -> Result<()> {
        self.servers.signal(server, Signal::CONT)
    }

    /// Ends every outage of the gateway and the OSD: continues frozen servers, starts a killed gateway, heals the wire.
    pub fn mend(&self) -> Result<()> {
        self.wire.heal();
        self.cont(CephServer::Osd)?;
        if self.cont(CephServer::Gateway).is_err() {
            self.up(CephServer::Gateway)?;
        }
        Ok(())
    }

    /// Changes an option of the running gateway at once, such as `rgw_max_listing_results`. A restart reverts it.
    pub fn set(&self, option: &str, value: &str) -> Result<()> {
        let socket = self.directory.join("client.rgw.asok");
        self.run("ceph", &["--admin-daemon", &socket.to_string_lossy(), "config", "set", option, value])
    }

    /// Returns the server's log of all its starts.
    pub fn log(&self, server: CephServer) -> Result<String> {
        self.servers.log(server)
    }

    fn start_all(&self) -> Result<()> {
        let monitor = format!("127.0.0.1:{}", self.ports.monitor);
        self.run("monmaptool", &["--create", "--add", "a", &monitor, "--fsid", CLUSTER_ID, "monmap"])?;
        self.run("ceph-mon", &["--mkfs", "-i", "a", "--monmap", "monmap"])?;
        self.up(CephServer::Monitor)?;
        self.spawn(CephServer::Manager)?;
        self.run("ceph", &["osd", "new", OSD_ID, "0"])?;
        self.run("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", OSD_ID])?;
        self.spawn(CephServer::Osd)?;
        // It waits for the others itself.
        self.up(CephServer::Gateway)?;
        self.create_user()
    }

    fn spawn(&self, server: CephServer) -> Result<()> {
        let (program, name) = server.program();
        let mut command = self.program(program)?;
        // In the foreground, with the log on standard error.
        command.args(name).arg("-d");
        self.servers.spawn(server, command)
    }

    /// Returns when the server answers. The manager and the OSD have no port that is known beforehand.
    fn wait_for(&self, server: CephServer) -> Result<()> {
        let connects = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        self.servers.wait_for(server, || match server {
            CephServer::Monitor => connects(self.ports.monitor),
            CephServer::Gateway => {
                http::get(self.ports.gateway, "/swift/info").is_ok_and(|status| status == 200)
            }
            CephServer::Manager | CephServer::Osd => true,
        })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        run::stdout(self.program(program)?.args(arguments)).map(drop)
    }

    /// One of Ceph's programs, with this cluster's configuration.
    fn program(&self, name: &str) -> Result<Command> {
        let mut command = self.here(&self.installation.program(name)?);
        command.env("CEPH_CONF", self.configuration());
        Ok(command)
    }

    /// A command of the current user in the guarded directory, without our environment.
    fn here(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).env_clear().env("HOME", &self.directory);
        command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")]);
        command
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("ceph.conf")
    }
}
