//! Patterns of the configuration, with the module `tests/modules/patterns.c`.

use crate::c_module::{compiled, need_compiler, with_module};
use crate::running::{exchange, start};
use crate::trial;
use crate::violation::violation;
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::module::Module;
use standin::request::{Close, Request, Target};
use standin::value::Data;
use testkit::{Rule, Site};

type Test = fn(&Module<'_>);

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 5] = [
        ("tell_of_a_request", tell_of_a_request),
        ("tell_of_a_response", tell_of_a_response),
        ("ask_for_matches", ask_for_matches),
        ("are_appended", are_appended),
        ("are_refused", are_refused),
    ];
    let violations: [(&str, &str, Test); 9] = [
        ("freed_twice", "a pattern that is none, or was freed", |module| spoil(module, "twice")),
        ("evaluated_later", "a pattern that is none, or was freed", |module| spoil(module, "evaluated later")),
        ("other_memory", "a pattern that is none, or was freed", |module| spoil(module, "other")),
        ("elsewhere", "that is not its worker's tmp_str", |module| spoil(module, "elsewhere")),
        ("into_no_string", "what is no string", |module| spoil(module, "no string")),
        ("matches", "no matches of regular expressions", |module| spoil(module, "matches")),
        ("left", "patterns are left when it is unloaded", |module| spoil(module, "left")),
        ("a_header_without_key", "without a key", |module| drop(eval(module, "%{req.header}"))),
        ("an_environment_without_key", "without a key", |module| drop(eval(module, "%{req.env}"))),
    ];
    let tests = tests.map(|(name, test)| trial(format!("patterns::{name}"), move || with_module("patterns", test)));
    let violations = violations.map(|(name, reason, test)| {
        violation(format!("patterns::violations::{name}"), reason, move || with_module("patterns", test))
    });
    let over_http = trial("patterns::tell_of_requests_over_http", tell_of_requests_over_http);
    need_compiler(tests.into_iter().chain(violations).chain([over_http]).collect())
}

/// Performs an action, and returns what was logged meanwhile.
fn perform(request: &mut Request<'_>, module: &Module<'_>, name: &str, value: &str) -> Vec<String> {
    let action = module.server().action(name, Some(&Data::String(value.into()))).expect("it is a good pattern");
    request.perform(&action);
    module.server().log.take()
}

/// A request that has everything.
fn request<'m>(module: &'m Module<'_>) -> Request<'m> {
    let mut request = Request::new(module, 0);
    request.enter(sys::LI_HTTP_METHOD_PUT, Some(b"a=b&c"), 1000);
    request.set_target(Target {
        path: b"/p q\0r".into(),
        raw_path: b"/p%20q%00r?a=b&c".into(),
        remote_ip: b"::1".into(),
        ..Target::default()
    });
    request.set_request_headers(&[(b"Host", b"Example.com.:80"), (b"X", b"1"), (b"x", b"2")]);
    request
}

fn eval(module: &Module<'_>, pattern: &str) -> String {
    let mut request = request(module);
    let line = perform(&mut request, module, "patterns.eval", pattern).join("\n");
    request.close(Close::KeptAlive);
    line
}

fn tell_of_a_request(module: &Module<'_>) {
    for (pattern, text) in [
        ("", ""),
        ("text", "text"),
        (r"\%\\", r"%\"),
        ("%{req.host}", "example.com"),
        ("%{request.path}|%{req.raw_path}", "/p q|/p%20q%00r?a=b&c"),
        ("%{enc:req.path}", "/p%20q"),
        ("%{req.query}%{req.scheme}", "a=b&chttp"),
        ("%{req.method} from %{req.remoteip}", "PUT from ::1"),
        ("[%{req.header[X]}]", "[1, 2]"),
        ("[%{req.header[Y]}]", "[]"),
        ("%{req.length}%{req.is_handled}", "1000FALSE"),
        ("%{req.env[HOME]}%{req.localip}%{phys.path}", ""),
        ("$0%1$[2-3]%[4-]", ""),
    ] {
        assert_eq!(eval(module, pattern), format!("<{text}>"), "{pattern}");
    }
}

fn tell_of_a_response(module: &Module<'_>) {
    let mut request = request(module);
    let lines = perform(&mut request, module, "patterns.eval", "[%{resp.status}]");
    assert!(lines.len() == 2 && lines[0].starts_with("(error) ") && lines[1] == "<[]>", "{lines:?}");
    request.respond(404, b"x");
    let lines = perform(&mut request, module, "patterns.eval", "[%{resp.status} %{resp.header[content-type]}]");
    assert_eq!(lines, ["<[404 text/plain]>"]);
    request.recycle();
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    request.handle_indirect();
    assert_eq!(perform(&mut request, module, "patterns.eval", "[%{resp.status}]"), ["<[]>"], "it has not come yet");
    request.close(Close::KeptAlive);
}

fn ask_for_matches(module: &Module<'_>) {
    let mut request = request(module);
    let lines = perform(&mut request, module, "patterns.ranges", "a$1b%[3-2]");
    assert_eq!(lines, ["$ 1 1 after a", "% 3 2 after ab", "<ab>"]);
    let lines = perform(&mut request, module, "patterns.ranges", "%[7-]$[-7]");
    assert_eq!(lines, ["% 7 4294967295 after ", "$ 4294967295 7 after ", "<>"]);
    request.close(Close::KeptAlive);
}

fn are_appended(module: &Module<'_>) {
    let mut request = request(module);
    for _ in 0..2 {
        let lines = perform(&mut request, module, "patterns.append", " and a pattern");
        assert_eq!(lines, ["<left by something else and a pattern>"]);
    }
    let long = "x".repeat(100_000);
    assert_eq!(perform(&mut request, module, "patterns.eval", &long), [format!("<{long}>")]);
    request.close(Close::KeptAlive);
}

fn are_refused(module: &Module<'_>) {
    for pattern in ["$", "%{req.rawpath}", "\\x", "%[]", "a%{req.host}%"] {
        assert!(module.server().action("patterns.eval", Some(&Data::String(pattern.into()))).is_none(), "{pattern}");
        let lines = module.server().log.take();
        assert!(lines.len() == 2 && lines[0].contains(&format!("a pattern of \"{pattern}\": ")), "{lines:?}");
    }
}

fn spoil(module: &Module<'_>, what: &str) {
    let mut request = request(module);
    perform(&mut request, module, "patterns.spoil", what);
    request.close(Close::KeptAlive);
}

fn tell_of_requests_over_http() {
    let (_folder, file) = compiled("patterns");
    let pattern = "%{req.method} %{req.host} %{req.path} %{req.raw_path} %{req.remoteip} %{req.header[X]}";
    let site = Site::new().memory("guarded").module(&file);
    let running = start(&site.rule(Rule::all().set("patterns.eval", pattern).respond(200, "x")));
    exchange(&running, "BREW /a%20b?c#d HTTP/1.1\r\nHost: H:1\r\nConnection: close\r\nX: y\r\nX: z\r\n\r\n");
    let stopped = running.stop().unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<_> = stopped.log.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["<BREW h /a b /a%20b?c 127.0.0.1 y, z>"]);
}
