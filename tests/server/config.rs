//! Each wrong configuration is refused, and says why.

use progress::{FORMATS, Format};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use testkit::suite::Test;
use testkit::{Level, Rule, Site};

pub const TESTS: &[Test] = &[
    Test::new("config::right_values_are_accepted", accepted),
    Test::new("config::ttl_text_is_refused", || ttl(json!("x"), &no_number("string"))),
    Test::new("config::ttl_list_of_two_is_refused", || ttl(json!([1, 2]), &no_number("list"))),
    Test::new("config::ttl_list_of_text_is_refused", || ttl(json!(["x"]), &no_number("string"))),
    Test::new("config::ttl_boolean_is_refused", || ttl(json!(true), &no_number("boolean"))),
    Test::new("config::ttl_without_a_value_is_refused", || ttl(json!(null), &no_number("NULL"))),
    Test::new("config::ttl_below_zero_is_refused", || ttl(json!(-5), &out_of_range("-5"))),
    Test::new("config::ttl_of_more_than_a_year_is_refused", || ttl(json!(31_536_001), &out_of_range("31536001"))),
    Test::new("config::ttl_of_many_years_is_refused", || ttl(json!(1_i64 << 62), &out_of_range("4611686018427387904"))),
    Test::new("config::ttl_list_below_zero_is_refused", || ttl(json!([-1]), &out_of_range("-1"))),
    Test::new("config::few_entries_are_refused", || {
        entries(json!(999), "progress.entries: expected 1000 to 50000000 entries, got 999")
    }),
    Test::new("config::too_many_entries_are_refused", || {
        entries(json!(50_000_001), "progress.entries: expected 1000 to 50000000 entries, got 50000001")
    }),
    Test::new("config::entries_text_is_refused", || {
        entries(json!("many"), "expected number, got string: progress.entries takes 1000 to 50000000 entries")
    }),
    Test::new("config::unknown_method_is_refused", || methods(json!(["FOO"]), &unknown_method("FOO"))),
    Test::new("config::unknown_method_by_itself_is_refused", || methods(json!("FOO"), &unknown_method("FOO"))),
    Test::new("config::method_in_small_letters_is_refused", || {
        methods(json!(["GET", "post"]), &unknown_method("post"))
    }),
    Test::new("config::method_without_a_name_is_refused", || methods(json!(""), &unknown_method(""))),
    Test::new("config::method_number_is_refused", || methods(json!(3), &no_string(0, "number"))),
    Test::new("config::method_number_in_a_list_is_refused", || methods(json!(["GET", 3]), &no_string(1, "number"))),
    Test::new("config::method_list_in_a_list_is_refused", || {
        methods(json!(["GET", "PUT", ["POST"]]), &no_string(2, "list"))
    }),
    Test::new("config::debug_number_is_refused", || {
        setup(
            "progress.debug",
            json!(3),
            "Unexpected value type 'number', expected 'boolean' for option progress.debug",
        );
    }),
    Test::new("config::show_unknown_format_is_refused", || show(json!("nope"), &unknown_format("nope"))),
    Test::new("config::show_format_in_capitals_is_refused", || show(json!("JSON"), &unknown_format("JSON"))),
    Test::new("config::show_number_is_refused", || show(json!(3), &no_format("number"))),
    Test::new("config::show_two_formats_are_refused", || show(json!(["json", "jsonp"]), &no_format("list"))),
    Test::new("config::track_text_is_refused_in_its_own_name", || track(json!("x"), "string")),
    Test::new("config::track_number_is_refused_in_its_own_name", || track(json!(1), "number")),
    Test::new("config::method_in_a_rule_is_refused", || {
        action("progress.methods", json!("FOO"), &unknown_method("FOO"));
    }),
    Test::new("config::id_number_is_refused", || {
        setup("progress.id", json!(3), "progress.id: expected a pattern, got number")
    }),
    Test::new("config::id_of_nothing_is_refused", || no_pattern("progress.id", json!(["%1", ""]), "")),
    Test::new("config::id_that_is_no_pattern_is_refused", || {
        no_pattern("progress.id", json!(["%1", "%{req.nope}"]), "%{req.nope}")
    }),
    Test::new("config::id_without_a_key_is_refused", || {
        setup(
            "progress.id",
            json!("%{req.header}"),
            "progress.id: expected a key in brackets for %{req.header}, like \"%{req.header[X-Upload]}\"",
        );
    }),
    Test::new("config::id_with_an_open_range_is_refused", || {
        setup("progress.id", json!("%[-0]"), "progress.id: expected a range of numbers like %[1-3], got %[-0]");
    }),
    Test::new("config::id_with_a_dollar_is_refused", || {
        let expected = "progress.id: expected %1 for what a regular expression has captured, got $; \\$ is a dollar";
        setup("progress.id", json!("$1"), expected);
    }),
    Test::new("config::template_with_an_id_outside_of_quotes_is_refused", || {
        template(
            &[("type", Some("text/javascript")), ("done", Some("f({id})"))],
            "{id} in \"done\" of a template, expected it between quotes (JSON, scripts), in text or a quoted attribute that \
             is no code or address, behind plain tags (XML, HTML), or in plain text",
        );
    }),
    Test::new("config::scope_that_is_no_pattern_is_refused", || {
        no_pattern("progress.scope", json!("%{req.nope}"), "%{req.nope}")
    }),
    Test::new("config::scope_of_nothing_is_refused", || no_pattern("progress.scope", json!(""), "")),
    Test::new("config::two_scopes_are_refused", || {
        setup("progress.scope", json!(["a", "b"]), "progress.scope: expected a pattern, got list")
    }),
    Test::new("config::success_word_is_refused", || success(json!(["2xx", "good"]), "got \"good\"")),
    Test::new("config::success_class_that_there_is_not_is_refused", || success(json!("6xx"), "got \"6xx\"")),
    Test::new("config::success_number_out_of_range_is_refused", || success(json!([200, 1000]), "got \"1000\"")),
    Test::new("config::success_boolean_is_refused", || success(json!(true), "got boolean")),
    Test::new("config::callback_with_a_space_is_refused", || callback(json!("a b"), "got \"a b\"")),
    Test::new("config::callback_of_nothing_is_refused", || callback(json!(""), "got \"\"")),
    Test::new("config::callback_number_is_refused", || callback(json!(3), "got number")),
    Test::new("config::long_callback_is_refused", || {
        let key = "k".repeat(65);
        callback(json!(key), &format!("got \"{key}\""));
    }),
    Test::new("config::origin_with_a_path_is_refused", || {
        cors(json!("https://a.example/"), "got \"https://a.example/\"")
    }),
    Test::new("config::origin_without_a_scheme_is_refused", || {
        cors(json!(["https://b", "a.example"]), "got \"a.example\"")
    }),
    Test::new("config::origin_with_a_port_that_browsers_leave_out_is_refused", || {
        cors(json!("https://a.example:443"), "got \"https://a.example:443\"");
    }),
    Test::new("config::origin_whose_port_has_a_sign_is_refused", || {
        cors(json!("https://a:+81"), "got \"https://a:+81\"")
    }),
    Test::new("config::origin_with_two_ports_is_refused", || cors(json!("https://a:1:2"), "got \"https://a:1:2\"")),
    Test::new("config::any_origin_among_others_is_refused", || cors(json!(["*", "https://a.example"]), "got \"*\"")),
    Test::new("config::origin_number_is_refused", || cors(json!([1]), "got number")),
    Test::new("config::template_without_a_state_is_refused", || {
        template(&[("error", None)], "template without \"error\", expected type, unknown, running, done, error");
    }),
    Test::new("config::template_without_a_type_is_refused", || {
        template(&[("type", None)], "template without \"type\", expected type, unknown, running, done, error");
    }),
    Test::new("config::template_with_another_member_is_refused", || {
        template(&[("lost", Some("x"))], "template with \"lost\", expected type, unknown, running, done, error");
    }),
    Test::new("config::template_with_an_unknown_placeholder_is_refused", || {
        template(
            &[("running", Some("{sizes}"))],
            "unknown placeholder {sizes} in \"running\" of a template, expected one of state, phase, received, request_size, \
             sent, response_size, status, elapsed, rate, remaining, reason, callback, id",
        );
    }),
    Test::new("config::template_with_a_lone_brace_is_refused", || {
        template(
            &[("done", Some("a } b"))],
            "brace without its other at byte 2 of \"done\" of a template, expected {{ or }} for one brace",
        );
    }),
    Test::new("config::template_of_no_type_is_refused", || {
        template(&[("type", Some("xml"))], "template of type \"xml\", expected a media type like text/xml");
    }),
    Test::new("config::template_with_a_number_is_refused", || {
        action("progress.show", json!({ "type": "text/xml", "unknown": 3 }), &no_format("list"));
    }),
    Test::new("config::a_short_interval_is_refused", || {
        action("progress.stream", json!(49), "progress.stream: expected 50 to 60000 milliseconds, got 49");
    }),
    Test::new("config::a_long_interval_is_refused", || {
        action("progress.stream", json!(60_001), "progress.stream: expected 50 to 60000 milliseconds, got 60001");
    }),
    Test::new("config::an_interval_that_is_text_is_refused", || {
        action(
            "progress.stream",
            json!("x"),
            "expected number, got string: progress.stream takes 50 to 60000 milliseconds",
        );
    }),
    Test::new("config::a_list_with_another_word_is_refused", || {
        action("progress.list", json!("all"), "progress.list: expected nothing or \"ids\", got \"all\"");
    }),
    Test::new("config::a_list_with_a_number_is_refused", || {
        action("progress.list", json!(3), "progress.list: expected nothing or \"ids\", got number");
    }),
    Test::new("config::a_status_with_another_word_is_refused", || {
        action("progress.status", json!("id"), "progress.status: expected nothing or \"ids\", got \"id\"");
    }),
    Test::new("config::a_status_with_a_list_is_refused", || {
        action("progress.status", json!(["ids", "ids"]), "progress.status: expected nothing or \"ids\", got list");
    }),
    Test::new("config::metrics_with_a_value_are_refused", || {
        action(
            "progress.metrics",
            json!("x"),
            "progress.metrics doesn't expect any parameters, got one of type string",
        );
    }),
    Test::new("config::a_store_that_is_not_there_is_refused", || {
        let expected =
            "progress.store: expected a directory: No such file or directory (os error 2), got \"/none/such\"";
        setup("progress.store", json!("/none/such"), expected);
    }),
    Test::new("config::a_store_that_is_a_file_is_refused", || {
        let expected = "progress.store: expected a directory: Not a directory (os error 20), got \"/proc/version\"";
        setup("progress.store", json!("/proc/version"), expected);
    }),
    Test::new("config::a_store_that_cannot_be_written_to_is_refused", || {
        let expected = "progress.store: expected a directory that can be written to: No such file or directory (os error 2), got \"/proc\"";
        setup("progress.store", json!("/proc"), expected);
    }),
    Test::new("config::a_store_that_others_write_to_is_refused", || {
        let expected = "progress.store: expected a directory that nobody but its user writes to, got \"/tmp\"";
        setup("progress.store", json!("/tmp"), expected);
    }),
    Test::new("config::a_store_number_is_refused", || {
        setup("progress.store", json!(3), "progress.store: expected the path of a directory, got number");
    }),
    Test::new("config::a_secret_that_is_not_there_is_refused", || {
        let expected = "progress.secret: expected a file: No such file or directory (os error 2), got \"/none/such\"";
        setup("progress.secret", json!("/none/such"), expected);
    }),
    Test::new("config::a_secret_that_is_a_directory_is_refused", || {
        setup("progress.secret", json!("/"), "progress.secret: expected a file, got \"/\"");
    }),
    Test::new("config::a_secret_that_others_read_is_refused", || {
        let expected =
            "progress.secret: expected a file that only its owner and group read, and only its owner writes, got";
        with_file("a secret that is long enough", 0o604, |path| {
            setup("progress.secret", json!(path), &format!("{expected} \"{path}\""))
        });
    }),
    Test::new("config::a_short_secret_is_refused", || {
        with_file("fifteen bytes..\n", 0o600, |path| {
            let expected = format!("progress.secret: expected a file of at least 16 bytes, not 15, got \"{path}\"");
            setup("progress.secret", json!(path), &expected);
        });
    }),
    Test::new("config::a_share_without_a_secret_is_refused", || {
        let expected = "progress.share: expected progress.secret before it, got \"redis://127.0.0.1\"";
        setup("progress.share", json!("redis://127.0.0.1"), expected);
    }),
    Test::new("config::a_share_that_is_no_address_is_refused", || {
        for got in ["http://127.0.0.1", "redis://127.0.0.1:x", "memcached://127.0.0.1?auth=/x"] {
            setup("progress.share", json!(got), &format!("progress.share: expected {ADDRESSES}, got \"{got}\""));
        }
    }),
    Test::new("config::a_share_number_is_refused", || {
        setup("progress.share", json!(3), &format!("progress.share: expected {ADDRESSES}, got number"));
    }),
    Test::new("config::a_share_with_a_password_that_others_read_is_refused", || {
        with_file("open sesame", 0o644, |path| {
            let got = format!("redis://127.0.0.1?auth={path}");
            let expected =
                "progress.share: auth: expected a file that only its owner and group read, and only its owner writes";
            setup("progress.share", json!(got), &format!("{expected}, got \"{got}\""));
        });
    }),
    Test::new("config::an_empty_password_is_refused", || {
        with_file("user:\n", 0o640, |path| {
            let got = format!("unix:/run/redis.sock?auth={path}");
            let expected = "progress.share: auth: expected PASSWORD or USER:PASSWORD in its first line";
            setup("progress.share", json!(got), &format!("{expected}, got \"{got}\""));
        });
    }),
    Test::new("config::share_times_out_of_range_are_refused", || {
        for name in ["progress.share_interval", "progress.share_timeout"] {
            for got in [49, 60_001] {
                setup(name, json!(got), &format!("{name}: expected 50 to 60000 milliseconds, got {got}"));
            }
        }
    }),
    Test::new("config::watchers_below_zero_are_refused", || {
        setup("progress.watchers", json!(-1), "progress.watchers: expected 0 to 1000000 watchers, got -1");
    }),
    Test::new("config::too_many_watchers_are_refused", || {
        setup("progress.watchers", json!(1_000_001), "progress.watchers: expected 0 to 1000000 watchers, got 1000001");
    }),
    Test::new("config::unknown_setup_is_refused", || setup("progress.nope", json!(3), "unknown setup progress.nope")),
    Test::new("config::unknown_action_is_refused", || {
        action("progress.nope", json!(null), "unknown action progress.nope")
    }),
];

/// What `progress.share` accepts.
const ADDRESSES: &str = "\"redis://HOST:PORT/DB\", \"unix:/PATH?db=DB\", \"memcached://HOST:PORT\" or \"memcached:/PATH\", \
     those of Redis with \"?auth=FILE\"";

/// A file with a text, and what its owner, its group and others may do with it.
fn with_file(text: &str, mode: u32, test: impl FnOnce(&str)) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("it is written");
    fs::set_permissions(file.path(), Permissions::from_mode(mode)).expect("it is ours");
    test(file.path().to_str().expect("a path"));
}

/// What `progress.methods` accepts.
const METHODS: &str = "expected one of GET, POST, HEAD, OPTIONS, PROPFIND, MKCOL, PUT, DELETE, COPY, MOVE, PROPPATCH, REPORT, \
     CHECKOUT, CHECKIN, VERSION-CONTROL, UNCHECKOUT, MKACTIVITY, MERGE, LOCK, UNLOCK, LABEL, CONNECT";

/// What `progress.show` accepts.
fn formats() -> String {
    format!("expected one of {}", Format::names())
}

fn out_of_range(value: &str) -> String {
    format!("progress.ttl: expected 0 to 31536000 seconds, got {value}")
}

fn no_number(kind: &str) -> String {
    format!("expected number, got {kind}: progress.ttl takes 0 to 31536000 seconds")
}

fn unknown_format(name: &str) -> String {
    format!("progress.show: unknown format \"{name}\", {}", formats())
}

fn no_format(kind: &str) -> String {
    format!("progress.show expects an optional string as parameter, got {kind}, {}, or a template", formats())
}

fn no_pattern(option: &str, value: Value, text: &str) {
    let checked = site().set(option, value).check();
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let expected =
        format!("{option}: expected a pattern as lighttpd2 has them, like \"%{{req.host}}\", got \"{text}\"");
    // Before it comes what lighttpd2 itself has to say of the pattern.
    let is_there = checked.log.iter().any(|line| line.level == Level::Error && line.text == expected);
    assert!(is_there, "{expected}: {checked:?}");
}

fn success(value: Value, got: &str) {
    let expected = format!("progress.success: expected statuses from 100 to 599 and classes from 1xx to 5xx, {got}");
    setup("progress.success", value, &expected);
}

fn callback(value: Value, got: &str) {
    let expected = format!("progress.callback: expected 1 to 64 letters, digits, '.', '_' and '-', {got}");
    setup("progress.callback", value, &expected);
}

fn cors(value: Value, got: &str) {
    let expected = format!(
        "progress.cors: expected \"*\", or a list of origins as browsers send them, like \"https://app.example\", {got}"
    );
    setup("progress.cors", value, &expected);
}

/// A template is refused that is a good one but for these members, which are others or none.
fn template(members: &[(&str, Option<&str>)], expected: &str) {
    let mut value = json!({ "type": "text/xml", "unknown": "u", "running": "r", "done": "d", "error": "e" });
    for (name, text) in members {
        match text {
            Some(text) => value[*name] = json!(text),
            None => {
                value.as_object_mut().expect("an object").remove(*name);
            }
        }
    }
    action("progress.show", value, &format!("progress.show: {expected}"));
}

fn unknown_method(name: &str) -> String {
    format!("progress.methods: unknown method: {name}, {METHODS}")
}

fn no_string(entry: usize, kind: &str) -> String {
    format!("progress.methods option expects a list of strings, entry #{entry} is of type {kind}, {METHODS}")
}

fn ttl(value: Value, expected: &str) {
    setup("progress.ttl", value, expected);
}

fn entries(value: Value, expected: &str) {
    setup("progress.entries", value, expected);
}

fn methods(value: Value, expected: &str) {
    setup("progress.methods", value, expected);
}

fn show(value: Value, expected: &str) {
    action("progress.show", value, expected);
}

fn track(value: Value, kind: &str) {
    action("progress.track", value, &format!("progress.track doesn't expect any parameters, got one of type {kind}"));
}

fn setup(name: &str, value: Value, expected: &str) {
    assert_refused(&site().set(name, value), expected);
}

fn action(name: &str, value: Value, expected: &str) {
    assert_refused(&Site::new().rule(Rule::all().set(name, value).respond(200, "x")), expected);
}

fn site() -> Site {
    Site::new().rule(Rule::all().respond(200, "x"))
}

/// The reason comes first and once; what follows is the host's.
fn assert_refused(site: &Site, expected: &str) {
    let checked = site.check();
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let mut lines = checked.log.iter();
    let first = lines.next().unwrap_or_else(|| panic!("nothing is in the log"));
    assert_eq!((first.level, &*first.text), (Level::Error, expected));
    let of_host = ["Setup '", "Action '", "config error: "];
    for line in lines {
        let is_of_host = of_host.iter().any(|start| line.text.starts_with(start));
        assert!(line.level == Level::Error && is_of_host, "unexpected line: {line}");
    }
    let started = testkit::Host::choose().and_then(|host| site.start(&host));
    let refusal = started.err().unwrap_or_else(|| panic!("the host starts all the same"));
    assert!(refusal.contains(expected), "{refusal}");
}

fn accepted() {
    let setups = [
        ("progress.ttl", json!(0)),
        ("progress.ttl", json!(1)),
        ("progress.ttl", json!([60])),
        ("progress.ttl", json!(31_536_000)),
        ("progress.entries", json!(1000)),
        ("progress.entries", json!([50_000_000])),
        ("progress.watchers", json!(0)),
        ("progress.watchers", json!([1_000_000])),
        ("progress.methods", json!("GET")),
        ("progress.methods", json!(["GET", "POST", "PUT", "CONNECT"])),
        ("progress.methods", json!([])),
        ("progress.debug", json!(true)),
        ("progress.debug", json!(false)),
        ("progress.id", json!("%{req.header[X-Upload]}")),
        ("progress.id", json!(["%1", "a-%{req.host}", "\\%"])),
        ("progress.scope", json!("%{req.remoteip}")),
        ("progress.scope", json!(["%{req.env[REMOTE_USER]}"])),
        ("progress.success", json!(["2xx", "304"])),
        ("progress.success", json!([200, 303])),
        ("progress.success", json!("2xx")),
        ("progress.callback", json!("jsonp_callback")),
        ("progress.cors", json!("*")),
        (
            "progress.cors",
            json!(["https://a.example", "http://localhost:3000", "http://[::1]:8080", "https://a.example:80"]),
        ),
    ];
    let actions = [
        ("progress.show", json!(null)),
        ("progress.show", json!(["legacy"])),
        ("progress.track", json!(null)),
        ("progress.stream", json!(null)),
        ("progress.stream", json!(50)),
        ("progress.stream", json!([60_000])),
        ("progress.list", json!(null)),
        ("progress.list", json!("ids")),
        ("progress.list", json!(["ids"])),
        ("progress.status", json!(null)),
        ("progress.status", json!("ids")),
        ("progress.metrics", json!(null)),
        ("progress.methods", json!("PUT")),
        ("progress.methods", json!(["PUT", "GET"])),
        ("progress.methods", json!(null)),
        ("progress.debug", json!(true)),
        ("progress.debug", json!(null)),
        ("progress.id", json!("%1")),
        ("progress.scope", json!("%{req.host}")),
        ("progress.success", json!(204)),
        ("progress.callback", json!("cb")),
        ("progress.cors", json!("*")),
        (
            "progress.show",
            json!({ "type": "text/plain", "unknown": "{{", "running": "{id}", "done": "", "error": "{reason|?}" }),
        ),
    ];
    let sites = setups.map(|(name, value)| (format!("setup {name} {value}"), site().set(name, value)));
    let rules = actions.map(|(name, value)| {
        (format!("action {name} {value}"), Site::new().rule(Rule::all().set(name, value).respond(200, "x")))
    });
    let shows = FORMATS
        .iter()
        .map(|format| (format.name.to_string(), Site::new().rule(Rule::all().show_as(format.name).respond(200, "x"))));
    for (what, site) in sites.into_iter().chain(rules).chain(shows) {
        let checked = site.check();
        assert!(
            checked.status.success() && checked.log.iter().all(|line| line.level != Level::Error),
            "{what}: {checked:?}"
        );
    }
}
