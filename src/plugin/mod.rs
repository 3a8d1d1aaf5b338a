//! The entry points that lighttpd2 calls, and what they do.

mod clock;
mod config;
mod entry;
mod guard;
mod show;
mod track;

pub use entry::{mod_progress_free, mod_progress_init};

use lighttpd2::{Level, LiveCounters, Log, Server};
use progress::{Counters, Numbers, Table};

/// The plugin's data: what all workers share.
#[derive(Default)]
struct Progress {
    table: Table<Live>,
}

/// This module's plugin.
type Plugin<'a> = lighttpd2::Plugin<'a, Progress>;

/// The workers are there: looks whether they are as this module expects them. If not, it tracks nothing and answers
/// nothing.
fn prepare(server: Server, plugin: Plugin<'_>) {
    if let Err(difference) = server.check_workers() {
        plugin.data().table.switch_off();
        server.log(
            Level::Error,
            &format!("mod_progress: this is not the lighttpd2 it was built for ({difference}): it stays inactive"),
        );
    }
}

/// The counters of a running request.
struct Live(LiveCounters);

impl Counters for Live {
    fn read(&self) -> Numbers {
        let counts = self.0.read();
        let content_length = counts.request_size.map_or(-1, |size| size as i64);
        Numbers::new(counts.received, counts.sent, content_length, counts.response_size)
    }
}
