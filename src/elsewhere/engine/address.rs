//! Where an engine is, and which one.

use super::Dialect;
use super::memcached::Memcached;
use super::redis::Redis;
use crate::private::{PrivateError, read_private};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::{error, fmt, io};

/// What addresses begin with, which engine that is, and where it listens if no port is given: none for a path.
const SCHEMES: &[Scheme] = &[
    Scheme { name: "redis://", kind: Kind::Redis, port: Some(6379) },
    Scheme { name: "unix:", kind: Kind::Redis, port: None },
    Scheme { name: "memcached://", kind: Kind::Memcached, port: Some(11211) },
    Scheme { name: "memcached:", kind: Kind::Memcached, port: None },
];

struct Scheme {
    name: &'static str,
    kind: Kind,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Redis,
    Memcached,
}

/// Where an engine is, and how it is spoken to.
pub struct Address {
    text: String,
    pub(super) at: At,
    pub(super) dialect: Arc<dyn Dialect>,
}

/// Where a connection goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// One of these, as far as they answer.
    Hosts(Vec<SocketAddr>),
    Path(String),
}

/// Why an address is none.
#[derive(Debug)]
pub enum AddressError {
    /// It is of no such form.
    Form,
    /// Its host has no address.
    Host(io::Error),
    /// Its file of credentials cannot be used.
    Credentials(PrivateError),
    /// That file has no password.
    NoPassword,
}

/// Who says so to an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub user: Option<String>,
    pub password: String,
}

impl Address {
    /// What is accepted.
    pub const ACCEPTED: &'static str = "\"redis://HOST:PORT/DB\", \"unix:/PATH?db=DB\", \"memcached://HOST:PORT\" or \
        \"memcached:/PATH\", those of Redis with \"?auth=FILE\"";

    /// The address that is written so.
    ///
    /// # Errors
    /// Where it is none, its host has no address, or its file of credentials cannot be used.
    pub fn new(text: &[u8]) -> Result<Self, AddressError> {
        Self::read(text, |host| Ok(host.to_socket_addrs()?.collect()))
    }

    /// The same, where a host and its port are looked up by `find`.
    pub(super) fn read(
        text: &[u8],
        find: impl FnOnce((&str, u16)) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<Self, AddressError> {
        let text = std::str::from_utf8(text).map_err(|_| AddressError::Form)?;
        let is_ours = |scheme: &&Scheme| text.starts_with(scheme.name);
        let scheme = SCHEMES.iter().find(is_ours).ok_or(AddressError::Form)?;
        let rest = &text[scheme.name.len()..];
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut database, mut file) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("db", number)) if scheme.port.is_none() => database = Some(number),
                Some(("auth", path)) => file = Some(path),
                _ => return Err(AddressError::Form),
            }
        }
        let at = match scheme.port {
            None if place.len() > 1 && place.starts_with('/') => At::Path(place.to_string()),
            None => return Err(AddressError::Form),
            Some(port) => {
                let (host, path) = place.split_once('/').unwrap_or((place, ""));
                database = Some(path).filter(|path| !path.is_empty());
                let found = find(host_and_port(host, port)?).map_err(|error| match error.kind() {
                    io::ErrorKind::InvalidInput => AddressError::Form,
                    _ => AddressError::Host(error),
                })?;
                if found.is_empty() {
                    return Err(AddressError::Host(io::Error::other("there is none")));
                }
                At::Hosts(found)
            }
        };
        let dialect: Arc<dyn Dialect> = match scheme.kind {
            Kind::Memcached if database.is_some() || file.is_some() => return Err(AddressError::Form),
            Kind::Memcached => Arc::new(Memcached),
            Kind::Redis => {
                let database = database.map_or(Ok(0), str::parse::<u32>).map_err(|_| AddressError::Form)?;
                let credentials = file.map(|path| Credentials::read(path.as_bytes())).transpose()?;
                Arc::new(Redis::new(database, credentials))
            }
        };
        Ok(Self { text: text.to_string(), at, dialect })
    }
}

/// What `text` names, with `port` where it has none.
fn host_and_port(text: &str, port: u16) -> Result<(&str, u16), AddressError> {
    let is_with_port = |(host, _): &(&str, &str)| !host.contains(':') || host.ends_with(']');
    let (host, port) = match text.rsplit_once(':').filter(is_with_port) {
        Some((host, port)) => (host, port.parse().map_err(|_| AddressError::Form)?),
        None => (text, port),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || text.starts_with(':') { Err(AddressError::Form) } else { Ok((host, port)) }
}

impl Credentials {
    /// Those of a file: `PASSWORD`, or `USER:PASSWORD`, in its first line.
    fn read(path: &[u8]) -> Result<Self, AddressError> {
        let content = read_private(path).map_err(AddressError::Credentials)?;
        let text = String::from_utf8(content).map_err(|_| AddressError::NoPassword)?;
        let line = text.lines().next().unwrap_or_default();
        let (user, password) = line.split_once(':').map_or((None, line), |(user, password)| (Some(user), password));
        let user = user.filter(|user| !user.is_empty()).map(str::to_string);
        if password.is_empty() {
            Err(AddressError::NoPassword)
        } else {
            Ok(Self { user, password: password.to_string() })
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => write!(f, "expected {}", Address::ACCEPTED),
            Self::Host(error) => write!(f, "expected a host that has an address: {error}"),
            Self::Credentials(error) => write!(f, "auth: {error}"),
            Self::NoPassword => write!(f, "auth: expected PASSWORD or USER:PASSWORD in its first line"),
        }
    }
}

impl error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_meant() {
        let v4 = |port: u16| At::Hosts(vec![([127, 0, 0, 1], port).into()]);
        let path = At::Path("/run/engine.sock".to_string());
        for (text, at) in [
            ("redis://127.0.0.1", v4(6379)),
            ("redis://127.0.0.1:7000", v4(7000)),
            ("redis://127.0.0.1:7000/", v4(7000)),
            ("redis://127.0.0.1/15", v4(6379)),
            ("redis://[::1]:7000/1", At::Hosts(vec![(std::net::Ipv6Addr::LOCALHOST, 7000).into()])),
            ("redis://[::1]", At::Hosts(vec![(std::net::Ipv6Addr::LOCALHOST, 6379).into()])),
            ("unix:/run/engine.sock", path.clone()),
            ("unix:/run/engine.sock?db=3", path.clone()),
            ("memcached://127.0.0.1", v4(11211)),
            ("memcached://127.0.0.1:7000", v4(7000)),
            ("memcached:/run/engine.sock", path),
        ] {
            let address = Address::new(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.at, address.text.as_str()), (at, text));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "redis",
            "redis:",
            "redis://",
            "redis://:6379",
            "redis://[]:6379",
            "redis://::1",
            "redis://[::1]:",
            "redis://127.0.0.1:x",
            "redis://127.0.0.1:70000",
            "redis://127.0.0.1/x",
            "redis://127.0.0.1/1/2",
            "redis://127.0.0.1?db=1",
            "redis://127.0.0.1?other=1",
            "unix:",
            "unix:/",
            "unix:engine.sock",
            "unix:/run/engine.sock?db=-1",
            "memcached://127.0.0.1/1",
            "memcached://127.0.0.1?auth=/x",
            "memcached:/x?db=1",
            "http://127.0.0.1",
            "\u{fffd}",
        ] {
            let error = Address::new(text.as_bytes()).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(matches!(error, AddressError::Form), "{text}: {error}");
        }
        assert!(matches!(Address::new(b"redis://\xff"), Err(AddressError::Form)));
    }
}
