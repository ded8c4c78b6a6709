//! A relay in front of a real server, which injects faults.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{AbortHandle, JoinSet},
};
use url::Url;

/// Relays TCP connections between a client and a server; counts, cuts and stalls them.
pub(crate) struct Relay {
    url: Url,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct State {
    /// Method and path of each request.
    requests: Mutex<Vec<String>>,
    /// How many more connections to cut, each after `cut_bytes` in either direction.
    cuts: AtomicUsize,
    cut_bytes: AtomicI64,
    /// How many more connections to stall at the same point.
    stalls: AtomicUsize,
    /// The text that is overwritten wherever the client would see it.
    hidden: Mutex<Option<&'static str>>,
    /// How many more connections have one byte changed at that point, on its way to the client.
    flips: AtomicUsize,
    /// A text of the server's: the first connection on which the server sends it is cut before it.
    forbidden: Mutex<Option<&'static str>>,
    /// A part of the first line of the request whose token is made invalid.
    unauthorized: Mutex<Option<&'static str>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Pass,
    Cut,
    Stall,
    Flip,
}

impl Relay {
    /// Starts a relay to the server of this URL.
    pub(crate) async fn to(url: &str) -> Self {
        let mut url = Url::parse(url).unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port_or_known_default().unwrap());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&state))).abort_handle();
        Self { url, state, accepting }
    }

    pub(crate) fn url(&self) -> String {
        self.url.to_string()
    }

    /// The number of requests that were relayed.
    pub(crate) fn requests(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    /// The requests since the previous call, as `PUT /v1/account/container/object`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    /// Cuts the next `connections` connections after `after_bytes` in one direction.
    pub(crate) fn cut(&self, connections: usize, after_bytes: i64) {
        self.state.cut_bytes.store(after_bytes, SeqCst);
        self.state.cuts.store(connections, SeqCst);
    }

    /// How many connections are still to be cut.
    pub(crate) fn cuts_left(&self) -> usize {
        self.state.cuts.load(SeqCst)
    }

    /// Stalls the next `connections` connections after `after_bytes` in one direction.
    pub(crate) fn stall(&self, connections: usize, after_bytes: i64) {
        self.state.cut_bytes.store(after_bytes, SeqCst);
        self.state.stalls.store(connections, SeqCst);
    }

    /// Changes one byte after `after_bytes` on its way to the client, on the next connection.
    pub(crate) fn flip(&self, after_bytes: i64) {
        self.state.cut_bytes.store(after_bytes, SeqCst);
        self.state.flips.store(1, SeqCst);
    }

    /// Cuts the next connection on which the server sends this text, just before it.
    pub(crate) fn cut_before(&self, text: &'static str) {
        *self.state.forbidden.lock().unwrap() = Some(text);
    }

    /// Whether the server hasn't sent that text yet.
    pub(crate) fn is_cut_ahead(&self) -> bool {
        self.state.forbidden.lock().unwrap().is_some()
    }

    /// Makes a token invalid: that of the next request with this text in its first line.
    pub(crate) fn spoil_token_of(&self, text: &'static str) {
        *self.state.unauthorized.lock().unwrap() = Some(text);
    }

    /// Hides this text from the client. It must arrive in one piece.
    pub(crate) fn hide(&self, words: &'static str) {
        *self.state.hidden.lock().unwrap() = Some(words);
    }

    /// Refuses new connections, and ends the open ones.
    pub(crate) fn close(&self) {
        self.accepting.abort();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn forbids(&self, bytes: &[u8]) -> bool {
        let mut forbidden = self.forbidden.lock().unwrap();
        let comes = |text: &&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        forbidden.take_if(|text| comes(&&**text)).is_some()
    }

    fn spoil_token(&self, request: &str, head: &mut [u8]) {
        const NAME: &[u8] = b"x-auth-token: ";
        if self.unauthorized.lock().unwrap().take_if(|text| request.contains(*text)).is_some() {
            let name = head.windows(NAME.len()).position(|window| window == NAME).unwrap();
            head[name + NAME.len()..][..8].fill(b'x');
        }
    }

    fn hide(&self, bytes: &mut [u8]) {
        let Some(words) = *self.hidden.lock().unwrap() else { return };
        while let Some(at) = bytes.windows(words.len()).position(|window| window == words.as_bytes()) {
            bytes[at..at + words.len()].fill(b'x');
        }
    }

    fn fate(&self) -> Fate {
        let take =
            |count: &AtomicUsize| count.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if take(&self.cuts) {
            Fate::Cut
        } else if take(&self.stalls) {
            Fate::Stall
        } else if take(&self.flips) {
            Fate::Flip
        } else {
            Fate::Pass
        }
    }
}

async fn accept(listener: TcpListener, server: (String, u16), state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)).await else { continue };
        let state = Arc::clone(&state);
        let fate = state.fate();
        connections.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // When one direction ends, so does the other.
            tokio::select! {
                () = pass(from_client, to_server, fate, &state, true) => {}
                () = pass(from_server, to_client, fate, &state, false) => {}
            }
        });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fate: Fate, state: &State, up: bool) {
    let mut left = if fate == Fate::Pass { i64::MAX } else { state.cut_bytes.load(SeqCst) };
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if up && let Some(request) = request(&buffer[..count]) {
            state.spoil_token(&request, &mut buffer[..count]);
            state.requests.lock().unwrap().push(request);
        }
        if !up {
            if state.forbids(&buffer[..count]) {
                return;
            }
            state.hide(&mut buffer[..count]);
        }
        let before = left;
        left -= i64::try_from(count).unwrap();
        match fate {
            Fate::Flip if !up && before >= 0 && left < 0 => buffer[usize::try_from(before).unwrap()] ^= 1,
            Fate::Stall if left < 0 => return std::future::pending().await,
            Fate::Cut if left < 0 => return,
            _ => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Reads the first line of a request. In these tests the head arrives in one piece, and no body begins like one.
fn request(bytes: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(bytes.split(|byte| *byte == b'\r').next()?).ok()?;
    let (method, target) = line.strip_suffix(" HTTP/1.1")?.split_once(' ')?;
    let is_known = ["HEAD", "GET", "PUT", "POST", "DELETE"].contains(&method);
    is_known.then(|| format!("{method} {target}"))
}
