//! Numbers for monitoring, read back by the rules of their text.

use crate::{Cost, Input, Target};
use progress::{Counts, Histogram, Metrics, MetricsText, Tallied, Totals};
use std::collections::BTreeMap;

pub const METRICS: Target = Target {
    name: "metrics",
    dictionary: &["\0\0\0\0\0\0\0\0", "\u{1}\0\0\0\0\0\0\0"],
    run: |input| {
        let input = &mut Input::new(input);
        let form = if input.byte() % 2 == 0 { MetricsText::OpenMetrics } else { MetricsText::Prometheus };
        let is_shared = input.byte() % 2 == 0;
        // Together they are still numbers.
        let shift = 8 + input.byte() % 56;
        let mut number = || input.word() >> shift;
        let mut histogram = || Histogram { counts: [(); 13].map(|()| number()), sum: number() };
        let [durations, request_sizes, response_sizes] = [(); 3].map(|()| histogram());
        let finished = [(); 5].map(|()| number());
        let [received, sent, evicted, running, known, untracked] = [(); 6].map(|()| number());
        let counts = Counts { finished, received, sent, evicted, durations, request_sizes, response_sizes };
        let totals = Totals { running, known, untracked, counts };
        let tallied = Tallied {
            polls: [(); 4].map(|()| number()),
            events: number(),
            refused_watchers: number(),
            exchanges: [(); 9].map(|()| number()),
        };
        let (watchers, connected) = (number(), is_shared.then(&mut number));
        let metrics = Metrics { version: "1.2.3", totals, tallied, watchers, connected };
        let expected = documented(&metrics);
        let text = metrics.write(form);
        assert_eq!(read(&text, form), expected, "{text}");
    },
    cost: Cost::Much,
};

/// What docs/monitor.md says that there is, by its name and label.
fn documented(metrics: &Metrics) -> BTreeMap<String, String> {
    let Metrics { totals, tallied, .. } = metrics;
    let Totals { running, known, untracked, counts } = totals;
    let mut all = BTreeMap::from([("build_info version=1.2.3".to_string(), "1".to_string())]);
    let mut tell = |name: &str, value: u64| all.insert(name.to_string(), value.to_string());
    tell("requests_running", *running);
    tell("requests_known", *known);
    tell("requests_not_tracked_total", *untracked);
    tell("requests_evicted_total", counts.evicted);
    tell("received_bytes_total", counts.received);
    tell("sent_bytes_total", counts.sent);
    tell("watchers", metrics.watchers);
    tell("watchers_refused_total", tallied.refused_watchers);
    tell("events_total", tallied.events);
    let mut tell_each = |name: &str, words: &[&str], values: &[u64]| {
        words.iter().zip(values).for_each(|(word, value)| drop(tell(&format!("{name}={word}"), *value)));
    };
    let outcomes = ["done", "status", "client", "server", "timeout"];
    tell_each("requests_finished_total outcome", &outcomes, &counts.finished);
    tell_each("polls_total state", &["unknown", "running", "done", "error"], &tallied.polls);
    if let Some(connected) = metrics.connected {
        let [updates @ .., made, failed] = &tallied.exchanges;
        tell_each("engine_updates_total outcome", &["kept", "refused", "lost"], &updates[..3]);
        tell_each("engine_lookups_total outcome", &["found", "unknown", "timeout", "unavailable"], &updates[3..]);
        tell_each("engine_connections_total outcome", &["made", "failed"], &[*made, *failed]);
        tell("engine_connected", connected);
    }
    for (name, bounds, scale, histogram) in [
        ("request_duration_seconds", &Histogram::DURATIONS, 1_000.0, &counts.durations),
        ("request_size_bytes", &Histogram::SIZES, 1.0, &counts.request_sizes),
        ("response_size_bytes", &Histogram::SIZES, 1.0, &counts.response_sizes),
    ] {
        let mut count = 0;
        let bounds = bounds.iter().map(|bound| *bound as f64 / scale).chain([f64::INFINITY]);
        for (bound, more) in bounds.zip(histogram.counts) {
            count += more;
            all.insert(format!("{name}_bucket le={bound}"), count.to_string());
        }
        all.insert(format!("{name}_count"), count.to_string());
        all.insert(format!("{name}_sum"), (histogram.sum as f64 / scale).to_string());
    }
    all
}

/// What a text says: names without what they all begin with, their label, and values.
fn read(text: &str, form: MetricsText) -> BTreeMap<String, String> {
    let is_open = form == MetricsText::OpenMetrics;
    let body = if is_open { text.strip_suffix("# EOF\n").expect("an end") } else { text };
    assert!(body.ends_with('\n') && body.bytes().all(|byte| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic()));
    let is_name = |name: &str| {
        !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let (mut all, mut families, mut helps) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    // What the lines are of that come now.
    let mut family = "";
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ').expect("a word");
            let (name, told) = rest.split_once(' ').expect("a name");
            assert!(is_name(name) && name.starts_with("mod_progress_"), "{line}");
            let before = match word {
                "HELP" => helps.insert(name, told),
                "TYPE" => {
                    family = name;
                    families.insert(name, told)
                }
                "UNIT" => (!is_open || !name.ends_with(&format!("_{told}"))).then_some(told),
                _ => Some(word),
            };
            assert_eq!(before, None, "{line}");
            continue;
        }
        let (place, value) = line.rsplit_once(' ').expect("a value");
        let (name, label) = match place.split_once('{') {
            None => (place, None),
            Some((name, label)) => (name, Some(label.strip_suffix("\"}").expect("an end"))),
        };
        assert!(is_name(name), "{line}");
        let label = label.map(|label| label.split_once("=\"").expect("a label"));
        assert!(label.is_none_or(|(key, value)| is_name(key) && !value.contains(['"', '\\', ','])), "{line}");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} after {family}"));
        let suffixes: &[&str] = match families[family] {
            "gauge" => &[""],
            "counter" if is_open => &["_total"],
            // The older text has the whole name in the lines before.
            "counter" => &["", "_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("{other}"),
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let value = match value.parse::<u64>() {
            Ok(number) if suffix != "_sum" => number.to_string(),
            _ => value.parse::<f64>().expect("a number").to_string(),
        };
        let label = label.map_or(String::new(), |(key, told)| match key {
            "le" => format!(" le={}", told.parse::<f64>().expect("a bound")),
            _ => format!(" {key}={told}"),
        });
        let name = name.strip_prefix("mod_progress_").expect("it begins so");
        let before = all.insert(format!("{name}{label}"), value);
        assert_eq!(before, None, "{line}");
    }
    assert!(helps.keys().eq(families.keys()), "{text}");
    all
}
