//! How long a graceful stop takes while finished requests are known.

use super::{Findings, Plan};
use crate::benchmark_site::BenchmarkSite;
use crate::crowd::{Ids, post_each};
use crate::figures::Figure;
use crate::lab::Lab;
use crate::statistics::Measured;
use std::time::Duration;
use testkit::Signal;

pub const PLAN: Plan =
    Plan { number: 6, title: "Stopping: time that a graceful stop takes", needs: |lab| lab.host().map(drop), run };

/// The most that a stop may take, in seconds.
const TARGET: f64 = 1.0;

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    let host = lab.host()?;
    let (entries, time_to_live) = lab.length.pick((100_000, 30), (10_000, 4), (100, 2));
    for (subject, module) in lab.modules() {
        let site = BenchmarkSite { time_to_live, ..BenchmarkSite::new(Some(module), 4) };
        let server = site.start(host)?;
        post_each(server.address(), "/track/track", Ids::Counted, 0..entries)?;
        let took = server.end(Signal::TERM, Duration::from_secs(u64::from(time_to_live) + 60))?;
        let what = format!("a stop, time to live {time_to_live} s");
        let measured = Measured::once(took.as_secs_f64());
        let figure = Figure::new(subject, what, measured, "s").with(entries as usize, "finished entries");
        findings.figures.push(figure.at_most(TARGET));
    }
    Ok(())
}
