//! How many requests are known at once.

use crate::sites::{self, UNKNOWN, done};
use testkit::suite::Test;
use testkit::{Backend, head};

pub const TESTS: &[Test] = &[
    Test::with_workers("entries::at_the_limit_the_oldest_gives_way", oldest),
    Test::with_workers("entries::at_the_limit_running_requests_stay", running),
];

const LIMIT: usize = 1_000;

fn oldest(workers: usize) {
    sites::plain(workers).set("progress.entries", LIMIT).set("progress.ttl", 3600).serve(|server| {
        let mut client = server.connect();
        for number in 0..3 * LIMIT {
            client.send(head("POST", &format!("/t?X-Progress-Id=n{number}"), "", Some(0)));
            assert_eq!(client.answer().status, 200, "nothing is refused");
        }
        let known = |number: &usize| server.progress(&format!("n{number}")) != UNKNOWN;
        assert!(known(&(3 * LIMIT - 1)), "the newest one is known");
        let count = (0..3 * LIMIT).step_by(10).filter(known).count() * 10;
        assert!((LIMIT * 3 / 4..=LIMIT * 5 / 4).contains(&count), "about {count} are known");
        assert!(!(0..LIMIT).step_by(100).any(|number| known(&number)), "an old one is known");
    });
}

fn running(workers: usize) {
    let backend = Backend::answering();
    sites::proxied(workers, &backend).set("progress.entries", LIMIT).set("progress.ttl", 3600).serve(|server| {
        let mut upload = server.connect();
        upload.begin_upload("/px?X-Progress-Id=running", 5000, 1000);
        server.report_when("running", |report| report.received == Some(1000));
        let mut client = server.connect();
        for number in 0..2 * LIMIT {
            client.send(head("POST", &format!("/t?X-Progress-Id=n{number}"), "", Some(0)));
            client.answer();
        }
        assert_eq!(server.progress("running"), sites::running(1000, 0, 5000, 0));
        upload.send(vec![0; 4000]);
        let answer = upload.answer();
        server.report_at_end("running");
        assert_eq!(server.progress("running"), done(5000, answer.size));
    });
}
