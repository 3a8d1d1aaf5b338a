//! Answers that pages of other origins may read.

use crate::config;
use crate::shared::Plugin;
use lighttpd2::{Method, VRequest};
use progress::{Origins, are_header_names};

/// Answers what a browser asks before it polls from a page of another origin, where `progress.cors` lets that; whether it was
/// such a question.
pub fn answer_preflight(plugin: Plugin<'_>, vr: VRequest<'_>) -> bool {
    let Some(origins) = config::origins(vr, plugin).filter(|_| vr.method() == Some(Method::OPTIONS)) else {
        return false;
    };
    let asked = vr.header("Access-Control-Request-Method");
    let is_poll = asked.is_some_and(|method| matches!(method, b"GET" | b"HEAD"));
    let is_allowed = vr.header("Origin").is_some_and(|origin| origins.allowed(origin).is_some());
    if !is_poll || !is_allowed {
        return false;
    }
    allow(plugin, vr);
    vr.add_response_header("Vary", b"Access-Control-Request-Headers");
    vr.set_response_header("Access-Control-Allow-Methods", b"GET, HEAD");
    if let Some(names) = vr.header("Access-Control-Request-Headers").filter(|names| are_header_names(names)) {
        vr.set_response_header("Access-Control-Allow-Headers", names);
    }
    vr.set_response_header("Access-Control-Max-Age", b"600");
    vr.respond(204, b"");
    true
}

/// Lets the page that sent a request read the answer, where `progress.cors` does.
pub fn allow(plugin: Plugin<'_>, vr: VRequest<'_>) {
    let Some(origins) = config::origins(vr, plugin) else { return };
    if let Origins::These(_) = origins {
        vr.add_response_header("Vary", b"Origin");
    }
    if let Some(allowed) = vr.header("Origin").and_then(|origin| origins.allowed(origin)) {
        vr.set_response_header("Access-Control-Allow-Origin", allowed);
    }
}
