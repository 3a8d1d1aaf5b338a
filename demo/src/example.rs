//! What the page needs of a server.

use testkit::{Backend, Request, Rule, Site, Step};

/// The page.
pub const PAGE: &str = include_str!("../../examples/upload/index.html");

/// The name of the file that the page downloads.
const DOWNLOAD: &str = "download";

/// Serves `page`, and takes uploads, which it answers with `status`.
pub fn backend(page: &str, status: u16) -> Backend {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    let page = (head + page).into_bytes();
    Backend::scripted(move |request: &Request| match request.target.as_str() {
        "/" => vec![Step::Send(page.clone())],
        _ => vec![Step::ReadBody, Step::Answer(status)],
    })
}

/// Adds the example to `site`: the page at `/`, and what it asks for. The file that it downloads has `download_size` bytes.
/// Rules that the site has already come first.
pub fn add_to(site: Site, backend: &Backend, download_size: u64) -> Site {
    let backend = backend.address();
    site.file(DOWNLOAD, download_size)
        .rule(Rule::path("/").proxy(backend))
        .rule(Rule::path("/progress").show().respond(400, "X-Progress-Id is missing\n"))
        .rule(Rule::path("/upload").track().proxy(backend))
        .rule(Rule::path(&format!("/{DOWNLOAD}")).set("progress.methods", "GET").track().files())
}
