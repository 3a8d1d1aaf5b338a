//! What other servers' modules for progress cost there.

use super::polls::ratio_of;
use super::{Findings, Plan};
use crate::crowd::{Ids, count_refused};
use crate::figures::{Figure, Subject};
use crate::lab::Lab;
use crate::statistics::Measured;
use crate::wrk::Load;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Backend, Client, Process, ReservedPort, find_program};

pub const PLAN: Plan = Plan {
    number: 7,
    title: "Other servers' modules, each against its own server",
    needs: |_| {
        find_program("wrk").and_then(|_| ALL.iter().find(|other| other.is_there()).map(drop).ok_or(none_is_there()))
    },
    run,
};

const CONNECTIONS: usize = 16;
/// Of the upload that runs, in bytes: more than servers read before they count.
const SIZE: usize = 1_000_000;
const RUNNING: &str = "running0000000000000000000000000";
const UNKNOWN: &str = "nobody00000000000000000000000000";

/// A server with a module for progress. Polls are `GET /progress?X-Progress-ID=`, a plain answer of about the same length is
/// `GET /plain`, and `POST /upload?X-Progress-ID=` is tracked and goes to a backend.
struct Other {
    subject: Subject,
    program: &'static str,
    modules: &'static str,
    /// The file of the module for progress.
    module: &'static str,
    arguments: fn(&Path) -> Vec<PathBuf>,
    config: fn(&Paths<'_>) -> String,
}

/// What a configuration names.
struct Paths<'a> {
    folder: &'a Path,
    modules: &'a str,
    address: SocketAddr,
    backend: SocketAddr,
}

const ALL: [Other; 2] = [
    Other {
        subject: Subject::Nginx,
        program: "nginx",
        modules: "/usr/lib/nginx/modules",
        module: "ngx_http_uploadprogress_module.so",
        arguments: |config| vec!["-c".into(), config.into()],
        config: nginx,
    },
    Other {
        subject: Subject::Apache,
        program: "apache2",
        modules: "/usr/lib/apache2/modules",
        module: "mod_upload_progress.so",
        arguments: |config| vec!["-X".into(), "-f".into(), config.into()],
        config: apache,
    },
];

impl Other {
    fn is_there(&self) -> bool {
        find_program(self.program).is_ok() && Path::new(self.modules).join(self.module).is_file()
    }
}

fn none_is_there() -> String {
    let all = ALL.map(|other| format!("{} with {}", other.program, other.module));
    format!("neither {} is installed", all.join(" nor "))
}

fn nginx(paths: &Paths<'_>) -> String {
    let Paths { folder, modules, address, backend } = paths;
    let folder = folder.display();
    format!(
        r#"load_module {modules}/ngx_http_uploadprogress_module.so;
daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 600;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/proxied; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upload_progress uploads 1m;
    server {{
        listen {address};
        location = /plain {{ default_type text/javascript; return 200 '{{ "state" : "uploading", "received" : 500000, "size" : 1000000 }}'; }}
        location = /progress {{ report_uploads uploads; upload_progress_json_output; }}
        location /upload {{ proxy_pass http://{backend}; track_uploads uploads 600s; }}
    }}
}}
"#
    )
}

fn apache(paths: &Paths<'_>) -> String {
    let Paths { folder, modules, address, backend } = paths;
    let folder = folder.display();
    let modules: String = [
        ("mpm_event_module", "mod_mpm_event.so"),
        ("authz_core_module", "mod_authz_core.so"),
        ("alias_module", "mod_alias.so"),
        ("proxy_module", "mod_proxy.so"),
        ("proxy_http_module", "mod_proxy_http.so"),
        ("upload_progress_module", "mod_upload_progress.so"),
    ]
    .map(|(name, file)| format!("LoadModule {name} {modules}/{file}\n"))
    .concat();
    format!(
        r#"{modules}ServerRoot {folder}
ServerName localhost
Listen {address}
PidFile {folder}/pid
ErrorLog {folder}/errors
Mutex file:{folder}
DocumentRoot {folder}/files
<Directory {folder}/files>
    Require all granted
</Directory>
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
ThreadsPerChild 64
StartServers 1
ProxyPass /upload http://{backend}/upload
UploadProgressSharedMemorySize 1024000
<Location /upload>
    TrackUploads On
</Location>
<Location /progress>
    ReportUploads On
</Location>
"#
    )
}

fn run(lab: &Lab, findings: &mut Findings) -> Result<(), String> {
    for other in &ALL {
        if !other.is_there() {
            findings.notes.push(format!("{} left out: {} is not installed", other.subject.name(), other.module));
        } else if let Err(reason) = measure(lab, other, findings) {
            findings.notes.push(format!("{} left out: {reason}", other.subject.name()));
        }
    }
    Ok(())
}

fn measure(lab: &Lab, other: &Other, findings: &mut Findings) -> Result<(), String> {
    let because = |error: std::io::Error| error.to_string();
    let backend = Backend::answering();
    let port = ReservedPort::new().map_err(because)?;
    let folder = tempfile::tempdir().map_err(because)?;
    let files = folder.path().join("files");
    fs::create_dir(&files).map_err(because)?;
    fs::write(files.join("plain"), "new Object({ 'state' : 'uploading', 'received' : 500000, 'size' : 1000000 })")
        .map_err(because)?;
    let address = port.address();
    let paths = Paths { folder: folder.path(), modules: other.modules, address, backend: backend.address() };
    let config = folder.path().join("config");
    fs::write(&config, (other.config)(&paths)).map_err(because)?;
    let mut command = Command::new(other.program);
    command.args((other.arguments)(&config));
    let mut process = Process::start(command)?;
    process.until("it answers", |_| get(address, "/plain"))?;

    let mut upload = Client::open(address)?;
    upload.try_begin_upload(&poll_of("/upload", RUNNING), SIZE, SIZE / 2)?;
    testkit::wait::within(testkit::wait::deadline(), "the upload runs", || {
        // Apache's module counts a piece when the next one comes.
        upload.try_send(b"a")?;
        let report = get(address, &poll_of("/progress", RUNNING))?;
        if report.contains("uploading") { Ok(()) } else { Err(report) }
    })?;
    let targets = [String::from("/plain"), poll_of("/progress", UNKNOWN), poll_of("/progress", RUNNING)];
    let mut costs = [vec![], vec![], vec![]];
    for _ in 0..lab.length.pick(5, 1, 1) {
        for (target, costs) in targets.iter().zip(&mut costs) {
            costs.push(cost(lab, &process, address, target)?);
        }
    }
    let [plain, unknown, running] = &costs;
    for (kind, polls) in [("unknown", unknown), ("running", running)] {
        let ratio = Measured::ratio(polls, plain);
        findings.figures.push(Figure::new(other.subject, ratio_of(kind), ratio, "times"));
    }
    findings.figures.push(Figure::new(other.subject, "plain", Measured::of(plain.clone()), "µs"));

    let entries = lab.length.pick(100_000, 10_000, 50);
    let with = |figure: Figure| figure.with(entries as usize, "uploads");
    let before = process.memory();
    let refused = count_refused(address, "/upload", Ids::Counted, 0..entries)?;
    let refused = Measured::once(refused as f64);
    findings.figures.push(with(Figure::new(other.subject, "refused requests", refused, "of them")));
    let grown = (process.memory() as f64 - before as f64) / (1 << 20) as f64;
    findings.figures.push(with(Figure::new(other.subject, "memory that it grew by", Measured::once(grown), "MiB")));
    let (mut known, mut asked) = (0, 0);
    for number in (0..entries).step_by((entries as usize / 1_000).max(1)) {
        let report = get(address, &poll_of("/progress", &Ids::Counted.id(number)))?;
        known += u32::from(report.contains("done"));
        asked += 1;
    }
    let share = Measured::once(f64::from(known) / f64::from(asked) * 100.0);
    findings.figures.push(with(Figure::new(other.subject, "still known afterwards", share, "%")));
    let after: Result<Vec<f64>, String> =
        (0..lab.length.pick(3, 1, 1)).map(|_| cost(lab, &process, address, &targets[1])).collect();
    let ratio = Measured::of(after?.into_iter().map(|cost| cost / Measured::of(plain.clone()).median));
    findings.figures.push(with(Figure::new(other.subject, ratio_of("unknown"), ratio, "times")));
    Ok(())
}

/// Microseconds of processor time per request.
fn cost(lab: &Lab, process: &Process, address: SocketAddr, target: &str) -> Result<f64, String> {
    let load = Load { address, connections: CONNECTIONS, seconds: lab.length.pick(2, 1, 1) };
    let before = process.processor_time();
    let counted = load.get(target)?;
    Ok((process.processor_time() - before) * 1e6 / counted.requests as f64)
}

fn poll_of(path: &str, id: &str) -> String {
    format!("{path}?X-Progress-ID={id}")
}

/// The body of the answer to a GET request on a connection of its own.
fn get(address: SocketAddr, target: &str) -> Result<String, String> {
    Ok(Client::open(address)?.exchange("GET", target, b"")?.text())
}
