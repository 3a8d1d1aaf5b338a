//! Ports that are kept free.

use rustix::net::{AddressFamily, SocketType, bind, getsockname, ipproto, socket, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

/// A free port of 127.0.0.1. While this lives nobody gets it who asks for any free port, but who asks for this one does.
/// Connections to it are refused unless somebody listens there.
pub struct ReservedPort {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl ReservedPort {
    /// Reserves a port.
    ///
    /// # Errors
    /// Where the system has none.
    pub fn new() -> io::Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP))?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = getsockname(&socket)?.try_into()?;
        Ok(Self { address, _socket: socket })
    }

    /// The address with this port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn it_is_refused_until_somebody_listens() {
        let port = ReservedPort::new().unwrap();
        assert_eq!(TcpStream::connect(port.address()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _listener = TcpListener::bind(port.address()).unwrap();
        assert!(TcpStream::connect(port.address()).is_ok());
    }
}
