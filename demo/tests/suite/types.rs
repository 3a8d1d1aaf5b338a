//! The types of the client, as TypeScript has them.

use crate::clients::packages::TYPESCRIPT;
use std::fs;
use std::path::Path;
use std::process::Command;
use testkit::suite::{Need, Test};
use testkit::{Process, find_program, wait};

pub const TESTS: &[Test] = &[Test::new("types::typescript_takes_what_is_right_and_refuses_what_is_wrong", both)
    .needs(&[Need::Program("node"), Need::Provided(|| TYPESCRIPT.fetch())])];

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/upload/client");

/// What uses the client, as a file beside it, as a package, and as a plain script.
const USES: [(&str, &str); 3] = [
    ("beside.mts", "import { newQueue, upload, watch, type Report as Last } from './progress.mjs';\n"),
    ("package.mts", "import { newQueue, upload, watch, type Report as Last } from 'mod-progress-client';\n"),
    (
        "script.ts",
        "/// <reference path='./progress.d.ts' />\nconst { newQueue, upload, watch } = modProgress;\ntype Last = modProgress.Report;\n",
    ),
];

/// A directive that expects an error is an error itself where there is none.
const USE: &str = r#"
declare const file: File;
const queue = newQueue(2);
const sending = upload(file, "/upload", {
    queue, method: "PUT", headers: { "X-A": "b" }, watch: { url: null, pollUrl: "/p", interval: 100 },
    onphase: phase => console.log(phase === "processing"),
    onprogress: ({ loaded, total, source }) => console.log(loaded, total ?? 0, source === "server"),
    onend: outcome => { if (outcome.phase === "error" && outcome.reason === "line") sending.retry(); },
});
const last: Promise<Last | null> = watch(sending.id, { bytes: 10, signal: new AbortController().signal });
// @ts-expect-error
upload("file.txt", "/upload");
// @ts-expect-error
sending.phase === "sent";
// @ts-expect-error
sending.result.then(outcome => outcome.report.received);
// @ts-expect-error
watch(sending.id, { interval: "1s" });
console.log(last);
"#;

fn both() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["progress.mjs", "progress.js", "progress.d.mts", "progress.d.ts", "package.json"] {
        let file = Path::new(CLIENT).join(name);
        fs::copy(&file, folder.path().join(name)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    for (name, begin) in USES {
        fs::write(folder.path().join(name), format!("{begin}{USE}")).expect("a file");
    }
    let mut command = Command::new(find_program("node").expect("a test without it is ignored"));
    command.arg(TYPESCRIPT.path()).args(["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom"]);
    command
        .args(["--module", "nodenext", "--moduleDetection", "legacy"])
        .args(USES.map(|(name, _)| name))
        .current_dir(folder.path());
    let mut process = Process::start(command).expect("node starts");
    let status = process.wait(wait::deadline()).expect("it ends");
    assert!(status.success(), "{:#?}", process.output());
}
