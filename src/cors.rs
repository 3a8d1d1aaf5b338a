//! Answers that pages of other origins may read.

use crate::config;
use crate::shared::Plugin;
use lighttpd2::{Method, VRequest};

/// The origins whose pages may ask.
pub enum Origins {
    /// All there are.
    Any,
    /// These.
    These(Vec<Vec<u8>>),
}

/// Sets the headers that let the page which sent a request read the answer, where `progress.cors` lets it. Answers the
/// question that a browser asks beforehand; whether it was one.
pub fn allow(plugin: Plugin<'_>, vr: VRequest<'_>) -> bool {
    let Some(origins) = config::origins(vr, plugin) else { return false };
    if let Origins::These(_) = origins {
        vr.add_response_header("Vary", b"Origin");
    }
    let Some(origin) = vr.header("Origin").filter(|origin| origins.have(origin)) else { return false };
    let allowed = if matches!(origins, Origins::Any) { b"*" } else { origin };
    vr.set_response_header("Access-Control-Allow-Origin", allowed);
    let is_asked_beforehand =
        vr.method() == Some(Method::OPTIONS) && vr.header("Access-Control-Request-Method").is_some();
    if is_asked_beforehand {
        vr.set_response_header("Access-Control-Allow-Methods", b"GET, HEAD");
        vr.set_response_header("Access-Control-Allow-Headers", b"X-Progress-ID, X-Requested-With");
        vr.set_response_header("Access-Control-Max-Age", b"600");
        vr.respond(204, b"");
    }
    is_asked_beforehand
}

impl Origins {
    fn have(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These(origins) => origins.iter().any(|one| one.eq_ignore_ascii_case(origin)),
        }
    }
}
