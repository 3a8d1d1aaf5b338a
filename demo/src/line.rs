//! A slow line to a server.
//!
//! On one machine an upload is over before it can be watched, and a slow backend does not change that: lighttpd2 takes the
//! whole body from its client whether the backend reads it or not.

use rustix::net::sockopt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How fast a connection is, in bytes per second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// From the client to the server.
    pub up: u64,
    /// From the server to the client.
    pub down: u64,
}

/// Passes connections on to a server, each no faster than the line's rates.
pub struct Line {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    /// One after the other; none while the line is cut.
    servers: Vec<SocketAddr>,
    turn: usize,
    /// Both ends of each connection.
    streams: Vec<Weak<TcpStream>>,
    is_over: bool,
}

/// A line that keeps no more than this, in each direction and on each side, shows at once what its client does, and to its client
/// what its server does. In bytes.
const BUFFER: usize = 32 * 1024;
/// The most that is passed on in one go, in bytes.
const LARGEST_PIECE: u64 = 64 * 1024;
/// How many pieces a second are passed on, if they are not too large then.
const PIECES_PER_SECOND: u64 = 100;

impl Line {
    /// A line to `server`, at a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where the system has no port, or no thread.
    pub fn to(server: SocketAddr, rates: Rates) -> io::Result<Self> {
        Self::at(0, &[server], rates)
    }

    /// As [`Line::to`], at this port; 0 for any. Each connection goes to the next one of some servers.
    ///
    /// # Errors
    /// Where that port is in use, or as above.
    pub fn at(port: u16, servers: &[SocketAddr], rates: Rates) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        limit_buffers(&listener)?;
        let address = listener.local_addr()?;
        let state =
            Arc::new(Mutex::new(State { servers: servers.to_vec(), turn: 0, streams: Vec::new(), is_over: false }));
        let shared = Arc::clone(&state);
        let accepting = thread::Builder::new().spawn(move || accept(&listener, &shared, rates))?;
        Ok(Self { address, state, accepting: Some(accepting) })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks off all connections, and from now on each new one.
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.servers.clear();
        for stream in state.streams.drain(..).filter_map(|stream| stream.upgrade()) {
            break_off(&stream);
        }
    }

    /// Passes new connections on to `server` from now on.
    pub fn lead_to(&self, server: SocketAddr) {
        lock(&self.state).servers = vec![server];
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.state).is_over = true;
        self.cut();
        // Wakes the thread that accepts; if this fails it has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nobody panics with the state locked")
}

fn accept(listener: &TcpListener, state: &Mutex<State>, rates: Rates) {
    while let Ok((client, _)) = listener.accept() {
        let mut state = lock(state);
        if state.is_over {
            return;
        }
        state.turn += 1;
        let server = state.servers.get(state.turn % state.servers.len().max(1));
        let Some(server) = server.and_then(|server| connect(*server).ok()) else { continue };
        let ends = [client, server].map(Arc::new);
        state.streams.retain(|stream| stream.strong_count() > 0);
        state.streams.extend(ends.iter().map(Arc::downgrade));
        let [client, server] = ends;
        pass_on(&client, &server, rates.up);
        pass_on(&server, &client, rates.down);
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    limit_buffers(&stream)?;
    Ok(stream)
}

/// Accepted connections have the limits of their listener.
fn limit_buffers(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
    Ok(sockopt::set_socket_send_buffer_size(&socket, BUFFER)?)
}

/// Passes on, in a thread of its own, what `from` sends.
fn pass_on(from: &Arc<TcpStream>, to: &Arc<TcpStream>, rate: u64) {
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    thread::spawn(move || {
        let (from, to) = (&*from, &*to);
        match copy(from, to, rate) {
            // Where this fails the other direction fails too.
            Ok(()) => drop(to.shutdown(Shutdown::Write)),
            Err(_) => [from, to].into_iter().for_each(break_off),
        }
    });
}

/// Resets a connection. After an orderly end its other side would wait for room for what it still has to send.
fn break_off(stream: &TcpStream) {
    let reset = sockopt::set_socket_linger(stream, Some(Duration::ZERO)).map_err(io::Error::from);
    // It may be closed already.
    let _ = reset.and_then(|()| stream.shutdown(Shutdown::Both));
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, rate: u64) -> io::Result<()> {
    let mut piece = vec![0; (rate / PIECES_PER_SECOND).clamp(1, LARGEST_PIECE) as usize];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&piece[..length])?;
        thread::sleep(Duration::from_secs_f64(length as f64 / rate as f64));
    }
}
