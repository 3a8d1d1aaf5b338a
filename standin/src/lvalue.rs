//! What patterns can tell of a request.

use crate::exports::broken;
use crate::names::name_of_method;
use crate::state::State;
use lighttpd2::sys;

/// What a pattern can tell of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lvalue {
    RemoteIp,
    Path,
    RawPath,
    Host,
    Scheme,
    Query,
    Method,
    Length,
    IsHandled,
    RequestHeader,
    Status,
    ResponseHeader,
    /// What the module has told of the request.
    Environment,
    /// What the stand-in knows nothing of.
    Unknown,
}

/// What names go on with.
type Names = &'static [(&'static str, Lvalue)];

/// A word that names begin with, its short form, and what follows it, in lighttpd2's order.
const NAMES: [(&str, &str, Names); 3] = [
    (
        "request.",
        "req.",
        &[
            ("localip", Lvalue::Unknown),
            ("localport", Lvalue::Unknown),
            ("remoteip", Lvalue::RemoteIp),
            ("remoteport", Lvalue::Unknown),
            ("path", Lvalue::Path),
            ("raw_path", Lvalue::RawPath),
            ("host", Lvalue::Host),
            ("scheme", Lvalue::Scheme),
            ("query", Lvalue::Query),
            ("method", Lvalue::Method),
            ("length", Lvalue::Length),
            ("header", Lvalue::RequestHeader),
            ("environment", Lvalue::Environment),
            ("is_handled", Lvalue::IsHandled),
        ],
    ),
    (
        "physical.",
        "phys.",
        &[
            ("path", Lvalue::Unknown),
            ("exists", Lvalue::Unknown),
            ("size", Lvalue::Unknown),
            ("is_file", Lvalue::Unknown),
            ("is_dir", Lvalue::Unknown),
            ("docroot", Lvalue::Unknown),
            ("pathinfo", Lvalue::Unknown),
        ],
    ),
    ("response.", "resp.", &[("status", Lvalue::Status), ("header", Lvalue::ResponseHeader)]),
];

impl Lvalue {
    /// The one of that name. As in lighttpd2, the beginning of a name is enough.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let (rest, names) = NAMES.iter().find_map(|(long, short, names)| {
            let rest = name.strip_prefix(long.as_bytes()).or_else(|| name.strip_prefix(short.as_bytes()));
            rest.map(|rest| (rest, names))
        })?;
        names.iter().find(|(known, _)| known.as_bytes().starts_with(rest)).map(|(_, lvalue)| *lvalue)
    }

    /// Whether it needs a key.
    pub fn has_key(self) -> bool {
        matches!(self, Self::RequestHeader | Self::ResponseHeader | Self::Environment)
    }

    /// What it is for a request, up to its first NUL; `None` where lighttpd2 does not say.
    ///
    /// # Safety
    /// `vr` is a request, and this is its thread.
    pub unsafe fn of_request(self, vr: *mut sys::liVRequest, key: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: the caller promises a request.
        let (state, request) = unsafe { (State::of_request(vr), &(*vr).request) };
        let target = state.target.borrow();
        if matches!(self, Self::Status | Self::ResponseHeader) {
            if !state.is_handled() {
                state.server().log.error("a pattern needs the response of a request that nothing has handled");
            }
            if state.out.stage().state < sys::LI_VRS_HANDLE_RESPONSE_HEADERS {
                return None;
            }
        }
        let mut value = match self {
            Self::RemoteIp => target.remote_ip.clone(),
            Self::Path => target.path.clone(),
            Self::RawPath => target.raw_path.clone(),
            Self::Host => host(&state.request_headers.values(b"host").next().unwrap_or_default()),
            Self::Scheme => b"http".to_vec(),
            // SAFETY: it is NULL or a string of the stand-in's, which lives as long as the request.
            Self::Query => unsafe { crate::value::bytes(request.uri.query) }.to_vec(),
            Self::Method if target.method.is_empty() => {
                name_of_method(request.http_method).unwrap_or_default().to_bytes().to_vec()
            }
            Self::Method => target.method.clone(),
            Self::Length => request.content_length.to_string().into_bytes(),
            Self::IsHandled if state.is_handled() => b"TRUE".to_vec(),
            Self::IsHandled => b"FALSE".to_vec(),
            Self::RequestHeader => list(state.request_headers.values(key)),
            // SAFETY: the caller promises a request.
            Self::Status => unsafe { (*vr).response.http_status }.to_string().into_bytes(),
            Self::ResponseHeader => list(state.response_headers.values(key)),
            Self::Environment => state.environment.borrow().get(key).cloned().unwrap_or_default(),
            Self::Unknown => Vec::new(),
        };
        value.truncate(value.iter().position(|&byte| byte == 0).unwrap_or(value.len()));
        Some(value)
    }
}

/// The host in a `Host` header.
pub fn host(header: &[u8]) -> Vec<u8> {
    let end = match header {
        [b'[', ..] => header.iter().position(|&byte| byte == b']').map(|end| end + 1),
        _ => header.iter().position(|&byte| byte == b':'),
    };
    let mut host = header[..end.unwrap_or(header.len())].to_ascii_lowercase();
    while host.last() == Some(&b'.') {
        host.pop();
    }
    host
}

/// Values, with commas in between.
fn list(values: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    values.fold(Vec::new(), |list, value| if list.is_empty() { value } else { [list, value].join(b", ".as_slice()) })
}

/// Ends the program where an lvalue needs a key and has none, as lighttpd2 would.
pub(crate) fn key_of(lvalue: Lvalue, key: Option<&[u8]>) -> &[u8] {
    if lvalue.has_key() && key.is_none() {
        broken("a pattern is evaluated that asks for a header, or for the environment, without a key");
    }
    key.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lvalues_have_lighttpd2s_names() {
        for (name, lvalue) in [
            ("req.host", Some(Lvalue::Host)),
            ("request.host", Some(Lvalue::Host)),
            ("req.h", Some(Lvalue::Host)),
            ("req.he", Some(Lvalue::RequestHeader)),
            ("req.env", Some(Lvalue::Environment)),
            ("req.raw_path", Some(Lvalue::RawPath)),
            ("req.rawpath", None),
            ("req.", Some(Lvalue::Unknown)),
            ("req.hosts", None),
            ("Req.host", None),
            ("reqhost", None),
            ("phys.pathinfo", Some(Lvalue::Unknown)),
            ("physical.docroot", Some(Lvalue::Unknown)),
            ("resp.status", Some(Lvalue::Status)),
            ("response.header", Some(Lvalue::ResponseHeader)),
            ("", None),
        ] {
            assert_eq!(Lvalue::of_name(name.as_bytes()), lvalue, "{name}");
        }
    }

    #[test]
    fn hosts_are_without_ports() {
        for (header, expected) in
            [("Example.COM:80", "example.com"), ("h..", "h"), ("h.:80", "h"), ("[::1]:80", "[::1]"), ("", "")]
        {
            assert_eq!(host(header.as_bytes()), expected.as_bytes(), "{header}");
        }
    }
}
