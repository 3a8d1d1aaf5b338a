//! Rules of lighttpd2 that the stand-in ends the program for.

use crate::ALONE;
use libtest_mimic::Trial;
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// A test that succeeds where it ends its process for that reason.
pub fn violation(name: impl Into<String>, reason: &'static str, test: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.into();
    let own_name = name.clone();
    Trial::test(name, move || {
        if env::var_os(ALONE).is_some() {
            test();
            return Ok(());
        }
        let program = env::current_exe()?;
        let output = Command::new(program).args(["--exact", &own_name, "--test-threads=1"]).env(ALONE, "1").output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let is_told =
            errors.lines().any(|line| line.contains("the module breaks a rule of lighttpd2") && line.contains(reason));
        if output.status.signal() == Some(libc::SIGABRT) && is_told {
            return Ok(());
        }
        Err(format!("{}\n{}{errors}", output.status, String::from_utf8_lossy(&output.stdout)).into())
    })
}
