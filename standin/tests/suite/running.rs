//! The program, running.

use testkit::{Host, Level, Rule, RunningHost, Site};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");

/// A site with a rule for the polls.
pub fn site(memory: &str) -> Site {
    Site::new().workers(2).memory(memory).rule(Rule::path("/progress").show().respond(404, "no id\n"))
}

pub fn start(site: &Site) -> RunningHost {
    site.start(&Host::StandIn(PROGRAM.into())).unwrap_or_else(|error| panic!("{error}"))
}

/// Stops it. It must have nothing to say.
pub fn stop_cleanly(running: RunningHost) {
    let stopped = running.stop().unwrap_or_else(|error| panic!("{error}"));
    let has_nothing_to_say = stopped.log.iter().all(|line| line.level == Level::Info);
    assert!(stopped.status.success() && has_nothing_to_say, "{stopped:?}");
}

/// Sends `request`, and reads until the connection ends.
pub fn exchange(running: &RunningHost, request: &str) -> String {
    let mut client = running.connect();
    client.send(request);
    String::from_utf8_lossy(&client.rest().0).into_owned()
}
