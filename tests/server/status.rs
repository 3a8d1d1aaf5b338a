//! Which ends of a request are good ones.

use crate::sites::{self, done, error};
use progress::FORMATS;
use serde_json::{Value, json};
use testkit::suite::Test;
use testkit::{Backend, Level, ReservedPort, Rule, Site};

pub const TESTS: &[Test] = &[
    Test::with_workers("status::of_a_backend_decides_between_done_and_error", of_backend),
    Test::with_one_worker("status::of_the_server_decides_between_done_and_error", of_server),
    Test::with_workers("status::a_refused_backend_is_an_error", refused),
    Test::with_one_worker("status::a_missing_file_is_an_error", missing_file),
    Test::with_one_worker("status::redirects_are_done_for_other_formats", redirects),
    Test::with_one_worker("status::what_is_done_is_an_option", success),
];

const GOOD: [u16; 5] = [200, 201, 204, 206, 299];
const BAD: [u16; 14] = [301, 302, 303, 304, 400, 401, 403, 404, 413, 499, 500, 502, 503, 599];

fn of_backend(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for status in GOOD.into_iter().chain(BAD) {
            let id = format!("s{status}");
            let answer = server.post(&format!("/px/{status}?X-Progress-Id={id}"), b"hello");
            assert_eq!(answer.status, status);
            server.report_at_end(&id);
            let expected = if GOOD.contains(&status) { done(5, answer.size) } else { error(status) };
            assert_eq!(server.progress(&id), expected);
        }
    });
}

fn of_server(workers: usize) {
    let site = Site::new().workers(workers).rule(Rule::path("/progress").show());
    let rule = |site: Site, status: u16| site.rule(Rule::path(&format!("/{status}")).track().respond(status, "text"));
    let site = [200, 201, 299, 301, 403, 404, 500, 503].into_iter().fold(site, rule);
    site.rule(Rule::prefix("/none").track()).serve(|server| {
        for (path, is_good) in [
            ("200", true),
            ("201", true),
            ("299", true),
            ("301", false),
            ("403", false),
            ("404", false),
            ("500", false),
            ("503", false),
        ] {
            let answer = server.post(&format!("/{path}?X-Progress-Id={path}"), b"hi");
            assert_eq!(answer.status.to_string(), path);
            server.report_at_end(path);
            let expected = if is_good { done(2, answer.size) } else { error(answer.status) };
            assert_eq!(server.progress(path), expected, "{path}");
        }
    });
}

fn refused(workers: usize) {
    let nobody = ReservedPort::new().expect("a free port");
    let site = Site::new()
        .workers(workers)
        .rule(Rule::path("/progress").show())
        .rule(Rule::all().track().proxy(nobody.address()))
        .allow_log(Level::Error, "Couldn't connect to *");
    site.serve(|server| {
        assert_eq!(server.post("/?X-Progress-Id=a", b"hello").status, 503);
        server.report_at_end("a");
        assert_eq!(server.progress("a"), error(503));
    });
}

fn missing_file(workers: usize) {
    sites::plain(workers).serve(|server| {
        assert_eq!(server.get("/get.none?X-Progress-Id=a").status, 404);
        server.report_at_end("a");
        assert_eq!(server.progress("a"), error(404));
    });
}

/// An upload that is answered with where to go next, and a download that the client has already.
fn redirects(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).serve(|server| {
        for status in [302, 303, 304] {
            let id = format!("s{status}");
            assert_eq!(server.post(&format!("/px/{status}?X-Progress-Id={id}"), b"hello").status, status);
            server.report_at_end(&id);
            assert_eq!(server.progress(&id), error(status));
            let report = sites::full(server, &id);
            assert_eq!((&report["state"], &report["status"]), (&"done".into(), &status.into()), "{report}");
            for format in FORMATS.iter().filter(|format| format.name.starts_with("nginx") || format.name == "apache") {
                let answer = server.get(&format!("/progress-{}?X-Progress-Id={id}", format.name)).text();
                assert!(answer.contains("done"), "{}: {answer}", format.name);
            }
        }
    });
}

fn success(workers: usize) {
    let backend = Backend::answering();
    let site = FORMATS.iter().fold(Site::new().workers(workers), |site, format| {
        let shown = |path: &str, statuses: Value| {
            Rule::path(&format!("/{path}-{}", format.name)).set("progress.success", statuses).show_as(format.name)
        };
        site.rule(shown("few", json!(["2xx", "304"])))
            .rule(shown("numbers", json!([404])))
            .rule(shown("class", json!("4xx")))
    });
    let site = site.rule(Rule::path("/progress").show()).rule(Rule::all().track().proxy(backend.address()));
    site.serve(|server| {
        for status in [200, 204, 303, 304, 404, 418] {
            let id = format!("s{status}");
            server.post(&format!("/{status}?X-Progress-Id={id}"), b"hello");
            server.report_at_end(&id);
            for format in FORMATS.iter().filter(|format| format.name != "lighttpd-1.4") {
                for (path, is_done) in
                    [("few", status < 300 || status == 304), ("numbers", status == 404), ("class", status >= 400)]
                {
                    let answer = server.get(&format!("/{path}-{}?X-Progress-Id={id}", format.name)).text();
                    assert_eq!(answer.contains("done"), is_done, "{path}, {status}: {answer}");
                    assert_ne!(answer.contains("error"), is_done, "{path}, {status}: {answer}");
                }
            }
        }
    });
}
