//! The folder that a host runs with.

use crate::config::{self, Places};
use crate::host::{self, Host};
use crate::port::ReservedPort;
use crate::site::Site;
use crate::tls;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};
use tempfile::TempDir;

/// The file of the module, as lighttpd2 looks for it.
const MODULE: &str = "libmod_progress.so";

/// What the system's loader writes is in files of this name, one for each process, with its id behind a dot.
const LOADER: &str = "loader";

/// The folder that a host runs with: its configuration, files and modules.
pub struct Folder {
    folder: TempDir,
    port: ReservedPort,
}

impl Folder {
    pub fn new(site: &Site, host: &Host) -> Result<Self, String> {
        let because = |error: io::Error| format!("the folder for a host: {error}");
        let module = site.module.find()?;
        let port = ReservedPort::new().map_err(|error| format!("a port for a host: {error}"))?;
        let folder = Self { folder: tempfile::tempdir().map_err(because)?, port };
        let files = folder.path("files");
        make_files(&files, &site.files).map_err(because)?;
        if let Host::Lighttpd2(installed) = host {
            link_modules(&installed.modules, module.as_deref(), &folder.path("modules")).map_err(because)?;
        }
        let certificate = site.is_tls.then(|| folder.path("certificate.pem"));
        if let Some(file) = &certificate {
            tls::make_certificate(file)?;
        }
        let places = Places {
            address: folder.address(),
            module: module.as_deref(),
            files: &files,
            certificate: certificate.as_deref(),
        };
        fs::write(folder.path("config"), site.describe(host, &places)).map_err(because)?;
        if site.has_angel {
            let mut wrap = wrap(site);
            if let Some(program) = wrap.first_mut() {
                // The angel does not look for it.
                *program = host::find_program(&program.to_string_lossy())?.into();
            }
            let config = config::angel(site, &wrap, host.program(), &folder);
            fs::write(folder.path("angel"), config).map_err(because)?;
        }
        Ok(folder)
    }

    /// Where a host listens that can be told where.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that runs `host` here.
    ///
    /// # Errors
    /// Where the site is one for an angel, and there is none.
    pub fn command(&self, site: &Site, host: &Host, arguments: &[&str]) -> Result<Command, String> {
        if site.has_angel {
            return self.angel(site, host);
        }
        let wrap = wrap(site);
        let is_wrapped = !wrap.is_empty();
        let mut words = wrap.into_iter().chain([host.program().into()]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words).args(arguments);
        match host {
            Host::Lighttpd2(installed) => {
                installed.complete(&mut command, &self.path("config"), &self.path("modules"));
                self.listen_to_loader(&mut command);
                if is_wrapped {
                    // What is unloaded has no names in the wrapper's findings.
                    command.arg("--module-resident");
                }
            }
            Host::StandIn(_) => {
                command.arg(self.path("config"));
            }
        }
        command.envs(site.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Has the loader write which libraries it loads and unloads.
    fn listen_to_loader(&self, command: &mut Command) {
        command.env("LD_DEBUG", "files").env("LD_DEBUG_OUTPUT", self.path(LOADER));
    }

    /// The ids of processes that have unloaded the module.
    pub fn unloaded(&self) -> Vec<u32> {
        let files = self.folder.path().read_dir().into_iter().flatten().flatten();
        let loaders = files.filter_map(|file| {
            let name = file.file_name();
            let process = name.to_str()?.strip_prefix(LOADER)?.strip_prefix('.')?.parse().ok()?;
            Some((process, fs::read_to_string(file.path()).ok()?))
        });
        loaders.filter(|(_, text)| text.lines().any(is_unloaded)).map(|(process, _)| process).collect()
    }

    fn angel(&self, site: &Site, host: &Host) -> Result<Command, String> {
        let Host::Lighttpd2(installed) = host else { return Err(format!("{host} has no angel")) };
        let mut command = Command::new(installed.angel()?);
        command.arg("-c").arg(self.path("angel")).env("LD_LIBRARY_PATH", installed.library_path());
        self.listen_to_loader(&mut command);
        command.envs(site.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// Whether the loader says here that it takes the module out of memory: nothing of it has anything more to do.
fn is_unloaded(line: &str) -> bool {
    line.contains(&format!("/{MODULE} [")) && line.ends_with("destroying link map")
}

/// The command in front of the host's.
fn wrap(site: &Site) -> Vec<OsString> {
    if site.wrap.is_empty() {
        env::var("WRAP").unwrap_or_default().split_whitespace().map(Into::into).collect()
    } else {
        site.wrap.clone()
    }
}

/// The module that a site is served with.
#[derive(Clone, Default)]
pub enum Module {
    #[default]
    UnderTest,
    File(PathBuf),
    None,
}

impl Module {
    fn find(&self) -> Result<Option<PathBuf>, String> {
        match self {
            Self::UnderTest => host::module().map(Some),
            Self::File(file) => file.canonicalize().map(Some).map_err(|error| format!("{}: {error}", file.display())),
            Self::None => Ok(None),
        }
    }
}

fn make_files(folder: &Path, files: &[(String, u64)]) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (name, size) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().expect("a file in the folder"))?;
        fs::File::create(file)?.set_len(*size)?;
    }
    Ok(())
}

/// Links all `installed` modules into `folder`, and this one in the place of that with its name, if any.
pub fn link_modules(installed: &Path, module: Option<&Path>, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    for entry in installed.read_dir()?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(MODULE) {
            symlink(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    module.map_or(Ok(()), |module| symlink(module, folder.join(MODULE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_module_s_last_step_says_that_it_is_gone() {
        let line = |module: &str, what: &str| format!("     21626:\tfile=/a/{module} [0];  {what}");
        assert!(is_unloaded(&line(MODULE, "destroying link map")));
        assert!(!is_unloaded(&line(MODULE, "generating link map")));
        assert!(!is_unloaded(&line("libmod_proxy.so", "destroying link map")));
        assert!(!is_unloaded(&format!("     21626:\tcalling fini: /a/{MODULE} [0]")));
    }
}
