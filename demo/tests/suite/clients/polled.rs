//! What each client needs of a configuration: the path that it polls, and what stands there.

use serde_json::json;
use testkit::{Backend, Rule, Site};

/// `if req.path == "PATH" { LINES }`
pub struct Polled {
    pub path: &'static str,
    lines: fn(Rule) -> Rule,
}

/// drogus' jquery-upload-progress as it comes: `dataType: "json"`.
pub const JQUERY: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("nginx") };
/// The same with `dataType: "jsonp"`.
pub const JQUERY_JSONP: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("nginx-jsonp") };
/// The same with `jsonp: "jsonp_callback"`, as SlideShare's page had it.
pub const JQUERY_JSONP_CALLBACK: Polled =
    Polled { path: "/progress", lines: |rule| rule.set("progress.callback", "jsonp_callback").show_as("nginx-jsonp") };
/// What is for pages of one's own: jQuery takes this for JSON without being told.
pub const FULL: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("full") };
/// And this if it is told so.
pub const DEFAULT: Polled = Polled { path: "/progress", lines: Rule::show };
/// The page in the README of nginx's module.
pub const README_PAGE: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("nginx-java") };
/// The same where JSON is wanted too, by clients that call a function.
pub const README_PAGE_JSONP: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("nginx-jsonp") };
/// lighttpd 1.5's page, which that one is made after.
pub const LIGHTTPD_1_5_PAGE: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("lighttpd-1.5") };
/// The page that Debian has with Apache's module.
pub const APACHE_PAGE: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("apache") };
/// A page for lighttpd 1.4.
pub const LIGHTTPD_1_4_PAGE: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("lighttpd-1.4") };
/// client.sh of nginx's module.
pub const CLIENT_SH: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("nginx-java") };
/// edgarjs' client for Prototype.
pub const PROTOTYPE: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("nginx") };
/// eopas' nginxUploadProgress.
pub const EOPAS: Polled = Polled { path: "/upload_progress", lines: |rule| rule.show_as("nginx") };
/// GermainZ' devhost.py.
pub const DEVHOST: Polled = Polled { path: "/progress", lines: |rule| rule.show_as("nginx-jsonp") };
/// django-progressbarupload: its bar grows, and is empty again at the end.
pub const DJANGO: Polled = Polled { path: "/upload_progress", lines: |rule| rule.show_as("nginx") };
/// The same, answered as its own server does: the bar is hidden before there is an upload, and full at the end.
pub const DJANGO_AS_ITS_OWN: Polled = Polled {
    path: "/upload_progress",
    lines: |rule| {
        let numbers = r#"{{"size": {request_size|0}, "received": {received}}}"#;
        let template = json!({
            "type": "application/json", "unknown": "null", "running": numbers, "done": numbers, "error": numbers,
        });
        rule.set("progress.show", template)
    },
};

impl Polled {
    /// That, and tracked uploads to the backend, which has the pages too.
    pub fn site(&self, backend: &Backend) -> Site {
        Site::new()
            .rule((self.lines)(Rule::path(self.path)))
            .rule(Rule::prefix("/upload").track().proxy(backend.address()))
            .rule(Rule::all().proxy(backend.address()))
    }
}
