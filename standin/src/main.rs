//! Plays lighttpd2 towards the module, for tests and demonstration only.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (only_test, file) = match arguments.as_slice() {
        [file] if !file.as_encoded_bytes().starts_with(b"-") => (false, PathBuf::from(file)),
        [option, file] if option == "-t" => (true, PathBuf::from(file)),
        _ => {
            eprintln!("usage: standin [-t] FILE");
            return ExitCode::from(2);
        }
    };
    match standin::serve::run(&file, only_test) {
        Ok(()) => ExitCode::SUCCESS,
        Err(standin::serve::Logged) => ExitCode::FAILURE,
    }
}
