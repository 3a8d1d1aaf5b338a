//! Answers that the configuration spells out.

use serde_json::{Value, json};
use testkit::suite::Test;
use testkit::{Backend, Rule, RunningHost, Site};

pub const TESTS: &[Test] = &[
    Test::with_workers("template::each_state_has_its_text", states),
    Test::with_one_worker("template::what_a_client_sends_is_no_markup", markup),
];

fn shown_at(site: Site, path: &str, content_type: &str, [unknown, running, done, error]: [&str; 4]) -> Site {
    let template =
        json!({ "type": content_type, "unknown": unknown, "running": running, "done": done, "error": error });
    site.rule(Rule::path(path).set("progress.show", template))
}

fn get(server: &RunningHost, path: &str, query: &str) -> String {
    server.get(&format!("{path}?{query}")).text()
}

/// What nginx's documentation has as its example of a template.
const XML: [&str; 4] = [
    "<upload><state>starting</state></upload>",
    "<upload><state>uploading</state><size>{request_size|-1}</size><uploaded>{received}</uploaded></upload>",
    "<upload><state>done</state></upload>",
    "<upload><state>error</state><code>{status|400}</code></upload>",
];

fn states(workers: usize) {
    let backend = Backend::answering();
    let site = shown_at(Site::new().workers(workers), "/xml", "text/xml", XML);
    let site =
        shown_at(site, "/call", "text/javascript", ["{callback}({{}})", "{state}{phase}", "{{{elapsed}}}", "{reason}"]);
    let site = site
        .rule(Rule::path("/progress").show())
        .rule(Rule::path("/bad").track().respond(500, "x"))
        .rule(Rule::all().track().proxy(backend.address()));
    site.serve(|server| {
        assert_eq!(get(server, "/xml", "X-Progress-ID=a"), XML[0]);
        assert_eq!(get(server, "/call", "X-Progress-ID=a&X-Progress-Callback=f"), "f({})");
        assert_eq!(get(server, "/call", "X-Progress-ID=a&X-Progress-Callback=f%28"), "progress({})");
        let mut client = server.connect();
        client.begin_upload("/x?X-Progress-ID=a", 1_000, 10);
        server.report_when("a", |report| report.received == Some(10));
        assert_eq!(
            get(server, "/xml", "X-Progress-ID=a"),
            "<upload><state>uploading</state><size>1000</size><uploaded>10</uploaded></upload>"
        );
        let mut chunked = server.connect();
        chunked.send("POST /x?X-Progress-ID=c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        server.report_when("c", |report| report.received == Some(5));
        assert_eq!(
            get(server, "/xml", "X-Progress-ID=c"),
            "<upload><state>uploading</state><size>-1</size><uploaded>5</uploaded></upload>"
        );
        client.send(vec![b'a'; 990]);
        client.answer();
        server.report_at_end("a");
        let answer = server.get("/xml?X-Progress-ID=a");
        assert_eq!(answer.text(), XML[2]);
        for (name, value) in
            [("content-type", "text/xml"), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        {
            assert_eq!(answer.header(name), Some(value));
        }
        let elapsed = get(server, "/call", "X-Progress-ID=a");
        let seconds = elapsed.trim_start_matches('{').trim_end_matches('}');
        assert!(seconds.parse::<f64>().is_ok_and(|seconds| seconds >= 0.0), "{elapsed}");
        server.post("/bad?X-Progress-ID=b", b"hi");
        server.report_at_end("b");
        assert_eq!(get(server, "/xml", "X-Progress-ID=b"), "<upload><state>error</state><code>500</code></upload>");
        assert_eq!(get(server, "/call", "X-Progress-ID=b"), "status");
    });
}

fn markup(workers: usize) {
    let text = ["{id}"; 4];
    let site = shown_at(Site::new().workers(workers), "/xml", "application/xml", text);
    let site = shown_at(site, "/json", "application/json", ["\"{id}\"", "", "", ""]);
    let site = shown_at(site, "/text", "text/plain", text);
    site.serve(|server| {
        let id = "</a>\"'\\<script>alert(1)</script>";
        let get = |path: &str| get(server, path, &format!("X-Progress-ID={id}"));
        assert_eq!(get("/xml"), "&lt;/a&gt;&quot;&#39;\\&lt;script&gt;alert(1)&lt;/script&gt;");
        let json = get("/json");
        assert!(!json.contains(['<', '>', '&']), "{json}");
        assert_eq!(serde_json::from_str::<Value>(&json).ok(), Some(json!(id)));
        assert_eq!(get("/text"), id);
    });
}
