//! Which ids there are, and where they are found.

use crate::sites::{self, UNKNOWN};
use testkit::suite::Test;
use testkit::{RunningHost, State};

pub const TESTS: &[Test] = &[
    Test::with_one_worker("id::every_kind_is_taken_as_it_is", kinds),
    Test::with_one_worker("id::of_no_byte_or_too_many_is_not_tracked", lengths),
    Test::with_one_worker("id::is_found_in_the_query_by_either_key", keys),
    Test::with_one_worker("id::one_byte_makes_another", differences),
    Test::with_one_worker("id::both_keys_can_be_polled", polled_by_either_key),
];

#[track_caller]
fn track(server: &RunningHost, query: &str) {
    let answer = server.post(&format!("/t?{query}"), b"hi");
    assert_eq!((answer.status, &*answer.text()), (200, "x"), "{query}");
}

#[track_caller]
fn assert_known(server: &RunningHost, id: &str) {
    let report = server.report_at_end(id);
    assert_eq!((report.state, report.received), (State::Done, Some(2)), "{id}");
}

fn kinds(workers: usize) {
    let hex = "0123456789abcdef".repeat(8);
    sites::plain(workers).serve(|server| {
        let ids = [
            "a",
            &hex,
            "a%20b",
            "a+b",
            "%00",
            "%",
            "%%41",
            "%E2%82%AC",
            "q'\"<>\\",
            "a/b?c",
            "~!*()",
            "a=b",
            "=",
            "==",
            ".",
            "..",
            "../../etc/passwd",
            "{}",
            "%s%n%d",
            "${id}",
            "$(id)",
            "`id`",
            "a:b@c",
            "[1]",
            "|",
            "-",
            "0",
            "18446744073709551616",
            "null",
            "uuid-6fa459ea-ee8a-3ca4-894e-db77e160355e",
            "X-Progress-Id",
            "X-Progress-Id=5",
        ];
        for id in ids {
            assert_eq!(server.progress(id), UNKNOWN, "{id}");
            track(server, &format!("X-Progress-Id={id}"));
            assert_known(server, id);
        }
    });
}

fn lengths(workers: usize) {
    sites::plain(workers).serve(|server| {
        for length in [1, 2, 32, 128, 129, 1023, 1024] {
            let id = "x".repeat(length);
            track(server, &format!("X-Progress-Id={id}"));
            assert_known(server, &id);
        }
        for length in [0, 1025, 2048, 4000] {
            let query = format!("X-Progress-Id={}", "y".repeat(length));
            track(server, &query);
            assert_eq!(server.get(&format!("/progress?{query}")).status, 404, "{length} bytes");
        }
        assert_eq!(server.progress(&"y".repeat(1024)), UNKNOWN, "a long id is not cut");
    });
}

fn keys(workers: usize) {
    sites::plain(workers).serve(|server| {
        for (query, tracked) in [
            ("a=1&X-Progress-Id=k1&b=2", Some("k1")),
            ("a=1;X-Progress-Id=k2;b=2", Some("k2")),
            ("X-Progress-Id=k3&X-Progress-Id=k4", Some("k3")),
            ("a=X-Progress-Id=k5", Some("k5")),
            ("&X-Progress-Id=k6", Some("k6")),
            ("X-Progress-Id=k7;z=1&y=2", Some("k7")),
            ("X-Progress-ID=k8", Some("k8")),
            ("a=1&X-Progress-ID=k9&b=2", Some("k9")),
            ("a=1;X-Progress-ID=k10;b=2", Some("k10")),
            ("a=X-Progress-ID=k11", Some("k11")),
            ("X-Progress-ID=k12&X-Progress-Id=k13", Some("k13")),
            ("X-Progress-Id=k14&X-Progress-ID=k15", Some("k14")),
            ("X-Progress-Id=k16&&", Some("k16")),
            ("X-Progress-Id=&X-Progress-Id=k18", Some("k18")),
            ("X-Progress-Id=&X-Progress-ID=k19", Some("k19")),
            ("name=a;b.txt&X-Progress-Id=k20", Some("k20")),
            ("a=1?X-Progress-ID=k21", Some("k21")),
            ("X-Progress-Id", None),
            ("=X-Progress-Id", None),
            ("xX-Progress-Id=k17", None),
            ("X-Progress-Idx=k17", None),
            ("x-progress-id=k17", None),
            ("X-PROGRESS-ID=k17", None),
            ("X-Progress-id=k17", None),
            ("X-Progress-%49d=k17", None),
            ("X_Progress_Id=k17", None),
        ] {
            track(server, query);
            if let Some(id) = tracked {
                assert_known(server, id);
            }
        }
        for id in ["k4", "k12", "k15", "k17"] {
            assert_eq!(server.progress(id), UNKNOWN, "{id}");
        }
    });
}

fn differences(workers: usize) {
    let long = "x".repeat(127);
    sites::plain(workers).serve(|server| {
        for (tracked, others) in [
            ("abc", &["abC", "abcd", "ab", "bc", "a", "%61bc"] as &[&str]),
            ("d+e", &["d%20e", "d%2Be", "de"]),
            ("f%2bg", &["f%2Bg", "f+g"]),
            ("EzEzEzEz", &["FYFYFYFY", "EzFYEzFY"]),
            (&format!("{long}a"), &[&format!("{long}b"), &long]),
            (&format!("y{long}"), &[&format!("z{long}")]),
        ] {
            track(server, &format!("X-Progress-Id={tracked}"));
            assert_known(server, tracked);
            for other in others {
                assert_eq!(server.progress(other), UNKNOWN, "{other} after {tracked}");
            }
        }
    });
}

fn polled_by_either_key(workers: usize) {
    sites::plain(workers).serve(|server| {
        track(server, "X-Progress-ID=a");
        assert_known(server, "a");
        let known = server.progress("a");
        for (query, expected) in [
            ("X-Progress-ID=a", &*known),
            ("b=1&X-Progress-ID=a", &known),
            ("X-Progress-Id=a&X-Progress-ID=none", &known),
            ("X-Progress-ID=none&X-Progress-Id=a", &known),
            ("X-Progress-ID=a&X-Progress-Id=none", UNKNOWN),
        ] {
            assert_eq!(server.get(&format!("/progress?{query}")).text(), expected, "{query}");
        }
    });
}
