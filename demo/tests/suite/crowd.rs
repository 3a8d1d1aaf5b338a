//! Many transfers at once, for the page of `progress.status`.

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SocketType, bind, connect, recv, socket};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use testkit::{Backend, Request, Rule, Site, Step};

/// Requests that run, of clients at several addresses.
pub struct Crowd {
    server: SocketAddr,
    transfers: Vec<Transfer>,
}

struct Transfer {
    stream: TcpStream,
    /// How much of its body is left, and how much goes out and comes in at a time.
    left: usize,
    portion: usize,
}

/// What one asks for, and how.
pub struct Plan<'a> {
    pub method: &'a str,
    pub host: &'a str,
    /// With its query string.
    pub target: &'a str,
    /// The last part of the client's address.
    pub client: u8,
    pub size: usize,
    /// How much of it is sent at once, and how much is sent and taken whenever all go on.
    pub part: usize,
    pub portion: usize,
}

const HOSTS: [&str; 3] = ["files.example.org", "media.example.org", "backup.example.net"];
const FOLDERS: [(&str, &str, usize); 5] = [
    ("/photos/coast", "jpg", 6_400_000),
    ("/video/interviews", "mov", 24_000_000),
    ("/backup/nightly", "tar.zst", 48_000_000),
    ("/documents/minutes", "pdf", 1_900_000),
    ("/incoming/scans", "tiff", 16_000_000),
];

/// The backend has all of what goes to such a path, and does not answer.
const WAITING: &str = "/convert/";
const HELD: &str = "held";
/// A file, of which a client takes some at a time, and its size.
const EXPORT: &str = "exports-2024.tar";
const EXPORT_SIZE: u64 = 40_000_000;
/// So that the server notices how slow a client is. In bytes.
const RECEIVE_BUFFER: usize = 32 * 1024;

/// Does what the paths of a [`Crowd`] say, or else answers with the status that the path ends in.
pub fn backend() -> Backend {
    Backend::scripted(|request: &Request| {
        let path = request.target.split('?').next().unwrap_or_default();
        let status = path.rsplit('/').next().and_then(|status| status.parse().ok()).unwrap_or(200);
        let hold = path.starts_with(WAITING).then_some(Step::Hold(HELD));
        [Some(Step::ReadBody), hold, Some(Step::Answer(status))].into_iter().flatten().collect()
    })
}

/// The page at `/status`, and a backend behind it.
pub fn site(backend: &Backend) -> Site {
    Site::new()
        .set("progress.ttl", 600)
        .file(EXPORT, EXPORT_SIZE)
        .rule(Rule::path("/status").set("progress.status", ()))
        .rule(Rule::path("/ids").set("progress.status", "ids"))
        .rule(Rule::path("/progress").show())
        .rule(Rule::path(&format!("/{EXPORT}")).set("progress.methods", "GET").track().files())
        .rule(Rule::all().track().proxy(backend.address()))
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self { method: "POST", host: HOSTS[0], target: "/", client: 1, size: 1_000_000, part: 0, portion: 0 }
    }
}

impl Crowd {
    /// Begins none yet.
    pub fn on(server: SocketAddr) -> Self {
        Self { server, transfers: Vec::new() }
    }

    /// Begins so many that differ in all that is shown of them. They run until they are dropped.
    pub fn begin_many(&mut self, count: usize) {
        for number in 0..count {
            let (folder, ending, size) = FOLDERS[number * 7 % FOLDERS.len()];
            let host = HOSTS[number % HOSTS.len()];
            let size = size / 100 * (60 + number * 37 % 80);
            let id = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (method, folder, size, part, portion) = match number % 12 {
                1 => ("POST", format!("{WAITING}video"), 40_000, 40_000, 0),
                3 => ("GET", String::new(), 0, 0, 4_000 + number * 31),
                _ => ("POST", folder.to_string(), size, number * 1_009 % 200_000, size / 4_000 * (1 + number % 9)),
            };
            let path = match method {
                "GET" => format!("/{EXPORT}"),
                _ => format!("{folder}/{:04}.{ending}", 1_200 + number * 3),
            };
            let target = format!("{path}?X-Progress-Id={id:016x}");
            let client = 1 + (number * number % 240) as u8;
            self.begin(&Plan { method, host, target: &target, client, size, part, portion });
        }
    }

    /// Begins one.
    #[track_caller]
    pub fn begin(&mut self, plan: &Plan<'_>) {
        let Plan { method, host, target, client, size, part, portion } = *plan;
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n");
        let mut stream = self.connect(client);
        stream.write_all(&[head.as_bytes(), &vec![b'a'; part]].concat()).expect("the server takes it");
        self.transfers.push(Transfer { stream, left: size - part, portion });
    }

    /// All send a portion of what they have left, but for its end, and take one of what has come.
    pub fn go_on(&mut self) {
        for Transfer { stream, left, portion } in &mut self.transfers {
            let part = (*portion).min(left.saturating_sub(1));
            stream.write_all(&vec![b'a'; part]).expect("the server takes it");
            *left -= part;
            match recv(&*stream, &mut vec![0; *portion], RecvFlags::DONTWAIT) {
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(error) => panic!("the server has gone: {error}"),
            }
        }
    }

    /// The newest one breaks off.
    pub fn break_off(&mut self) {
        self.transfers.pop();
    }

    fn connect(&self, client: u8) -> TcpStream {
        let address = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, client), 0);
        let stream = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        set_socket_recv_buffer_size(&stream, RECEIVE_BUFFER).expect("it can be small");
        bind(&stream, &address).expect("all of 127.0.0.0/8 is this machine");
        connect(&stream, &self.server).expect("the server takes connections");
        TcpStream::from(stream)
    }
}
