//! Polls from pages of other origins.

use testkit::suite::Test;
use testkit::{Events, HttpResponse, Rule, RunningHost, Site};

pub const TESTS: &[Test] = &[
    Test::with_one_worker("cors::pages_of_the_origins_may_read_answers", origins),
    Test::with_one_worker("cors::pages_of_the_origins_may_read_events", events),
    Test::with_one_worker("cors::a_browser_that_asks_first_is_answered", asked_first),
];

fn site(workers: usize) -> Site {
    let show = |path: &str, origins: serde_json::Value| {
        Rule::path(path).set("progress.cors", origins).show().respond(404, "no id\n")
    };
    let these = serde_json::json!(["https://app.example", "http://localhost:3000"]);
    Site::new()
        .workers(workers)
        .rule(show("/these", these))
        .rule(show("/any", "*".into()))
        .rule(Rule::path("/events").set("progress.cors", "https://app.example").set("progress.stream", ()))
        .rule(Rule::path("/none").show().respond(404, "no id\n"))
}

fn from(server: &RunningHost, method: &str, target: &str, origin: &str, more: &str) -> HttpResponse {
    let mut client = server.connect();
    client.request(method, target, &format!("Origin: {origin}\r\n{more}"), b"");
    client.answer_to(method)
}

fn origins(workers: usize) {
    site(workers).serve(|server| {
        for (path, origin, allowed) in [
            ("/these", "https://app.example", Some("https://app.example")),
            ("/these", "http://localhost:3000", Some("http://localhost:3000")),
            ("/these", "http://app.example", None),
            ("/these", "https://app.example.evil", None),
            ("/these", "https://app.example, http://localhost:3000", None),
            ("/these", "null", None),
            ("/any", "https://whoever.example", Some("*")),
            ("/none", "https://app.example", None),
        ] {
            let answer = from(server, "GET", &format!("{path}?X-Progress-ID=a"), origin, "");
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{path} from {origin}");
            let vary = (path == "/these").then_some("Origin");
            assert_eq!(answer.header("vary"), vary, "{path} from {origin}");
            // What comes after `progress.show` is not ours to open.
            let other = from(server, "GET", path, origin, "");
            let headers = ["access-control-allow-origin", "vary"].map(|name| other.header(name));
            assert_eq!((other.status, headers), (404, [None, None]), "{path} from {origin}");
        }
    });
}

fn events(workers: usize) {
    // The last of them is one too many.
    site(workers).set("progress.watchers", 2).serve(|server| {
        let watch =
            |origin: &str| Events::ask(server.connect(), "/events?X-Progress-ID=a", &format!("Origin: {origin}\r\n"));
        let watchers = ["https://app.example", "https://whoever.example", "https://app.example"].map(watch);
        let allowed = watchers.each_ref().map(|events| events.head.header("access-control-allow-origin"));
        assert_eq!(allowed, [Some("https://app.example"), None, Some("https://app.example")]);
        for (events, status) in watchers.iter().zip([200, 200, 503]) {
            let headers = ["vary", "x-content-type-options"].map(|name| events.head.header(name));
            assert_eq!((events.head.status, headers), (status, [Some("Origin"), Some("nosniff")]));
        }
    });
}

fn asked_first(workers: usize) {
    let question = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-progress-id, x-upload\r\n";
    site(workers).serve(|server| {
        for path in ["/these", "/any", "/any?X-Progress-ID=a", "/events"] {
            let answer = from(server, "OPTIONS", path, "https://app.example", question);
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
            assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD"));
            assert_eq!(answer.header("access-control-allow-headers"), Some("x-progress-id, x-upload"));
        }
        let odd = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: a:b<c>\r\n";
        let answer = from(server, "OPTIONS", "/any", "https://app.example", odd);
        assert_eq!((answer.status, answer.header("access-control-allow-headers")), (204, None));
        let other = from(server, "OPTIONS", "/any", "https://app.example", "Access-Control-Request-Method: DELETE\r\n");
        assert_eq!((other.status, &*other.text()), (404, "no id\n"), "it is for somebody else to allow that");
        for (path, origin) in [("/these", "https://evil.example"), ("/none", "https://app.example")] {
            let answer = from(server, "OPTIONS", path, origin, question);
            assert_eq!((answer.status, &*answer.text()), (404, "no id\n"), "{path} from {origin}");
            assert_eq!(answer.header("access-control-allow-methods"), None, "{path} from {origin}");
        }
        let answer = from(server, "OPTIONS", "/any?X-Progress-ID=a", "https://app.example", "");
        assert_eq!(answer.status, 200, "it does not ask whether it may");
    });
}
