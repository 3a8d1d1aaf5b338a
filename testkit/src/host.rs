//! Finding the host, and the module under test.

use crate::folder;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, fmt, fs};

const MODULE: &str = "libmod_progress.so";
/// Bytes that only this project's module has, to tell it from the C module.
const MARK: &[u8] = b"MOD_PROGRESS_IN_RUST";

// Where a lighttpd2 may be; scripts/module-dir looks in the same places. A `*` stands for any one name.
const PREFIXES: [&str; 3] = ["/usr/local", "/usr", "/opt/lighttpd2"];
const PROGRAMS: [&str; 4] = ["libexec", "lib/lighttpd2", "lib/*/lighttpd2", "sbin"];
const MODULES: [&str; 6] = [
    "lib/*/lighttpd-2.*",
    "lib64/lighttpd-2.*",
    "lib/lighttpd-2.*",
    "lib/*/lighttpd2",
    "lib64/lighttpd2",
    "lib/lighttpd2",
];
/// A module that every lighttpd2 has.
const MARKER: &str = "libmod_proxy.so";

/// What loads the module and serves a site.
#[derive(Clone, Debug)]
pub enum Host {
    /// A real lighttpd2.
    Lighttpd2(Lighttpd2),
    /// The program that plays lighttpd2 towards the module, for tests and demonstration.
    StandIn(PathBuf),
}

/// An installed lighttpd2.
#[derive(Clone, Debug)]
pub struct Lighttpd2 {
    /// Its `lighttpd2-worker`.
    pub worker: PathBuf,
    /// The directory of its modules.
    pub modules: PathBuf,
}

impl Host {
    /// The host that `HOST` names, else lighttpd2 where there is one, else the stand-in.
    ///
    /// # Errors
    /// Where there is none, with what is missing.
    pub fn choose() -> Result<Self, String> {
        match env::var("HOST").as_deref() {
            Ok(name) => Self::named(name),
            // Whoever names a worker wants no other host.
            Err(_) if env::var_os("LIGHTTPD2_WORKER").is_some() => Self::lighttpd2(),
            Err(_) => {
                Self::lighttpd2().or_else(|first| Self::stand_in().map_err(|second| format!("{first}; {second}")))
            }
        }
    }

    /// `lighttpd2` or `standin`.
    ///
    /// # Errors
    /// Where it is not there.
    ///
    /// # Panics
    /// Where there is no host of that name.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "lighttpd2" => Self::lighttpd2(),
            "standin" => Self::stand_in(),
            _ => panic!("HOST={name} is neither lighttpd2 nor standin"),
        }
    }

    /// Its name, as in `HOST`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lighttpd2(_) => "lighttpd2",
            Self::StandIn(_) => "standin",
        }
    }

    /// The program to run.
    pub fn program(&self) -> &Path {
        match self {
            Self::Lighttpd2(installed) => &installed.worker,
            Self::StandIn(program) => program,
        }
    }

    /// lighttpd2's own module: the one that `C_MODULE` names, else the installed one.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn c_module(&self) -> Result<PathBuf, String> {
        match (named_file("C_MODULE"), self) {
            (Some(module), _) => Ok(module),
            (None, Self::Lighttpd2(installed)) => installed.c_module(),
            (None, Self::StandIn(_)) => Err(String::from("lighttpd2's own module is measured on lighttpd2 only")),
        }
    }

    fn lighttpd2() -> Result<Self, String> {
        let worker = match named_file("LIGHTTPD2_WORKER") {
            Some(worker) => worker,
            None => installed_worker().ok_or("no lighttpd2-worker is installed")?,
        };
        let modules = match named_file("LIGHTTPD2_MODULES") {
            Some(modules) => modules,
            None => modules_of(&worker)
                .ok_or_else(|| format!("{} has no modules nearby: set LIGHTTPD2_MODULES", worker.display()))?,
        };
        Ok(Self::Lighttpd2(Lighttpd2 { worker, modules }))
    }

    fn stand_in() -> Result<Self, String> {
        let program = named_file("STANDIN").or_else(|| newest_built("standin")).ok_or("the stand-in is not built")?;
        Ok(Self::StandIn(program))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lighttpd2(installed) => write!(f, "lighttpd2 ({})", installed.worker.display()),
            Self::StandIn(program) => write!(f, "the stand-in ({})", program.display()),
        }
    }
}

impl Lighttpd2 {
    /// Whether this module is installed.
    pub fn has(&self, module: &str) -> bool {
        self.modules.join(format!("lib{module}.so")).is_file()
    }

    /// Its angel, which starts the worker, and another one in its place.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn angel(&self) -> Result<PathBuf, String> {
        let found =
            self.worker.ancestors().skip(2).map(|prefix| prefix.join("sbin/lighttpd2")).find(|file| file.is_file());
        found.ok_or_else(|| format!("no angel is installed beside {}", self.worker.display()))
    }

    /// Makes a directory that has its modules with the one under test among them, as where that is installed.
    ///
    /// # Errors
    /// Where the module is not built, or the directory cannot be made.
    pub fn install_into(&self, folder: &Path) -> Result<(), String> {
        let module = module()?;
        folder::link_modules(&self.modules, Some(&module), folder)
            .map_err(|error| format!("{}: {error}", folder.display()))
    }

    /// The C module that is installed, or the one that was there before this project's was installed.
    fn c_module(&self) -> Result<PathBuf, String> {
        let is_c_module = |module: &PathBuf| {
            fs::read(module).is_ok_and(|bytes| !bytes.windows(MARK.len()).any(|window| window == MARK))
        };
        let found = [MODULE, "libmod_progress.so.orig"].map(|name| self.modules.join(name));
        let found = found.into_iter().find(is_c_module);
        found.ok_or_else(|| format!("lighttpd2's own module is not in {}", self.modules.display()))
    }

    /// Adds what its command needs to run with this configuration and these modules, and to find its libraries.
    pub fn complete(&self, command: &mut Command, config: &Path, modules: &Path) {
        command.arg("-c").arg(config).arg("-m").arg(modules).env("LD_LIBRARY_PATH", self.library_path());
    }

    /// The value of `LD_LIBRARY_PATH` with which it finds its libraries.
    pub fn library_path(&self) -> OsString {
        let own = self.modules.ancestors().skip(1).take(2).map(Path::to_path_buf);
        let set = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let all = own.chain(env::split_paths(&set).filter(|path| !path.as_os_str().is_empty()));
        env::join_paths(all).expect("directories without a colon")
    }
}

/// The module under test: `MODULE`, or the one built with the tests.
///
/// # Errors
/// Where it is not built.
pub fn module() -> Result<PathBuf, String> {
    let module = named_file("MODULE").map_or_else(|| built(MODULE), Ok)?;
    module.canonicalize().map_err(|error| format!("{}: {error}", module.display()))
}

/// The file of that name that was built with the tests.
///
/// # Errors
/// Where it is not there.
pub fn built(name: &str) -> Result<PathBuf, String> {
    newest_built(name).ok_or_else(|| format!("{name} is not built"))
}

/// Whether hosts run under another command, `WRAP`, such as valgrind.
pub fn is_wrapped() -> bool {
    env::var_os("WRAP").is_some_and(|wrap| !wrap.is_empty())
}

/// What the variable `name` names, if it is set.
fn named_file(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(name)?);
    assert!(path.exists(), "{name}={} is not there", path.display());
    Some(path)
}

/// A program on the `PATH`.
///
/// # Errors
/// Where there is none of that name.
pub fn find_program(name: &str) -> Result<PathBuf, String> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is not installed"))
}

fn installed_worker() -> Option<PathBuf> {
    let folders = PREFIXES.into_iter().flat_map(|prefix| PROGRAMS.map(|folder| matching(Path::new(prefix), folder)));
    let workers = folders.flatten().map(|folder| folder.join("lighttpd2-worker"));
    find_program("lighttpd2-worker").ok().into_iter().chain(workers).find(|worker| worker.is_file())
}

/// The directory of modules in the prefix that `worker` is in.
fn modules_of(worker: &Path) -> Option<PathBuf> {
    let worker = worker.canonicalize().ok()?;
    let folders = worker.ancestors().skip(2).flat_map(|prefix| MODULES.map(|folder| matching(prefix, folder)));
    folders.flatten().find(|folder| folder.join(MARKER).exists())
}

/// The folders below `prefix` that `pattern` stands for, in the order of their names.
fn matching(prefix: &Path, pattern: &str) -> Vec<PathBuf> {
    pattern.split('/').fold(vec![prefix.to_path_buf()], |folders, part| {
        let Some((start, end)) = part.split_once('*') else {
            return folders.into_iter().map(|folder| folder.join(part)).collect();
        };
        let entries = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
        let fits = |name: &str| name.len() >= part.len() - 1 && name.starts_with(start) && name.ends_with(end);
        let mut fitting: Vec<_> =
            entries.filter(|entry| fits(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect();
        fitting.sort();
        fitting
    })
}

/// The file `name` that was built last, beside the running program or one folder up or down.
fn newest_built(name: &str) -> Option<PathBuf> {
    let folder = env::current_exe().ok()?.parent()?.to_path_buf();
    let places = [folder.join(name), folder.join("deps").join(name), folder.parent()?.join(name)];
    let built =
        |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    places.into_iter().filter(|path| path.is_file()).max_by_key(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lib/b/lighttpd-2.0", "lib/a/lighttpd-2.0", "lib/lighttpd-2.1", "lib/lighttpd-1.4"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let found = |pattern: &str| matching(folder.path(), pattern);
        assert_eq!(
            found("lib/*/lighttpd-2.*"),
            ["lib/a/lighttpd-2.0", "lib/b/lighttpd-2.0"].map(|name| folder.path().join(name))
        );
        assert_eq!(found("lib/lighttpd-2.*"), [folder.path().join("lib/lighttpd-2.1")]);
        assert_eq!(found("none/*"), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn the_script_for_installing_finds_the_same_modules() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/module-dir");
        let said = Command::new(script).output().unwrap();
        let said = said.status.success().then(|| String::from_utf8(said.stdout).unwrap().trim_end().to_string());
        let worker = named_file("LIGHTTPD2_WORKER").or_else(installed_worker);
        let found = worker.and_then(|worker| modules_of(&worker));
        assert_eq!(said.map(PathBuf::from), found);
    }
}
