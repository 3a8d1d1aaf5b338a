//! Shows the page of `examples/upload` on a host: lighttpd2 where there is one, else the stand-in.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, Write};
use std::process::ExitCode;
use testkit::{Host, Site, Step};
use upload_page::{Line, Rates, example};

const USAGE: &str = "\
usage: demo [--host lighttpd2|standin] [--rate BYTES_PER_SECOND]

Serves the upload page on this machine until it is stopped, and prints its address.
  --host  what loads the module; default: lighttpd2 where it is installed, else the stand-in
  --rate  how fast the line to the server is for uploads; default: 2000000; downloads are ten times faster";

const RATE: u64 = 2_000_000;
const DOWNLOAD_SIZE: u64 = 500_000_000;
const WORKERS: usize = 2;

struct Options {
    /// As in `HOST`.
    host: Option<String>,
    /// In bytes per second.
    rate: u64,
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `None` where the arguments are not understood.
fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options { host: None, rate: RATE };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match (name.as_str(), value.as_str()) {
            ("--host", "lighttpd2" | "standin") => options.host = Some(value),
            ("--rate", number) => options.rate = number.parse().ok().filter(|rate| *rate > 0)?,
            _ => return None,
        }
    }
    Some(options)
}

fn run(options: &Options) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let host = options.host.as_deref().map_or_else(Host::choose, Host::named)?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let backend = example::backend(|_| vec![Step::ReadBody, Step::Answer(200)]);
    let server = example::add_to(Site::new().workers(WORKERS), &backend, DOWNLOAD_SIZE).start(&host)?;
    let rates = Rates { up: options.rate, down: options.rate.saturating_mul(10) };
    let line = Line::to(server.address(), rates).map_err(failed)?;
    let mut output = io::stdout().lock();
    let printed = writeln!(output, "http://{}/ on {host}; Ctrl-C ends it", line.address());
    printed.and_then(|()| output.flush()).map_err(failed)?;
    let signal = signals.forever().next();
    // The host would wait for transfers to end.
    drop(line);
    match server.stop() {
        // Ctrl-C reaches the host too, which may have ended by then.
        Err(error) if signal != Some(SIGINT) => Err(error),
        _ => Ok(()),
    }
}
