//! `progress.metrics`: numbers for monitoring.

use crate::config;
use crate::list::set_headers;
use crate::shared::{Plugin, Progress};
use lighttpd2::{ActionFn, Refusal, VRequest, Value, at_once};
use progress::{Metrics, MetricsText};

/// The action with its value, which is none.
pub fn create(progress: &Progress, value: Value<'_>) -> Result<ActionFn<Progress>, Refusal> {
    config::nothing("progress.metrics", value)?;
    progress.keep_counts("progress.metrics")?;
    Ok(at_once(metrics))
}

/// Answers with all numbers, unless something answers already.
fn metrics(plugin: Plugin<'_>, vr: VRequest<'_>) {
    let progress = plugin.module();
    let Some(Ok(totals)) = progress.table().filter(|_| !vr.is_handled()).map(|table| table.totals()) else { return };
    let metrics = Metrics {
        version: env!("CARGO_PKG_VERSION"),
        totals,
        tallied: progress.tallied(),
        watchers: progress.watchers() as u64,
        connected: progress.shared().map(|shared| shared.connected() as u64),
    };
    let form = MetricsText::accepted(vr.header("Accept"));
    set_headers(vr, form.content_type());
    vr.add_response_header("Vary", b"Accept");
    vr.respond(200, metrics.write(form).as_bytes());
}
