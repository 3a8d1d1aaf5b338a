//! Measures the module in a host, side by side with what else a user could pick.
//!
//! Each file in `parts` measures one part, and says what it needs for that; a part that cannot run here is left out, with the
//! reason. The figures are shown on the terminal, and written to `report.json` and `report.html`. The program ends with
//! status 1 where a part failed; a target that is missed is shown, and is no failure. With `--soak MINUTES` a host is put under
//! mixed load for that time instead, and what it takes has to stay as it is ([`soak`]).
//!
//! | variable | meaning |
//! | --- | --- |
//! | `MODULE` | the module to measure; without it the one built with this program |
//! | `C_MODULE` | lighttpd2's own; without it the one that is installed |
//! | `HOST`, `LIGHTTPD2_WORKER`, `LIGHTTPD2_MODULES`, `STANDIN` | the host, as for the tests |

mod benchmark_site;
mod crowd;
mod figures;
mod html;
mod lab;
mod options;
mod parts;
mod plot;
mod soak;
mod statistics;
mod table;
mod wrk;

use figures::Comparison;
use lab::Lab;
use options::{Length, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = Options::parse(std::env::args().skip(1)).and_then(|options| measure(&options));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("comparison: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Measures and reports; `false` where a part failed, or a soak is not flat.
fn measure(options: &Options) -> Result<bool, String> {
    raise_limit_of_files();
    let lab = Lab::look_around(options.length);
    if let Some(time) = options.soak {
        return soak::run(&lab, time, &options.out);
    }
    let mut comparison = Comparison {
        about: lab.about(),
        is_on_stand_in: lab.is_on_stand_in(),
        is_quick: options.length != Length::Full,
        parts: Vec::new(),
    };
    table::show_about(&comparison);
    for plan in parts::ALL.iter().filter(|plan| options.parts.contains(&plan.number)) {
        let part = plan.measure(&lab);
        table::show_part(&part);
        comparison.parts.push(part);
        // Written after each part, so that what was measured is not lost.
        write(&options.out, "report.json", &format!("{:#}\n", comparison.json()))?;
        write(&options.out, "report.html", &html::page(&comparison))?;
    }
    table::show_verdict(&comparison);
    println!("written to {}", options.out.display());
    Ok(comparison.parts.iter().all(|part| !part.has_failed))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let file = folder.join(name);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
    written.map_err(|error| format!("{}: {error}", file.display()))
}

/// Files that a process needs for all that is measured.
const FILES: u64 = 65_536;

/// Lets this process and the servers that it starts have enough connections, or else as many as the system allows.
fn raise_limit_of_files() {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.map(|maximum| maximum.max(FILES));
    // The first needs a right that not everybody has. Where neither can be had, the parts that need more connections say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: enough, maximum: enough })
        .or_else(|_| setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }));
}
