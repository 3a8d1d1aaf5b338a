//! Options behind pointers: what becomes of their values, with the module `tests/modules/pointers.c`.

use crate::c_module::{compiled, need_compiler};
use crate::trial;
use crate::violation::violation;
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::action::Action;
use standin::log::Log;
use standin::memory::Memory;
use standin::module::Module;
use standin::request::{Close, Request};
use standin::server::StandInServer;
use standin::value::Data;

type Test = fn(&Module<'_>);

const DEFAULTS: [&str; 2] = ["parse 0 -1", "parse 1 -1"];

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 5] = [
        ("have_values_by_default", have_values_by_default),
        ("are_set_up", are_set_up),
        ("are_set_by_actions", are_set_by_actions),
        ("take_values_of_their_type", take_values_of_their_type),
        ("live_as_long_as_they_are_used", live_as_long_as_they_are_used),
    ];
    let violations: [(&str, &str, Test); 5] = [
        ("an_option_before", "it writes into the options of a request", |module| spoil(module, 1)),
        ("an_option_after", "it writes into the options of a request", |module| spoil(module, 2)),
        ("an_own_option", "it writes into the options of a request", |module| spoil(module, 3)),
        ("a_value", "it writes into the value of an option", |module| spoil(module, 4)),
        ("null_by_an_action", "an action sets an option to NULL", set_to_null),
    ];
    let tests = tests.map(|(name, test)| trial(format!("pointers::{name}"), move || with_module(test)));
    let violations = violations.map(|(name, reason, test)| {
        violation(format!("pointers::violations::{name}"), reason, move || with_module(test))
    });
    need_compiler(tests.into_iter().chain(violations).collect())
}

/// Runs `test` with the module loaded. It has to take the lines that it expects from the log.
fn with_module(test: Test) {
    let (_folder, file) = compiled("pointers");
    for memory in [Memory::Guarded, Memory::Poisoned] {
        let server = StandInServer::new(1, memory, Log::kept());
        let module = Module::load(&server, &file).expect("it is a good server");
        assert_eq!(server.log.take(), DEFAULTS);
        test(&module);
        assert_eq!(server.log.take(), [""; 0], "nobody expected that");
        drop(module);
        let lines = server.log.take();
        assert_eq!(lines.last().map(String::as_str), Some("gone"), "{lines:?}");
        let numbers: Vec<_> = lines[..lines.len() - 1].iter().map(|line| &line[..6]).collect();
        assert!(numbers == ["free 0", "free 1"], "the defaults are released once, before the plugin: {lines:?}");
    }
}

fn numbers(count: i64) -> Data {
    Data::List((0..count).map(|number| Some(Data::Number(number))).collect())
}

fn action<'m>(module: &Module<'m>, name: &str, value: Option<&Data>) -> Action<'m> {
    module.server().action(name, value).unwrap_or_else(|| panic!("{name} fails"))
}

/// A new request's options, after these actions.
fn options(module: &Module<'_>, actions: &[&Action<'_>]) -> String {
    let look = action(module, "pointers.look", None);
    let mut request = Request::new(module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, None, 0);
    for action in actions.iter().copied().chain([&look]) {
        request.perform(action);
    }
    let lines = module.server().log.take();
    request.close(Close::KeptAlive);
    lines.last().cloned().unwrap_or_default()
}

fn have_values_by_default(module: &Module<'_>) {
    assert_eq!(options(module, &[]), "has -1 -1 by default");
}

fn are_set_up(module: &Module<'_>) {
    let server = module.server();
    assert!(server.set_up("pointers.list", Some(&numbers(2))));
    assert_eq!(server.log.take(), ["parse 0 2", "free 0 -1"]);
    assert!(server.set_up("pointers.text", Some(&Data::String(b"other".into()))));
    assert_eq!(options(module, &[]), "has 2 -1 other");
    assert!(!server.set_up("pointers.list", Some(&numbers(3))), "the module refuses this one");
    assert!(server.set_up("pointers.any", Some(&Data::Number(9))), "it may become NULL here");
    assert_eq!(server.log.take(), ["free 1 -1"]);
    assert_eq!(options(module, &[]), "has 2 0 other");
    assert!(server.set_up("pointers.any", None));
    assert_eq!(server.log.take(), ["parse 1 -1"]);
}

fn are_set_by_actions(module: &Module<'_>) {
    let server = module.server();
    let set = action(module, "pointers.list", Some(&numbers(2)));
    let again = action(module, "pointers.list", Some(&numbers(4)));
    let text = action(module, "pointers.text", Some(&Data::List(vec![Some(Data::String(b"x".into()))])));
    assert_eq!(server.log.take(), ["parse 0 2", "parse 0 4"]);
    assert_eq!(options(module, &[&set, &text]), "has 2 -1 x");
    assert_eq!(options(module, &[&again, &set, &set]), "has 2 -1 by default");
    assert_eq!(options(module, &[]), "has -1 -1 by default", "another request is not set");
    drop((set, text));
    assert_eq!(server.log.take(), ["free 0 2"]);
    drop(again);
    assert_eq!(server.log.take(), ["free 0 4"]);
}

fn take_values_of_their_type(module: &Module<'_>) {
    let server = module.server();
    let refused = "Unexpected value type 'number', expected 'string' for option pointers.text";
    assert!(!server.set_up("pointers.text", Some(&Data::Number(1))));
    let lines = server.log.take();
    assert!(lines.len() == 1 && lines[0].ends_with(refused), "{lines:?}");
    for (name, value, line) in [
        ("pointers.list", Data::Number(7), "parse 0 1"),
        ("pointers.list", Data::List(vec![Some(Data::Number(7))]), "parse 0 1"),
        ("pointers.list", Data::List(vec![]), "parse 0 -1"),
        ("pointers.any", Data::Number(7), "parse 1 107"),
        ("pointers.any", Data::Boolean(true), "parse 1 -1"),
        ("pointers.any", numbers(2), "parse 1 2"),
    ] {
        drop(action(module, name, Some(&value)));
        assert_eq!(server.log.take(), [line.to_string(), line.replace("parse", "free")], "{value:?}");
    }
}

fn live_as_long_as_they_are_used(module: &Module<'_>) {
    let server = module.server();
    let mut request = Request::new(module, 0);
    assert!(server.set_up("pointers.list", Some(&numbers(2))));
    assert_eq!(server.log.take(), ["parse 0 2"], "the request still has the former value");
    let set = action(module, "pointers.list", Some(&numbers(5)));
    request.perform(&set);
    assert_eq!(server.log.take(), ["parse 0 5", "free 0 -1"]);
    drop(set);
    assert_eq!(server.log.take(), [""; 0], "the request still has it");
    request.recycle();
    assert_eq!(server.log.take(), ["free 0 5"]);
    assert_eq!(options(module, &[]), "has 2 -1 by default");
    request.close(Close::Ended);
}

fn spoil(module: &Module<'_>, which: i64) {
    let spoil = action(module, "pointers.spoil", Some(&Data::Number(which)));
    let mut request = Request::new(module, 0);
    request.perform(&spoil);
    request.close(Close::Ended);
}

fn set_to_null(module: &Module<'_>) {
    let set = action(module, "pointers.any", Some(&Data::Number(9)));
    let mut request = Request::new(module, 0);
    request.perform(&set);
}
