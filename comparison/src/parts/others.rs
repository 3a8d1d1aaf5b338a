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
use tempfile::TempDir;
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

/// Another server, with a module of its own. `GET /plain` is a plain answer. Where the module is for progress, polls are
/// `GET /progress?X-Progress-ID=`, of about the same length, and `POST /upload?X-Progress-ID=` is tracked and goes to a backend.
pub struct Other {
    subject: Subject,
    program: &'static str,
    modules: &'static str,
    /// The file of the module.
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

/// Another server that runs.
pub struct RunningOther {
    pub process: Process,
    pub address: SocketAddr,
    _port: ReservedPort,
    _folder: TempDir,
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

/// Who watches asks for `/events`, with any query string, and hears what is sent to `/publish` with the same one.
pub const NCHAN: Other = Other {
    subject: Subject::Nchan,
    program: "nginx",
    modules: "/usr/lib/nginx/modules",
    module: "ngx_nchan_module.so",
    arguments: |config| vec!["-c".into(), config.into()],
    config: nchan,
};

impl Other {
    fn is_there(&self) -> bool {
        find_program(self.program).is_ok() && Path::new(self.modules).join(self.module).is_file()
    }

    /// Measures it, and notes once why where it cannot be.
    pub fn measured<R>(
        &self,
        findings: &mut Findings,
        measure: impl FnOnce(&mut Findings) -> Result<R, String>,
    ) -> Option<R> {
        let missing = || format!("{} is not installed", self.module);
        let measured = if self.is_there() { measure(findings) } else { Err(missing()) };
        let note = format!("{} left out: {}", self.subject.name(), measured.as_ref().err().map_or("", String::as_str));
        if measured.is_err() && !findings.notes.contains(&note) {
            findings.notes.push(note);
        }
        measured.ok()
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where it does not answer in time.
    pub fn start(&self, backend: SocketAddr) -> Result<RunningOther, String> {
        let because = |error: std::io::Error| error.to_string();
        let port = ReservedPort::new().map_err(because)?;
        let folder = tempfile::tempdir().map_err(because)?;
        let files = folder.path().join("files");
        fs::create_dir(&files).map_err(because)?;
        fs::write(files.join("plain"), "new Object({ 'state' : 'uploading', 'received' : 500000, 'size' : 1000000 })")
            .map_err(because)?;
        let address = port.address();
        let paths = Paths { folder: folder.path(), modules: self.modules, address, backend };
        let config = folder.path().join("config");
        fs::write(&config, (self.config)(&paths)).map_err(because)?;
        let mut command = Command::new(self.program);
        command.args((self.arguments)(&config));
        let mut process = Process::start(command)?;
        process.until("it answers", |_| get(address, "/plain"))?;
        Ok(RunningOther { process, address, _port: port, _folder: folder })
    }
}

fn none_is_there() -> String {
    let all = ALL.map(|other| format!("{} with {}", other.program, other.module));
    format!("neither {} is installed", all.join(" nor "))
}

fn nginx(paths: &Paths<'_>) -> String {
    let of_server = format!(
        "location = /progress {{ report_uploads uploads; upload_progress_json_output; }}
        location /upload {{ proxy_pass http://{}; track_uploads uploads 600s; }}",
        paths.backend
    );
    nginx_with(paths, "ngx_http_uploadprogress_module.so", "upload_progress uploads 1m;", &of_server)
}

/// Who comes hears the next message, and the newest one alone is kept, as with events of ours.
fn nchan(paths: &Paths<'_>) -> String {
    let of_server = "nchan_channel_id $args; nchan_message_buffer_length 1; nchan_subscriber_first_message newest;
        location = /events { nchan_subscriber eventsource; nchan_eventsource_event progress; }
        location = /publish { nchan_publisher http; }";
    nginx_with(paths, NCHAN.module, "", of_server)
}

fn nginx_with(paths: &Paths<'_>, module: &str, of_all: &str, of_server: &str) -> String {
    let Paths { folder, modules, address, .. } = paths;
    let folder = folder.display();
    format!(
        r#"load_module {modules}/{module};
daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 600;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/proxied; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {of_all}
    server {{
        listen {address};
        location = /plain {{ default_type text/javascript; return 200 '{{ "state" : "uploading", "received" : 500000, "size" : 1000000 }}'; }}
        {of_server}
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
        other.measured(findings, |findings| measure(lab, other, findings));
    }
    Ok(())
}

fn measure(lab: &Lab, other: &Other, findings: &mut Findings) -> Result<(), String> {
    let backend = Backend::answering();
    let RunningOther { process, address, .. } = &other.start(backend.address())?;
    let address = *address;

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
            costs.push(cost(lab, process, address, target)?);
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
        (0..lab.length.pick(3, 1, 1)).map(|_| cost(lab, process, address, &targets[1])).collect();
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
