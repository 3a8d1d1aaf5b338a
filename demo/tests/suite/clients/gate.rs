//! A gate in front of a server, at which uploads wait.
//!
//! On one machine an upload is over before a client has asked how far it is, and no backend can hold it up: lighttpd2 takes the
//! whole body whether the backend reads it or not.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};
use testkit::{Request, wait};

/// Passes connections on to a server, and notes what is asked there. POST requests wait until they are let through.
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// How many bytes of an upload's body may pass; without it the head may not either.
    allowed: Option<u64>,
    /// Both ends of each connection.
    streams: Vec<Weak<TcpStream>>,
    is_for_uploads: bool,
    is_over: bool,
}

impl Gate {
    /// A gate in front of `server`, at a free port of 127.0.0.1.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Mutex::new(State { is_for_uploads: true, ..State::default() });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, server, &shared))
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets uploads through, up to this number of bytes of their bodies.
    pub fn allow(&self, bytes: u64) {
        self.shared.lock().allowed = Some(bytes);
        self.shared.changed.notify_all();
    }

    /// Breaks off all connections, and with them uploads that wait. A browser may send those again, and does not come through.
    pub fn break_off(&self) {
        let mut state = self.shared.lock();
        state.is_for_uploads = false;
        state.break_off();
    }

    /// All requests that have come so far, by the time at which their heads were here.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.break_off();
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that accepts; if this fails it has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl State {
    fn break_off(&mut self) {
        for stream in self.streams.drain(..).filter_map(|stream| stream.upgrade()) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the state locked")
    }

    /// Waits until more than the `passed` bytes of a body may pass, or its head; returns how many in all.
    fn wait(&self, passed: Option<u64>) -> io::Result<u64> {
        let closed = |state: &mut State| !state.is_over && state.allowed <= passed;
        let waited = self.changed.wait_timeout_while(self.lock(), wait::deadline() * 2, closed);
        let (state, _) = waited.expect("nobody panics with the state locked");
        // At the deadline its test has failed.
        state.allowed.filter(|_| !state.is_over && state.allowed > passed).ok_or(ErrorKind::TimedOut.into())
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        let mut state = shared.lock();
        if state.is_over {
            return;
        }
        let Ok(server) = connect(server) else { continue };
        let [client, server] = [client, server].map(Arc::new);
        state.streams.retain(|stream| stream.strong_count() > 0);
        state.streams.extend([&client, &server].map(Arc::downgrade));
        pass_on(&server, &client, |mut from, mut to| io::copy(&mut from, &mut to).map(drop));
        let shared = Arc::clone(shared);
        pass_on(&client, &server, move |from, to| pass_requests(from, to, &shared));
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    // What is let through comes at once.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Passes on, in a thread of its own, what `from` sends, until that ends.
fn pass_on(
    from: &Arc<TcpStream>,
    to: &Arc<TcpStream>,
    pass: impl FnOnce(&TcpStream, &TcpStream) -> io::Result<()> + Send + 'static,
) {
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    thread::spawn(move || {
        match pass(&from, &to) {
            Ok(()) => drop(to.shutdown(Shutdown::Write)),
            // It may be closed already.
            Err(_) => [from, to].iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both))),
        }
    });
}

fn pass_requests(from: &TcpStream, mut to: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut from = BufReader::new(from);
    // Where there is no other request it has ended.
    while let Ok((request, head)) = Request::read(&mut from) {
        let (is_upload, length) = (request.method == "POST", request.length());
        let mut state = shared.lock();
        state.requests.push(request);
        if is_upload && !state.is_for_uploads {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        drop(state);
        if is_upload {
            shared.wait(None)?;
        }
        to.write_all(&head)?;
        let mut passed = 0;
        while passed < length {
            let allowed = if is_upload { shared.wait(Some(passed))? } else { length };
            let piece = allowed.min(length) - passed;
            if io::copy(&mut (&mut from).take(piece), &mut to)? < piece {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            passed += piece;
        }
    }
    Ok(())
}
