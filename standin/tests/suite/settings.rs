//! Values of the configuration of every kind that the ABI allows.

use crate::bench::{Bench, bench, load, prepare};
use crate::trial;
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::log::Log;
use standin::memory::Memory;
use standin::server::StandInServer;
use standin::value::{Data, Value};

/// A value, and what becomes of it: what it means, or what is said of it.
type Case<T> = (fn() -> Option<Data>, Result<T, &'static str>);

const FORMATS: &str = "progress.show expects an optional string as parameter";
const STRINGS: &str = "progress.methods option expects a list of strings";
const SECONDS: &str = "expected 0 to 31536000 seconds";
const POST: i64 = 1 << sys::LI_HTTP_METHOD_POST;

const TIMES_TO_LIVE: &[Case<()>] = &[
    (|| number(0), Ok(())),
    (|| number(31_536_000), Ok(())),
    (|| list(vec![number(1)]), Ok(())),
    (|| number(31_536_001), Err(SECONDS)),
    (|| number(-1), Err(SECONDS)),
    (|| number(i64::MIN), Err(SECONDS)),
    (|| number(i64::MAX), Err(SECONDS)),
    (|| None, Err("expected number, got NULL")),
    (|| Some(Data::None), Err("expected number, got none")),
    (|| list(vec![]), Err("expected number, got list")),
    (|| list(vec![None]), Err("expected number, got NULL")),
    (|| list(vec![None, number(1)]), Err("expected number, got list")),
    (|| list(vec![list(vec![number(1)])]), Err("expected number, got list")),
    (|| Some(Data::NullList), Err("expected number, got list")),
    (|| Some(Data::Boolean(true)), Err("expected number, got boolean")),
    (|| string("30\0"), Err("expected number, got string")),
    (|| Some(Data::NullString), Err("expected number, got string")),
    (|| Some(Data::Other(sys::LI_VALUE_ACTION)), Err("expected number, got action")),
    (|| Some(Data::Other(sys::LI_VALUE_CONDITION)), Err("expected number, got condition")),
    (|| Some(Data::Other(99)), Err("expected number, got <unknown>")),
];

const METHODS: &[Case<i64>] = &[
    (|| None, Ok(POST)),
    (|| Some(Data::None), Ok(POST)),
    (|| list(vec![]), Ok(0)),
    (|| Some(Data::NullList), Ok(0)),
    (|| string("PUT"), Ok(1 << sys::LI_HTTP_METHOD_PUT)),
    (|| list(vec![string("GET"), string("CONNECT"), string("GET")]), Ok(1 | 1 << sys::LI_HTTP_METHOD_CONNECT)),
    (|| list(vec![None]), Err(STRINGS)),
    (|| list(vec![string("GET"), None]), Err(STRINGS)),
    (|| list(vec![Some(Data::NullString)]), Err(STRINGS)),
    (|| list(vec![list(vec![string("GET")])]), Err(STRINGS)),
    (|| number(3), Err(STRINGS)),
    (|| Some(Data::NullString), Err(STRINGS)),
    (|| Some(Data::Other(99)), Err(STRINGS)),
    (|| string(""), Err("unknown method: ")),
    (|| string("get"), Err("unknown method: get")),
    (|| string("GET\0"), Err("unknown method: GET\\x00")),
    (|| string("\0GET"), Err("unknown method: \\x00GET")),
    (|| string("%s%n"), Err("unknown method: %s%n")),
    (|| Some(Data::String(vec![b'G'; 100_000])), Err("unknown method: GGG")),
    (|| Some(Data::String(vec![0xff, b'\n'])), Err("unknown method: \\xff\\n")),
];

const NOTHING: &[Case<()>] = &[
    (|| None, Ok(())),
    (|| Some(Data::None), Ok(())),
    (|| list(vec![]), Ok(())),
    (|| Some(Data::NullList), Ok(())),
    (|| list(vec![None]), Err("progress.track doesn't expect any parameters")),
    (|| number(0), Err("progress.track doesn't expect any parameters")),
    (|| Some(Data::NullString), Err("progress.track doesn't expect any parameters")),
    (|| Some(Data::Other(99)), Err("progress.track doesn't expect any parameters")),
];

const SHOWN: &[Case<()>] = &[
    (|| None, Ok(())),
    (|| Some(Data::None), Ok(())),
    (|| string("json"), Ok(())),
    (|| list(vec![string("jsonp")]), Ok(())),
    (|| string("legacy"), Ok(())),
    (|| string("dump"), Ok(())),
    (|| list(vec![None]), Ok(())),
    (|| list(vec![]), Err(FORMATS)),
    (|| Some(Data::NullList), Err(FORMATS)),
    (|| Some(Data::NullString), Err(FORMATS)),
    (|| number(0), Err(FORMATS)),
    (|| Some(Data::Other(99)), Err(FORMATS)),
    (|| list(vec![string("json"), string("json")]), Err(FORMATS)),
    (|| string(""), Err("progress.show: unknown format \"\"")),
    (|| string("json\0"), Err("progress.show: unknown format \"json\\x00\"")),
    (|| string("%s%n"), Err("progress.show: unknown format \"%s%n\"")),
];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("settings::time_to_live", || each(TIMES_TO_LIVE, &["Setup 'progress.ttl' failed"], time_to_live)),
        trial("settings::methods", || each(METHODS, &[], methods)),
        trial("settings::track_takes_nothing", || {
            each(NOTHING, &["Action 'progress.track' creation failed"], |server, value| {
                server.action("progress.track", value).map(|_| ())
            });
        }),
        trial("settings::formats", || {
            each(SHOWN, &["Action 'progress.show' creation failed"], |server, value| {
                server.action("progress.show", value).map(|_| ())
            });
        }),
        trial("settings::a_refused_value_changes_nothing", a_refused_value_changes_nothing),
    ]
}

fn number(number: i64) -> Option<Data> {
    Some(Data::Number(number))
}

fn string(text: &str) -> Option<Data> {
    Some(Data::String(text.into()))
}

fn list(items: Vec<Option<Data>>) -> Option<Data> {
    Some(Data::List(items))
}

/// Gives the module each value. What it refuses is in the log, in one line before those of the stand-in.
fn each<T: PartialEq + std::fmt::Debug + Copy>(
    cases: &[Case<T>],
    lines_of_the_standin: &[&str],
    give: impl Fn(&StandInServer, Option<&Data>) -> Option<T>,
) {
    for memory in [Memory::Guarded, Memory::Poisoned] {
        bench(memory, 1, |bench| {
            for (value, expected) in cases {
                let value = value();
                let name = format!("{value:?}").chars().take(80).collect::<String>();
                let given = give(bench.server(), value.as_ref());
                let lines = bench.server().log.take();
                match expected {
                    Ok(meaning) => {
                        assert_eq!(given, Some(*meaning), "{name}");
                        assert_eq!(lines, [""; 0], "{name}");
                    }
                    Err(reason) => {
                        assert_eq!(given, None, "{name}");
                        assert_eq!(lines.len(), 1 + lines_of_the_standin.len(), "{name}: {lines:?}");
                        assert!(lines[0].starts_with("(error) ") && lines[0].contains(reason), "{name}: {lines:?}");
                        for (line, text) in lines[1..].iter().zip(lines_of_the_standin) {
                            assert!(line.ends_with(text), "{name}: {lines:?}");
                        }
                    }
                }
            }
        });
    }
}

fn time_to_live(server: &StandInServer, value: Option<&Data>) -> Option<()> {
    server.set_up("progress.ttl", value).then_some(())
}

/// Unlike the server, it looks at no type first.
fn methods(server: &StandInServer, value: Option<&Data>) -> Option<i64> {
    const PLACE: usize = 1;
    let value = value.map(|data| Value::new(&server.heap, data));
    let mut parsed = sys::liOptionValue { number: -1 };
    // SAFETY: it is the plugin's second option, which it has a function for, and all it is given lives until it returns.
    unsafe {
        let plugin = server.plugin();
        let parse = (*(*plugin).options.add(PLACE)).parse_option.expect("this option has one");
        let value = Value::address(value.as_ref());
        let accepted = parse(server.as_ptr(), server.worker(0), plugin, PLACE, value, &raw mut parsed);
        (accepted != 0).then_some(parsed.number)
    }
}

fn a_refused_value_changes_nothing() {
    let server = StandInServer::new(1, Memory::Guarded, Log::kept());
    let module = load(&server);
    assert!(server.set_up("progress.ttl", number(0).as_ref()));
    assert!(!server.set_up("progress.ttl", number(-5).as_ref()));
    assert!(server.set_up("progress.methods", string("GET").as_ref()));
    assert!(!server.set_up("progress.methods", string("POTS").as_ref()));
    assert_eq!(server.log.take().len(), 3);
    assert_eq!(prepare(&module), [""; 0]);
    let [track, show] = ["progress.track", "progress.show"].map(|name| server.action(name, None).unwrap());
    let bench = Bench { module: &module, track, show };
    let request = bench.tracked(b"a");
    assert_eq!(request.slot(), 0, "POST is tracked again");
    drop(request);
    let mut request = standin::request::Request::new(bench.module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, Some(&crate::bench::query(b"a")), 0);
    request.perform(&bench.track);
    assert_ne!(request.slot(), 0, "GET is not tracked any more");
    drop(request);
    assert_eq!(bench.report(b"a"), r#"{"state": "unknown"}"#, "it does not end at once any more");
    drop(bench);
    drop(module);
    assert_eq!(server.log.take(), [""; 0]);
}
