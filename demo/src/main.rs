//! Shows the page of `examples/upload` on a host: lighttpd2 where there is one, else the stand-in.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;
use testkit::{Engine, EngineKind, Host, RunningHost, Site, Step};
use upload_page::{Line, Rates, example};

const USAGE: &str = "\
usage: [HOST=lighttpd2|standin] [PORT=NUMBER] [RATE=BYTES_PER_SECOND] [ENGINE=redis|memcached] demo

Serves the upload page on this machine until it is stopped, and prints its address.
  HOST  what loads the module; default: lighttpd2 where it is installed, else the stand-in
  PORT  where it listens; default: a free port
  RATE  how fast the line to the server is for uploads; default: 2000000; downloads are ten times faster
  ENGINE  what two hosts share by, to which connections go in turn; default: there is one host";

const RATE: u64 = 2_000_000;
const DOWNLOAD_SIZE: u64 = 500_000_000;
const WORKERS: usize = 2;

fn main() -> ExitCode {
    if env::args().len() > 1 {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The number in a variable, which has to be `is_fine`; the default where it is not set.
fn number<T: FromStr + Copy>(name: &str, default: T, is_fine: impl Fn(T) -> bool) -> Result<T, String> {
    let Ok(text) = env::var(name) else { return Ok(default) };
    text.parse().ok().filter(|number| is_fine(*number)).ok_or_else(|| format!("{name}={text} is not possible\n{USAGE}"))
}

fn run() -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let port = number("PORT", 0_u16, |_| true)?;
    let rate = number("RATE", RATE, |rate| rate > 0)?;
    if let Some(name) = env::var("HOST").ok().filter(|name| !["lighttpd2", "standin"].contains(&name.as_str())) {
        return Err(format!("HOST={name} is not possible\n{USAGE}"));
    }
    let host = Host::choose()?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let backend = example::backend(|_| vec![Step::ReadBody, Step::Answer(200)]);
    let engine = engine()?;
    let setups = engine.iter().flat_map(Engine::setups);
    let site = setups.fold(Site::new().workers(WORKERS), |site, (name, value)| site.set(name, value));
    let site = example::add_to(site, &backend, DOWNLOAD_SIZE);
    let count = if engine.is_some() { 2 } else { 1 };
    let servers = (0..count).map(|_| site.start(&host)).collect::<Result<Vec<_>, _>>()?;
    let addresses: Vec<_> = servers.iter().map(RunningHost::address).collect();
    let rates = Rates { up: rate, down: rate.saturating_mul(10) };
    let line = Line::at(port, &addresses, rates).map_err(|error| format!("PORT={port}: {error}"))?;
    say(&line, &host, rates).map_err(failed)?;
    let signal = signals.forever().next();
    // The host would wait for transfers to end.
    drop(line);
    servers.into_iter().try_for_each(|server| match server.stop() {
        // Ctrl-C reaches the host too, which may have ended by then.
        Err(error) if signal != Some(SIGINT) => Err(error),
        _ => Ok(()),
    })
}

/// The engine that is asked for, if one is.
fn engine() -> Result<Option<Engine>, String> {
    let Ok(name) = env::var("ENGINE") else { return Ok(None) };
    let kinds = [("redis", EngineKind::Redis), ("memcached", EngineKind::Memcached)];
    let kind = kinds.into_iter().find(|(other, _)| *other == name).map(|(_, kind)| kind);
    let kind = kind.ok_or_else(|| format!("ENGINE={name} is not possible\n{USAGE}"))?;
    kind.program()?;
    Ok(Some(Engine::start(kind)))
}

fn say(line: &Line, host: &Host, rates: Rates) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let address = line.address();
    let in_megabytes = |rate: u64| format!("{} MB/s", rate as f64 / 1e6);
    writeln!(output, "http://{address}/ on {host}")?;
    let (up, down) = (in_megabytes(rates.up), in_megabytes(rates.down));
    writeln!(output, "The line is slowed so that there is something to see: uploads to {up}, downloads to {down}.")?;
    writeln!(
        output,
        "make demo PORT={} RATE={} has the same address and half the rate. Ctrl-C ends it.",
        address.port(),
        rates.up.div_ceil(2)
    )?;
    output.flush()
}
