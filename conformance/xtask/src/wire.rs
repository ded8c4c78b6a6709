//! A TCP relay that delays requests and breaks connections on request.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::set_socket_linger;

use crate::ports;

const BUFFER: usize = 64 << 10;

/// The direction in which bytes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Answers.
    ToClient,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both sides see an orderly end of the stream.
    Cut,
    /// Both sides receive a reset.
    Reset,
    /// Nothing passes in either direction, without any notice, until [`Wire::heal`].
    Stall,
}

/// A fault that waits for its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The direction in which bytes are counted.
    pub direction: Direction,
    /// How many bytes pass first, over all connections, since the fault was armed or the previous one happened. The
    /// connection on which the next byte arrives is the one that breaks: with [`Direction::ToClient`] and 0, the server
    /// has done the work, and its answer is lost.
    pub after: u64,
    /// What happens to the connection.
    pub kind: Break,
}

/// A TCP proxy between a client and a server on the loopback interface, which delays requests, and breaks connections at
/// a chosen byte.
///
/// Without a delay or an armed fault it passes everything on at once. When dropped, it closes its connections.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Wire {
    /// Starts a relay to this port of 127.0.0.1. If no server listens there, connections are dropped.
    pub fn to(server: u16) -> Result<Self> {
        let listener = ports::listen()?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, server, &shared)
        });
        Ok(Self { port, shared, accepting: Some(accepting) })
    }

    /// Returns its own port of 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on delays each request by this time, as a server does that is far away: what a client sends first on a
    /// connection, and what it sends first after an answer. What follows passes at once.
    pub fn delay_requests(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// Arms a fault, which happens once, after those that were armed before it.
    pub fn arm(&self, fault: Fault) {
        self.shared.state().armed.push_back(fault);
    }

    /// Returns how many faults haven't happened yet.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.shared.state().armed.len()
    }

    /// Disarms all faults, and continues stalled connections.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.armed.clear();
        state.passed = 0;
        state.stalled.clear();
        self.shared.changed.notify_all();
    }

    /// Breaks every open connection now; new ones pass. [`Break::Stall`] stalls them.
    pub fn break_all(&self, kind: Break) {
        let mut state = self.shared.state();
        for connection in state.open_connections() {
            match kind {
                Break::Stall => drop(state.stalled.insert(connection.number)),
                _ => connection.close(kind),
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
        self.break_all(Break::Cut);
        // Wakes the listener.
        let _ = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, self.port).into(), Duration::from_secs(1));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The delay of each request.
    delay: Duration,
    armed: VecDeque<Fault>,
    /// The number of bytes in the direction of the first armed fault since it became the first.
    passed: u64,
    stalled: HashSet<u64>,
    connections: Vec<Weak<Connection>>,
    next: u64,
    closed: bool,
}

impl State {
    fn open_connections(&mut self) -> Vec<Arc<Connection>> {
        self.connections.retain(|connection| connection.strong_count() > 0);
        self.connections.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many of these bytes pass now, and what then happens to their connection. Waits while the connection
    /// is stalled.
    fn pass(&self, connection: u64, direction: Direction, bytes: usize) -> (usize, Option<Break>) {
        let stalled = |state: &mut State| !state.closed && state.stalled.contains(&connection);
        let mut state =
            self.changed.wait_while(self.state(), stalled).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return (0, Some(Break::Cut));
        }
        let Some(fault) = state.armed.front().copied().filter(|fault| fault.direction == direction) else {
            return (bytes, None);
        };
        let left = usize::try_from(fault.after - state.passed).unwrap_or(usize::MAX);
        if bytes <= left {
            state.passed += bytes as u64;
            return (bytes, None);
        }
        state.armed.pop_front();
        state.passed = 0;
        if fault.kind == Break::Stall {
            state.stalled.insert(connection);
        }
        (left, Some(fault.kind))
    }
}

#[derive(Debug)]
struct Connection {
    number: u64,
    client: TcpStream,
    server: TcpStream,
    broken: Mutex<bool>,
    /// Whether something was sent since the last answer.
    is_asked: AtomicBool,
}

impl Connection {
    /// Records that bytes pass in this direction. Returns whether a request begins with them.
    fn begins_request(&self, direction: Direction) -> bool {
        let is_request = direction == Direction::ToServer;
        !self.is_asked.swap(is_request, Ordering::Relaxed) && is_request
    }

    fn is_broken(&self) -> bool {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection in both directions; both pumps notice.
    fn close(&self, kind: Break) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        for side in [&self.client, &self.server] {
            if kind == Break::Reset {
                // The reset is sent when both pumps have released the socket. Until then only its reading end is shut
                // down, which wakes them and sends nothing.
                let _ = set_socket_linger(side, Some(Duration::ZERO));
                let _ = side.shutdown(Shutdown::Read);
            } else {
                let _ = side.shutdown(Shutdown::Both);
            }
        }
    }
}

fn accept(listener: &TcpListener, server: u16, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.state().closed {
            return;
        }
        // A failure on either side drops the client's connection, as a missing server would.
        if let Ok(client) = client {
            let _ = connect(client, server, shared);
        }
    }
}

fn connect(client: TcpStream, server: u16, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let connection = {
        let mut state = shared.state();
        state.next += 1;
        let connection = Connection {
            number: state.next,
            client,
            server,
            broken: Mutex::new(false),
            is_asked: AtomicBool::new(false),
        };
        let connection = Arc::new(connection);
        state.open_connections();
        state.connections.push(Arc::downgrade(&connection));
        connection
    };
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (connection, shared) = (Arc::clone(&connection), Arc::clone(shared));
        thread::spawn(move || {
            if pump(&connection, direction, &shared).is_err() {
                connection.close(Break::Cut);
            }
        });
    }
    Ok(())
}

/// Passes on what arrives in one direction until it ends; an error means a broken connection.
fn pump(connection: &Connection, direction: Direction, shared: &Shared) -> io::Result<()> {
    let (mut from, mut to) = match direction {
        Direction::ToServer => (&connection.client, &connection.server),
        Direction::ToClient => (&connection.server, &connection.client),
    };
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer)?;
        if connection.is_broken() {
            return Ok(());
        }
        if read == 0 {
            return to.shutdown(Shutdown::Write);
        }
        if connection.begins_request(direction) {
            let delay = shared.state().delay;
            thread::sleep(delay);
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let (now, fault) = shared.pass(connection.number, direction, rest.len());
            to.write_all(&rest[..now])?;
            rest = &rest[now..];
            if let Some(kind @ (Break::Cut | Break::Reset)) = fault {
                connection.close(kind);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Instant;

    use super::*;

    /// A wire to a server that answers every byte with the same byte.
    fn echo() -> Wire {
        let listener = ports::listen().unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        Wire::to(port).unwrap()
    }

    fn connected(wire: &Wire) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, wire.port())).unwrap()
    }

    /// Sends this much, and reads the answer until its end.
    fn exchange(stream: &TcpStream, bytes: usize) -> (usize, io::Result<()>) {
        let mut sender = stream.try_clone().unwrap();
        let sending = thread::spawn(move || {
            sender.write_all(&vec![7; bytes]).and_then(|()| sender.shutdown(Shutdown::Write))
        });
        let mut back = Vec::new();
        let ended = (&mut &*stream).read_to_end(&mut back).map(drop);
        let _ = sending.join();
        (back.len(), ended)
    }

    #[test]
    fn without_a_fault_all_bytes_and_the_end_pass_in_both_directions() {
        let wire = echo();
        let (bytes, ended) = exchange(&connected(&wire), 1_000_000);
        assert_eq!((bytes, ended.is_ok()), (1_000_000, true));
    }

    #[test]
    fn each_request_on_a_connection_is_delayed() {
        let wire = echo();
        let delay = Duration::from_millis(40);
        wire.delay_requests(delay);
        let began = Instant::now();
        let mut stream = connected(&wire);
        for _ in 0..3 {
            stream.write_all(&[7]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        assert!(began.elapsed() >= delay * 3, "{:?}", began.elapsed());
        wire.delay_requests(Duration::ZERO);
        assert_eq!(exchange(&stream, 1_000_000).0, 1_000_000);
    }

    #[test]
    fn a_request_begins_with_the_first_bytes_on_a_connection_and_after_each_answer() {
        let listener = ports::listen().unwrap();
        let stream = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let connection = Connection {
            number: 1,
            client: stream(),
            server: stream(),
            broken: Mutex::new(false),
            is_asked: AtomicBool::new(false),
        };
        let begins = |direction| connection.begins_request(direction);
        let passed = [Direction::ToServer, Direction::ToServer, Direction::ToClient, Direction::ToClient];
        for _ in 0..2 {
            assert_eq!(passed.map(begins), [true, false, false, false]);
        }
    }

    #[test]
    fn a_cut_lets_exactly_its_bytes_pass_and_happens_once() {
        let wire = echo();
        wire.arm(Fault { direction: Direction::ToClient, after: 100_001, kind: Break::Cut });
        let (bytes, _) = exchange(&connected(&wire), 200_000);
        assert_eq!((bytes, wire.armed()), (100_001, 0));
        assert_eq!(exchange(&connected(&wire), 200_000).0, 200_000);
    }

    #[test]
    fn bytes_are_counted_over_connections_and_faults_happen_one_after_the_other() {
        let wire = echo();
        for kind in [Break::Cut, Break::Reset] {
            wire.arm(Fault { direction: Direction::ToServer, after: 1500, kind });
        }
        assert_eq!(exchange(&connected(&wire), 1000).0, 1000);
        assert!(exchange(&connected(&wire), 1000).0 <= 500);
        assert_eq!(wire.armed(), 1);
        assert_eq!(exchange(&connected(&wire), 1000).0, 1000);
        assert!(exchange(&connected(&wire), 1000).0 <= 500);
        assert_eq!(wire.armed(), 0);
    }

    #[test]
    fn a_reset_is_no_orderly_end() {
        let wire = echo();
        wire.arm(Fault { direction: Direction::ToClient, after: 0, kind: Break::Reset });
        let (bytes, ended) = exchange(&connected(&wire), 1);
        assert_eq!((bytes, ended.unwrap_err().kind()), (0, ErrorKind::ConnectionReset));
    }

    #[test]
    fn a_stalled_connection_gives_nothing_until_it_is_healed_and_then_everything() {
        let wire = echo();
        wire.arm(Fault { direction: Direction::ToClient, after: 10, kind: Break::Stall });
        let mut stream = connected(&wire);
        stream.write_all(&[7; 30]).unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(exchange(&connected(&wire), 5).0, 5, "others pass");
        wire.heal();
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut [0; 20]).unwrap();
    }

    #[test]
    fn open_connections_break_on_command_and_with_the_wire() {
        let wire = echo();
        let mut ends = Vec::new();
        for _ in 0..2 {
            let mut stream = connected(&wire);
            stream.write_all(&[7]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            ends.push(stream);
        }
        wire.break_all(Break::Cut);
        assert!(ends.iter_mut().all(|stream| matches!(stream.read(&mut [0]), Ok(0))));
        let mut last = connected(&wire);
        last.write_all(&[7]).unwrap();
        last.read_exact(&mut [0]).unwrap();
        drop(wire);
        assert!(matches!(last.read(&mut [0]), Ok(0)));
    }
}
