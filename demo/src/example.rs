//! What the page needs of a server.

use testkit::{Backend, Request, Rule, Site, Step};

/// A file that browsers fetch.
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const FILES: [File; 4] = [
    File { path: "/", content_type: "text/html", text: include_str!("../../examples/upload/index.html") },
    File { path: "/page.css", content_type: "text/css", text: include_str!("../../examples/upload/page.css") },
    File { path: "/page.mjs", content_type: "text/javascript", text: PAGE },
    File { path: "/client/progress.mjs", content_type: "text/javascript", text: MODULE },
];

/// The script of the page.
pub const PAGE: &str = include_str!("../../examples/upload/page.mjs");
/// The client, which other pages can have too.
pub const MODULE: &str = include_str!("../../examples/upload/client/progress.mjs");

/// The name of the file that the page downloads.
const DOWNLOAD: &str = "download";

/// Serves the page, and does with uploads what `upload` says.
pub fn backend(upload: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Backend {
    Backend::scripted(move |request: &Request| {
        if request.method == "POST" {
            return upload(request);
        }
        match FILES.iter().find(|file| file.path == request.target) {
            Some(file) => vec![send(200, file.content_type, file.text)],
            None => vec![Step::send_head(404, 0)],
        }
    })
}

/// Sends a whole response.
pub fn send(status: u16, content_type: &str, text: &str) -> Step {
    let head = format!("HTTP/1.1 {status} Status\r\nContent-Type: {content_type}; charset=utf-8\r\n");
    let length = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    Step::Send((head + &length + text).into_bytes())
}

/// Adds the example to `site`: the page at `/`, and what it asks for. The file that it downloads has `download_size` bytes.
/// Rules that the site has already come first.
pub fn add_to(site: Site, backend: &Backend, download_size: u64) -> Site {
    let backend = backend.address();
    site.file(DOWNLOAD, download_size)
        .rule(Rule::path("/progress").show_as("full").respond(400, "X-Progress-Id is missing\n"))
        .rule(Rule::path("/progress-stream").set("progress.stream", ()).respond(400, "X-Progress-Id is missing\n"))
        .rule(Rule::path("/upload").track().proxy(backend))
        .rule(Rule::path(&format!("/{DOWNLOAD}")).set("progress.methods", "GET").track().files())
        .rule(Rule::all().proxy(backend))
}
