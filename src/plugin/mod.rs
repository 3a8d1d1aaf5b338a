//! The entry points that lighttpd2 calls, and what they do.

mod config;
mod entry;
mod guard;
mod show;
mod track;

pub use entry::{mod_progress_free, mod_progress_init};

use crate::host::{Level, LiveCounters, Log, Server};
use crate::progress::Table;

/// The plugin's data: what all workers share.
#[derive(Default)]
struct Progress {
    table: Table<LiveCounters>,
}

/// This module's plugin.
type Plugin<'a> = crate::host::Plugin<'a, Progress>;

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
