//! Finding the host, and the module under test.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const MODULE: &str = "libmod_progress.so";
const PREFIXES: [&str; 3] = ["/usr/local", "/usr", "/opt/lighttpd2"];
const PROGRAM_FOLDERS: [&str; 3] = ["libexec", "lib/lighttpd2", "sbin"];
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

    fn lighttpd2() -> Result<Self, String> {
        let worker = match named_file("LIGHTTPD2_WORKER") {
            Some(worker) => worker,
            None => on_path("lighttpd2-worker")
                .into_iter()
                .chain(in_prefixes())
                .find(|worker| worker.is_file())
                .ok_or("no lighttpd2-worker is installed")?,
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
    let module = named_file("MODULE").or_else(|| newest_built(MODULE));
    let module = module.ok_or_else(|| format!("{MODULE} is not built"))?;
    module.canonicalize().map_err(|error| format!("{}: {error}", module.display()))
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

fn on_path(program: &str) -> Vec<PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).map(|folder| folder.join(program)).collect()
}

fn in_prefixes() -> impl Iterator<Item = PathBuf> {
    let folders = PREFIXES.into_iter().flat_map(|prefix| PROGRAM_FOLDERS.map(|folder| Path::new(prefix).join(folder)));
    folders.map(|folder| folder.join("lighttpd2-worker"))
}

/// The directory of modules in the prefix that `worker` is in: `lib/lighttpd-VERSION`, perhaps with one more level.
fn modules_of(worker: &Path) -> Option<PathBuf> {
    let is_modules = |path: &PathBuf| {
        let is_named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lighttpd"));
        is_named && path.join(MARKER).is_file()
    };
    let prefixes = worker.ancestors().skip(2);
    prefixes.flat_map(|prefix| ["lib", "lib64"].map(|lib| prefix.join(lib))).find_map(|lib| {
        let direct = folders_in(&lib);
        let nested = direct.iter().flat_map(|folder| folders_in(folder)).collect();
        [direct, nested].concat().into_iter().find(is_modules)
    })
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The file `name` that was built last, beside the running program or one folder up or down.
fn newest_built(name: &str) -> Option<PathBuf> {
    let folder = env::current_exe().ok()?.parent()?.to_path_buf();
    let places = [folder.join(name), folder.join("deps").join(name), folder.parent()?.join(name)];
    let built =
        |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    places.into_iter().filter(|path| path.is_file()).max_by_key(built)
}
