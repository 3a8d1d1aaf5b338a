//! Clients that watch a request, by what they read.

use crate::bench::{Bench, bench, query};
use crate::trial;
use libtest_mimic::Trial;
use lighttpd2::sys;
use standin::action::Action;
use standin::memory::Memory;
use standin::request::{Close, Request};
use std::time::Duration;
use testkit::wait;

/// As long as a beat at the least.
const BEAT: Duration = Duration::from_millis(50);

pub fn trials() -> Vec<Trial> {
    [Memory::Guarded, Memory::Poisoned]
        .into_iter()
        .map(|memory| {
            let name = format!("watching::who_does_not_read_gets_the_newest_later::{memory:?}").to_lowercase();
            trial(name, move || bench(memory, 1, who_does_not_read))
        })
        .collect()
}

/// A client that watches `a`.
fn watcher<'m>(bench: &Bench<'m>, stream: &Action<'_>) -> Request<'m> {
    let mut request = Request::new(bench.module, 0);
    request.enter(sys::LI_HTTP_METHOD_GET, Some(&query(b"a")), 0);
    request.perform(stream);
    request
}

/// What was received, by each event that a client has got.
fn received(request: &Request<'_>) -> Vec<i64> {
    let text = String::from_utf8(request.body_so_far()).expect("events are UTF-8");
    let numbers = text.split("\"received\":").skip(1).map(|rest| rest.split(',').next().expect("a number"));
    numbers.map(|number| number.parse().expect("a number")).collect()
}

/// It holds one event, whatever happens meanwhile, and then hears how it is by then.
fn who_does_not_read(bench: &Bench<'_>) {
    bench.module.handle_prepare_worker(0);
    let interval = standin::value::Data::Number(50);
    let stream = bench.server().action("progress.stream", Some(&interval)).expect("the module has this action");
    let upload = bench.tracked(b"a");
    let [mut reads, mut waits] = [watcher(bench, &stream), watcher(bench, &stream)];
    let beat = || {
        upload.received.add(1);
        bench.server().event_loop(0).pass_time(BEAT);
        bench.server().run_jobs(0);
    };
    wait::until("one has heard five times", || {
        beat();
        reads.read_all();
        let heard = received(&reads);
        if heard.len() < 5 { Err(format!("{heard:?}")) } else { Ok(()) }
    });
    assert_eq!(received(&waits).len(), 1, "what is not read is held once");
    let newest = upload.received.get();
    waits.read_all();
    wait::until("the other one hears again", || {
        beat();
        let heard = received(&waits);
        match heard[..] {
            [_, last] if last >= newest => Ok(()),
            _ => Err(format!("{heard:?}, and not {newest} or more")),
        }
    });
    upload.close(Close::BrokenOff);
    bench.server().run_jobs(0);
    for request in [&reads, &waits] {
        let text = String::from_utf8(request.body_so_far()).expect("events are UTF-8");
        assert!(text.contains("event: end\nid: end\n"), "{text}");
    }
    bench.module.handle_worker_stop(0);
    [reads, waits].into_iter().for_each(|request| request.close(Close::Ended));
}
