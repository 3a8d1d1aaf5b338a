//! Modules in C, of `tests/modules/`, that do what the module under test does not.

use libtest_mimic::Trial;
use standin::log::Log;
use standin::memory::Memory;
use standin::module::Module;
use standin::server::StandInServer;
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

/// Runs `test` with the module of that name loaded, in memory of each kind. Whatever is in the log afterwards is a failure.
pub fn with_module(name: &str, test: fn(&Module<'_>)) {
    let (_folder, file) = compiled(name);
    // What was released can be read only where it is poisoned: there the stand-in can say what is wrong.
    for memory in [Memory::Poisoned, Memory::Guarded] {
        let server = StandInServer::new(1, memory, Log::kept());
        let module = Module::load(&server, &file).expect("it is a good server");
        test(&module);
        drop(module);
        assert_eq!(server.log.take(), [""; 0], "nobody expected that");
    }
}

/// Counts these tests as skipped where there is no compiler.
pub fn need_compiler(tests: Vec<Trial>) -> Vec<Trial> {
    let has_compiler = Command::new("cc").arg("--version").output().is_ok();
    if !has_compiler {
        println!("skipped: tests with modules in C: there is no compiler");
    }
    tests.into_iter().map(|test| test.with_ignored_flag(!has_compiler)).collect()
}
