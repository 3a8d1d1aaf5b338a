//! Numbers for monitoring, as text.

use super::{Counts, Exchange, Histogram, State, Tallied, Tally, Totals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// All that is told.
#[derive(Debug)]
pub struct Metrics {
    /// The module's version.
    pub version: &'static str,
    /// Of all requests.
    pub totals: Totals,
    /// Of all workers.
    pub tallied: Tallied,
    /// How many watch.
    pub watchers: u64,
    /// How many workers are connected with an engine, where requests are shared with other hosts.
    pub connected: Option<u64>,
}

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsText {
    /// As OpenMetrics 1.0 has it.
    OpenMetrics,
    /// As Prometheus had it before, which more programs read.
    Prometheus,
}

/// A metric: what it is called, what it says, and its values.
struct Family {
    name: &'static str,
    help: &'static str,
    values: Values,
}

enum Values {
    Version(fn(&Metrics) -> &'static str),
    Gauge(fn(&Metrics) -> u64),
    Counter(fn(&Metrics) -> u64),
    Bytes(fn(&Metrics) -> u64),
    /// One for each value of a label.
    Labelled(&'static str, fn(&Metrics) -> Vec<(&'static str, u64)>),
    /// Durations in milliseconds, or sizes in bytes.
    Durations(fn(&Metrics) -> &Histogram),
    Sizes(fn(&Metrics) -> &Histogram),
}

/// Milliseconds in a second.
const MILLISECONDS: f64 = 1000.0;

/// What is told where requests are shared with other hosts.
static SHARED: &[Family] = &[
    Family {
        name: "engine_connected",
        help: "Workers that are connected with the engine",
        values: Values::Gauge(|metrics| metrics.connected.unwrap_or(0)),
    },
    Family {
        name: "engine_connections",
        help: "Connections with the engine that were made, and that failed or could not be made",
        values: Values::Labelled("outcome", |metrics| metrics.exchanges(&Exchange::CONNECTIONS)),
    },
    Family {
        name: "engine_updates",
        help: "Requests, or how far they are, told to the engine; lost: it could not be told in time that one had ended",
        values: Values::Labelled("outcome", |metrics| metrics.exchanges(&Exchange::UPDATES)),
    },
    Family {
        name: "engine_lookups",
        help: "Requests that the engine was asked for, by what came of that",
        values: Values::Labelled("outcome", |metrics| metrics.exchanges(&Exchange::LOOKUPS)),
    },
];

static FAMILIES: &[Family] = &[
    Family { name: "build_info", help: "The module that answers", values: Values::Version(|metrics| metrics.version) },
    Family {
        name: "requests_running",
        help: "Tracked requests that have not ended",
        values: Values::Gauge(|metrics| metrics.totals.running),
    },
    Family {
        name: "requests_known",
        help: "Tracked requests that have ended and are kept, to be asked for or about to be forgotten",
        values: Values::Gauge(|metrics| metrics.totals.known),
    },
    Family {
        name: "requests_finished",
        help: "Tracked requests that have ended: done, with a status that is no success, or broken off by whom",
        values: Values::Labelled("outcome", |metrics| Counts::endings().zip(metrics.totals.counts.finished).collect()),
    },
    Family {
        name: "requests_not_tracked",
        help: "Requests that were not tracked, since as many as may be known were running, or there was no memory",
        values: Values::Counter(|metrics| metrics.totals.untracked),
    },
    Family {
        name: "requests_evicted",
        help: "Finished requests that were forgotten to make room for others",
        values: Values::Counter(|metrics| metrics.totals.counts.evicted),
    },
    Family {
        name: "received",
        help: "Bytes of the bodies of tracked requests, those that run included",
        values: Values::Bytes(|metrics| metrics.totals.counts.received),
    },
    Family {
        name: "sent",
        help: "Bytes of the responses to tracked requests, those that run included",
        values: Values::Bytes(|metrics| metrics.totals.counts.sent),
    },
    Family {
        name: "polls",
        help: "Answers about other requests, by what was told",
        values: Values::Labelled("state", |metrics| {
            Tally::STATES.into_iter().map(State::word).zip(metrics.tallied.polls).collect()
        }),
    },
    Family {
        name: "watchers",
        help: "Clients that are sent events now",
        values: Values::Gauge(|metrics| metrics.watchers),
    },
    Family {
        name: "watchers_refused",
        help: "Clients that were turned away, since as many as may watch did",
        values: Values::Counter(|metrics| metrics.tallied.refused_watchers),
    },
    Family { name: "events", help: "Events that were sent", values: Values::Counter(|metrics| metrics.tallied.events) },
    Family {
        name: "request_duration",
        help: "How long tracked requests took",
        values: Values::Durations(|metrics| &metrics.totals.counts.durations),
    },
    Family {
        name: "request_size",
        help: "How much of the bodies of tracked requests was received",
        values: Values::Sizes(|metrics| &metrics.totals.counts.request_sizes),
    },
    Family {
        name: "response_size",
        help: "How much of the responses to tracked requests was sent",
        values: Values::Sizes(|metrics| &metrics.totals.counts.response_sizes),
    },
];

impl MetricsText {
    /// What is wanted by whoever sends this `Accept` header.
    pub fn accepted(accept: Option<&[u8]>) -> Self {
        let mut ranges = accept.unwrap_or_default().split(|byte| *byte == b',');
        let is_accepted = ranges.any(|range| {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"application/openmetrics-text"));
            is_named && !parts.any(is_zero_weight)
        });
        if is_accepted { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Whether a parameter says that something is not accepted.
fn is_zero_weight(parameter: &[u8]) -> bool {
    matches!(parameter, [b'q' | b'Q', b'=', b'0', rest @ ..] if rest.iter().all(|byte| b".0".contains(byte)))
}

impl Metrics {
    fn exchanges(&self, which: &[(Exchange, &'static str)]) -> Vec<(&'static str, u64)> {
        which.iter().map(|(exchange, word)| (*word, self.tallied.exchanges[*exchange as usize])).collect()
    }

    /// All of it. Empty where that fails, which is not known to happen.
    pub fn write(self, form: MetricsText) -> String {
        let mut registry = Registry::with_prefix("mod_progress");
        registry.register_collector(Box::new(self));
        let mut body = String::new();
        let written = match form {
            MetricsText::OpenMetrics => text::encode(&mut body, &registry),
            MetricsText::Prometheus => prometheus_text::encode(&mut body, &registry),
        };
        written.map_or_else(|fmt::Error| String::new(), |()| body)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shared = SHARED.iter().filter(|_| self.connected.is_some());
        FAMILIES.iter().chain(shared).try_for_each(|family| family.encode(self, &mut encoder))
    }
}

impl Family {
    fn encode(&self, metrics: &Metrics, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (unit, kind) = match &self.values {
            Values::Version(_) | Values::Gauge(_) => (None, MetricType::Gauge),
            Values::Counter(_) | Values::Labelled(..) => (None, MetricType::Counter),
            Values::Bytes(_) => (Some(&Unit::Bytes), MetricType::Counter),
            Values::Durations(_) => (Some(&Unit::Seconds), MetricType::Histogram),
            Values::Sizes(_) => (Some(&Unit::Bytes), MetricType::Histogram),
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, unit, kind)?;
        match &self.values {
            // OpenMetrics has a type of its own for that, which Prometheus has not.
            Values::Version(version) => metric.encode_family(&[("version", version(metrics))])?.encode_gauge(&1_u64),
            Values::Gauge(value) => metric.encode_gauge(&value(metrics)),
            Values::Counter(value) | Values::Bytes(value) => {
                metric.encode_counter::<NoLabelSet, _, u64>(&value(metrics), None)
            }
            Values::Labelled(label, values) => values(metrics).into_iter().try_for_each(|(name, value)| {
                let labels = [(*label, name)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
            }),
            Values::Durations(histogram) => histogram(metrics).encode(&Histogram::DURATIONS, MILLISECONDS, &mut metric),
            Values::Sizes(histogram) => histogram(metrics).encode(&Histogram::SIZES, 1.0, &mut metric),
        }
    }
}

impl Histogram {
    /// Writes it in a unit that has so many of its own.
    fn encode(&self, bounds: &[u64], scale: f64, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        let bounds = bounds.iter().map(|bound| *bound as f64 / scale).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.counts).collect();
        metric.encode_histogram::<NoLabelSet>(self.sum as f64 / scale, self.counts.iter().sum(), &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 22] = [
        "mod_progress_build_info{version=\"1.2.3\"} 1",
        "mod_progress_requests_running 2",
        "mod_progress_requests_known 3",
        "mod_progress_requests_not_tracked_total 4",
        "mod_progress_requests_finished_total{outcome=\"done\"} 10",
        "mod_progress_requests_finished_total{outcome=\"timeout\"} 50",
        "mod_progress_polls_total{state=\"unknown\"} 1",
        "mod_progress_polls_total{state=\"error\"} 4",
        "mod_progress_events_total 5",
        "mod_progress_watchers_refused_total 6",
        "mod_progress_watchers 7",
        "mod_progress_received_bytes_total 0",
        "mod_progress_engine_connected 2",
        "mod_progress_engine_updates_total{outcome=\"kept\"} 1",
        "mod_progress_engine_lookups_total{outcome=\"unavailable\"} 7",
        "mod_progress_engine_connections_total{outcome=\"failed\"} 9",
        "mod_progress_request_duration_seconds_bucket{le=\"0.1\"} 0",
        "mod_progress_request_duration_seconds_bucket{le=\"0.25\"} 7",
        "mod_progress_request_duration_seconds_bucket{le=\"21600.0\"} 7",
        "mod_progress_request_duration_seconds_bucket{le=\"+Inf\"} 8",
        "mod_progress_request_duration_seconds_sum 1.5",
        "mod_progress_request_duration_seconds_count 8",
    ];

    fn metrics() -> Metrics {
        let mut totals = Totals { running: 2, known: 3, untracked: 4, ..Totals::default() };
        totals.counts.finished = [10, 20, 30, 40, 50];
        totals.counts.durations.counts[1] = 7;
        totals.counts.durations.counts[12] = 1;
        totals.counts.durations.sum = 1_500;
        let exchanges = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let tallied = Tallied { polls: [1, 2, 3, 4], events: 5, refused_watchers: 6, exchanges };
        Metrics { version: "1.2.3", totals, tallied, watchers: 7, connected: Some(2) }
    }

    #[test]
    fn each_is_told_by_its_name() {
        let [new, old] = [MetricsText::OpenMetrics, MetricsText::Prometheus].map(|form| metrics().write(form));
        for line in LINES {
            // They write whole numbers in labels in two ways.
            for (text, line) in [(&new, line), (&old, &line.replace(".0\"}", "\"}"))] {
                assert!(text.lines().any(|one| one == line), "{line:?} is not in:\n{text}");
            }
        }
        assert!(new.ends_with("# EOF\n") && !old.contains("# EOF"));
    }

    #[test]
    fn each_has_help() {
        let text = metrics().write(MetricsText::OpenMetrics);
        let count = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!([count("# HELP "), count("# TYPE ")], [FAMILIES.len() + SHARED.len(); 2]);
    }

    #[test]
    fn nothing_is_told_of_an_engine_where_there_is_none() {
        let text = Metrics { connected: None, ..metrics() }.write(MetricsText::OpenMetrics);
        assert!(!text.contains("engine"), "{text}");
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus = b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        let form = |accept: Option<&'static [u8]>| MetricsText::accepted(accept);
        assert_eq!(form(Some(prometheus)), MetricsText::OpenMetrics);
        for others in [
            &b"*/*"[..],
            b"",
            b"application/openmetrics-text;q=0",
            b"text/plain, application/openmetrics-text ; version=1.0.0; Q=0.000",
            b"application/openmetrics-texts",
            b"x-application/openmetrics-text",
        ] {
            assert_eq!(form(Some(others)), MetricsText::Prometheus, "{}", others.escape_ascii());
        }
        assert_eq!(form(Some(b"text/plain, Application/OpenMetrics-Text ;q=0.001")), MetricsText::OpenMetrics);
        assert_eq!(form(None), MetricsText::Prometheus);
        assert!(MetricsText::OpenMetrics.content_type().starts_with("application/openmetrics-text; version=1.0.0;"));
        assert!(MetricsText::Prometheus.content_type().starts_with("text/plain; version=0.0.4;"));
    }
}
