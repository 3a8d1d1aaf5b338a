//! Modules in C, of `tests/modules/`, that do what the module under test does not.

use libtest_mimic::Trial;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules");
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");

/// Compiles the module of that name. It is there as long as the folder.
pub fn compiled(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join(format!("{name}.so"));
    let source = format!("{SOURCES}/{name}.c");
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", INCLUDE, &source, "-o"])
        .arg(&module)
        .status();
    assert!(status.unwrap().success(), "{source} does not compile");
    (folder, module)
}

/// Counts these tests as skipped where there is no compiler.
pub fn need_compiler(tests: Vec<Trial>) -> Vec<Trial> {
    let has_compiler = Command::new("cc").arg("--version").output().is_ok();
    if !has_compiler {
        println!("skipped: tests with modules in C: there is no compiler");
    }
    tests.into_iter().map(|test| test.with_ignored_flag(!has_compiler)).collect()
}
