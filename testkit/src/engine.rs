//! Engines that hosts share what they know by, and lines to them that can be cut.

use crate::host::find_program;
use crate::process::Process;
use crate::wait;
use rustix::process::Signal;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Redis, or Valkey where there is none.
    Redis,
    /// memcached.
    Memcached,
}

/// An engine that runs, and listens at a socket in a folder of its own.
pub struct Engine {
    kind: EngineKind,
    folder: TempDir,
    password: Option<&'static str>,
    process: Option<Process>,
}

/// A port that leads to a socket, and can be made to lead nowhere.
pub struct Link {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl EngineKind {
    /// Its program.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn program(self) -> Result<PathBuf, String> {
        match self {
            Self::Redis => find_program("redis-server").or_else(|_| find_program("valkey-server")),
            Self::Memcached => find_program("memcached"),
        }
    }
}

impl Engine {
    /// Starts one.
    ///
    /// # Panics
    /// Where it does not start.
    #[track_caller]
    pub fn start(kind: EngineKind) -> Self {
        let mut engine = Self::stopped(kind);
        engine.restart();
        engine
    }

    /// Starts Redis with a password.
    ///
    /// # Panics
    /// Where it does not start.
    #[track_caller]
    pub fn with_password(password: &'static str) -> Self {
        let mut engine = Self { password: Some(password), ..Self::stopped(EngineKind::Redis) };
        engine.restart();
        engine
    }

    /// One that does not run yet.
    ///
    /// # Panics
    /// Where there is no room for its folder.
    #[track_caller]
    pub fn stopped(kind: EngineKind) -> Self {
        Self { kind, folder: tempfile::tempdir().expect("a folder"), password: None, process: None }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// What `progress.share` takes for it.
    pub fn address(&self) -> String {
        let scheme = if self.kind == EngineKind::Redis { "unix" } else { "memcached" };
        format!("{scheme}:{}", self.socket().display())
    }

    /// What a site is set up with that shares by it: `progress.secret` and `progress.share`.
    ///
    /// # Panics
    /// Where the secret cannot be written.
    #[track_caller]
    pub fn setups(&self) -> [(&'static str, String); 2] {
        let secret = self.folder.path().join("secret");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&secret);
        file.and_then(|mut file| file.write_all(b"a secret of all hosts")).expect("a secret");
        [("progress.secret", secret.display().to_string()), ("progress.share", self.address())]
    }

    /// What `progress.share` takes for it behind a link.
    pub fn address_behind(&self, link: &Link) -> String {
        let scheme = if self.kind == EngineKind::Redis { "redis" } else { "memcached" };
        format!("{scheme}://{}", link.address)
    }

    /// Starts it, with nothing in it.
    ///
    /// # Panics
    /// Where it does not start.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(self.kind.program().unwrap_or_else(|error| panic!("{error}")));
        match self.kind {
            EngineKind::Redis => {
                command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(self.socket());
                if let Some(password) = self.password {
                    command.args(["--requirepass", password]);
                }
            }
            EngineKind::Memcached => {
                command.args(["-u", "root", "-s"]).arg(self.socket());
            }
        }
        command.current_dir(self.folder.path());
        let mut process = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
        let up = process
            .until("the engine listens", |_| UnixStream::connect(self.socket()).map_err(|error| error.to_string()));
        up.unwrap_or_else(|error| panic!("{error}"));
        self.process = Some(process);
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.take().into_iter().for_each(|mut process| process.kill());
        let _ = std::fs::remove_file(self.socket());
    }

    /// Lets it answer nothing until it [wakes up](Self::wake_up).
    pub fn doze(&self) {
        self.process.iter().for_each(|process| process.signal(Signal::STOP));
    }

    /// Lets it go on.
    pub fn wake_up(&self) {
        self.process.iter().for_each(|process| process.signal(Signal::CONT));
    }

    /// The processor time that it took so far, in seconds.
    pub fn processor_time(&self) -> f64 {
        self.process.iter().map(Process::processor_time).sum()
    }

    /// What it answers to some bytes, up to an end.
    ///
    /// # Panics
    /// Where it does not answer.
    #[track_caller]
    pub fn ask(&self, bytes: &[u8], end: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.set_read_timeout(Some(wait::deadline())).expect("a timeout");
        stream.write_all(bytes).expect("it reads");
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(end) {
            let count = stream.read(&mut buffer).expect("it answers");
            assert!(count > 0, "it answers {:?} and no more", answer.escape_ascii().to_string());
            answer.extend_from_slice(&buffer[..count]);
        }
        answer
    }
}

impl Link {
    /// Leads to an engine.
    ///
    /// # Panics
    /// Where there is no port.
    #[track_caller]
    pub fn to(engine: &Engine) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (address, is_cut) = (listener.local_addr().expect("an address"), Arc::new(AtomicBool::new(false)));
        let (socket, cut) = (engine.socket(), Arc::clone(&is_cut));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                let cut = Arc::clone(&cut);
                // It ends with its client or its server; with the program where neither does.
                thread::spawn(move || carry(&client, &server, &cut));
            }
        });
        Self { address, is_cut }
    }

    /// Carries nothing from now on, and says so to nobody, as a network does that drops packets.
    pub fn cut(&self) {
        self.is_cut.store(true, SeqCst);
    }

    /// Carries again what waits.
    pub fn mend(&self) {
        self.is_cut.store(false, SeqCst);
    }
}

fn carry(client: &TcpStream, server: &UnixStream, is_cut: &AtomicBool) {
    let ends: [(&dyn ReadWrite, &dyn ReadWrite); 2] = [(client, server), (server, client)];
    let _ = client.set_nonblocking(true).and_then(|()| server.set_nonblocking(true));
    let mut buffer = [0; 64 * 1024];
    loop {
        let mut moved = false;
        for (from, to) in ends {
            if is_cut.load(SeqCst) {
                continue;
            }
            match from.take(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    moved = true;
                    if to.give(&buffer[..count]).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        if !moved {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

trait ReadWrite {
    fn take(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn give(&self, bytes: &[u8]) -> io::Result<()>;
}

impl<S> ReadWrite for S
where
    for<'s> &'s S: Read + Write,
{
    fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut this = self;
        Read::read(&mut this, buffer)
    }

    fn give(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut this = self;
        while !bytes.is_empty() {
            match Write::write(&mut this, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(Duration::from_micros(200)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
