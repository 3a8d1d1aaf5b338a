//! Servers that are not as the module's declarations say.

use crate::bench::{Bench, bench, load, prepare, query};
use crate::trial;
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::log::Log;
use standin::memory::Memory;
use standin::module::Module;
use standin::request::{Close, Request};
use standin::server::{Layout, StandInServer};
use std::ptr;
use std::sync::Arc;
use testkit::module;

/// Its name, what makes the server another one, and what the module says of it.
type Case = (&'static str, fn(Layout<'_>), &'static str);

/// The module is not loaded.
const REFUSED: &[Case] = &[
    ("an_older_module_version", |it| it.modules.version = 0, "module version 0 instead of 1"),
    ("a_newer_module_version", |it| it.modules.version = 2, "module version 2 instead of 1"),
    ("small_file_offsets", |it| it.modules.sizeof_off_t = 4, "off_t of 4 bytes instead of 8"),
    ("no_size_of_file_offsets", |it| it.modules.sizeof_off_t = 0, "off_t of 0 bytes"),
    ("another_magic_number", |it| it.server.magic = 0x1234_5678, "server magic 0x12345678"),
    ("a_server_of_zeros", |it| it.server.magic = 0, "server magic 0x0"),
];

/// The module is loaded, and stays inactive.
const INACTIVE: &[Case] = &[
    ("the_magic_number_changes", |it| it.server.magic = 1, "server magic 0x1"),
    ("no_array_of_workers", |it| it.server.workers = ptr::null_mut(), "no array of workers"),
    ("an_array_of_nothing", |it| it.array.data = ptr::null_mut(), "no array of workers"),
    ("a_shorter_array", |it| it.array.len = 3, "4 workers, but an array of 3"),
    ("a_longer_array", |it| it.array.len = 5, "4 workers, but an array of 5"),
    ("another_count", |it| it.server.worker_count = 5, "5 workers, but an array of 4"),
    ("no_workers", |it| (it.server.worker_count, it.array.len) = (0, 0), "0 workers"),
    ("another_main_worker", |it| it.server.main_worker = it.pointers[1], "worker 0 is not the main worker"),
    ("a_missing_worker", |it| it.pointers[2] = ptr::null_mut(), "worker 2 is missing"),
    ("workers_in_another_order", |it| it.pointers.swap(1, 2), "worker 1 says it is worker 2"),
    ("a_wrong_number", |mut it| it.workers[3].ndx = 4, "worker 3 says it is worker 4"),
    ("workers_of_another_server", |mut it| it.workers[1].srv = ptr::dangling_mut(), "worker 1 says"),
    ("workers_of_no_server", |mut it| it.workers[1].srv = ptr::null_mut(), "worker 1 says"),
];

pub fn trials() -> Vec<Trial> {
    let refusals = REFUSED
        .iter()
        .map(|&(name, change, reason)| trial(format!("hosts::refused::{name}"), move || refused(change, reason)));
    let inactivity = INACTIVE
        .iter()
        .map(|&(name, change, reason)| trial(format!("hosts::inactive::{name}"), move || inactive(change, reason)));
    let others = [
        trial("hosts::refused::no_server", refuses_without_a_server),
        trial("hosts::refused::other_plugins", refuses_other_plugins),
        trial("hosts::refused::a_server_that_takes_no_plugins", refuses_a_server_that_takes_no_plugins),
        trial("hosts::a_good_one_is_not_refused", || bench(Memory::Guarded, 4, |_| ())),
    ];
    refusals.chain(inactivity).chain(others).collect()
}

fn server() -> Arc<StandInServer> {
    StandInServer::new(4, Memory::Guarded, Log::kept())
}

fn spoil(server: &StandInServer, change: fn(Layout<'_>)) {
    // SAFETY: no worker runs, and the module does nothing now.
    change(unsafe { server.layout() });
}

fn expect_refusal(server: &StandInServer, reason: &str) {
    assert!(Module::load(server, &module().unwrap()).is_err(), "it is loaded");
    assert!(server.plugin().is_null(), "its plugin is left");
    expect_line(&server.log.take(), "mod_progress cannot be used with this server: ", reason);
}

/// There is one line of the module's among these, with these two in it.
fn expect_line(lines: &[String], what: &str, why: &str) {
    let own = ["could not load module", "Cannot register plugin"];
    let lines: Vec<_> = lines.iter().filter(|line| !own.iter().any(|text| line.contains(text))).collect();
    let [line] = lines.as_slice() else { panic!("one line was expected: {lines:?}") };
    assert!(line.starts_with("(error) ") && line.contains(what) && line.contains(why), "{line}");
}

fn refused(change: fn(Layout<'_>), reason: &str) {
    let server = server();
    spoil(&server, change);
    expect_refusal(&server, reason);
}

fn refuses_other_plugins() {
    let server = server();
    server.displace_plugins();
    expect_refusal(&server, "a plugin has another layout");
}

fn refuses_a_server_that_takes_no_plugins() {
    let server = server();
    server.set_running(true);
    expect_refusal(&server, "it cannot be registered");
}

fn refuses_without_a_server() {
    let server = server();
    spoil(&server, |it| it.modules.main = ptr::null_mut());
    assert!(Module::load(&server, &module().unwrap()).is_err(), "it is loaded");
}

fn inactive(change: fn(Layout<'_>), reason: &str) {
    let server = server();
    let module = load(&server);
    let [track, show] = ["progress.track", "progress.show"].map(|name| server.action(name, None).unwrap());
    spoil(&server, change);
    expect_line(&prepare(&module), "it stays inactive", reason);

    let bench = Bench { module: &module, track, show };
    let mut request = bench.tracked(b"a");
    assert_eq!(request.slot(), 0, "it tracks a request");
    request.set_status(200);
    request.close(Close::Ended);
    let mut request = Request::new(&module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, Some(&query(b"a")), 0);
    request.perform(&bench.show);
    assert!(!request.is_handled(), "it answers");
    request.close(Close::Ended);
    drop(bench);
    drop(module);
    assert_eq!(server.log.take(), [""; 0]);
}
