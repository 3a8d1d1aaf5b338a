//! TLS by the `openssl` command: a certificate, and a client that is a pipe to `s_client`.

use crate::child::{OwnedChild, output};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

/// A TLS connection: what is written here is sent, what arrives can be read here.
pub struct Pipe {
    pub stream: UnixStream,
    _openssl: OwnedChild,
}

impl Pipe {
    /// Connects to a server whose certificate nobody vouches for.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let (stream, end) = UnixStream::pair()?;
        let (input, arriving) = (OwnedFd::from(end.try_clone()?), OwnedFd::from(end));
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect"]).arg(address.to_string());
        command.stdin(input).stdout(arriving).stderr(Stdio::null());
        Ok(Self { stream, _openssl: OwnedChild::start(command)? })
    }
}

/// Writes a new key and a certificate for it to `file`.
///
/// # Errors
/// Where the `openssl` command is not there, or fails.
pub fn make_certificate(file: &Path) -> Result<(), String> {
    let key = file.with_extension("key");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=127.0.0.1", "-keyout"]).arg(&key).arg("-out").arg(file);
    let name = format!("{command:?}");
    let made = output(command).map_err(|error| format!("openssl: {error}"))?;
    if !made.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&made.stderr)));
    }
    let both = fs::read(file).and_then(|certificate| Ok([certificate, fs::read(&key)?].concat()));
    both.and_then(|both| fs::write(file, both)).map_err(|error| format!("{}: {error}", file.display()))
}
