//! Packages that are tested as they are. They are no part of this project: its tests fetch them by the registries' own
//! programs, into a folder of the build, where they stay for the next time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use testkit::{Process, find_program, wait};

/// A package, in a version that does not change.
pub struct Package {
    from: Registry,
    name: &'static str,
    pub version: &'static str,
    /// The file that tests use.
    file: &'static str,
}

enum Registry {
    Npm,
    PyPi,
}

/// The last jQuery that clients of its time run on, and a current one.
pub const JQUERY: [Package; 2] = [jquery("1.12.4"), jquery("3.7.1")];

pub const DJANGO_PROGRESSBARUPLOAD: Package = Package {
    from: Registry::PyPi,
    name: "django-progressbarupload",
    version: "0.1.7",
    file: "progressbarupload/static/js/progress_bar.js",
};

/// Reads the types of our own client.
pub const TYPESCRIPT: Package =
    Package { from: Registry::Npm, name: "typescript", version: "5.9.3", file: "node_modules/typescript/bin/tsc" };

const fn jquery(version: &'static str) -> Package {
    Package { from: Registry::Npm, name: "jquery", version, file: "node_modules/jquery/dist/jquery.js" }
}

/// How long it may take to fetch one.
const LIMIT: Duration = Duration::from_secs(60);

/// The folder of a package, or why it is not there.
type Found = Result<PathBuf, String>;

/// What has been found so far, by name and version: what cannot be had is asked for once. Locked while a package is fetched.
static FOUND: Mutex<BTreeMap<(&str, &str), Found>> = Mutex::new(BTreeMap::new());

impl Package {
    /// Makes sure that it is there.
    ///
    /// # Errors
    /// Where it is not, and cannot be fetched.
    pub fn fetch(&self) -> Result<(), String> {
        self.folder().map(drop)
    }

    /// The text of its file.
    pub fn text(&self) -> String {
        let file = self.path();
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Where its file is.
    pub fn path(&self) -> PathBuf {
        self.folder().expect("a test without its packages is ignored").join(self.file)
    }

    fn folder(&self) -> Found {
        let mut found = FOUND.lock().expect("nobody panics with the packages locked");
        found.entry((self.name, self.version)).or_insert_with(|| self.install()).clone()
    }

    /// Its folder, which is made where it is not there, and is whole where it is.
    fn install(&self) -> Found {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        let folder = all.join(format!("{}-{}", self.name, self.version));
        if folder.exists() {
            return Ok(folder);
        }
        let because = |error| format!("{}: {error}", all.display());
        fs::create_dir_all(&all).map_err(because)?;
        let new = tempfile::tempdir_in(&all).map_err(because)?;
        let command = self.from.command(self.name, self.version, new.path())?;
        let failed = |reason| format!("{} {} cannot be fetched: {reason}", self.name, self.version);
        let mut process = Process::start(command).map_err(failed)?;
        let status = process.wait(LIMIT.mul_f64(wait::patience())).map_err(failed)?;
        if !status.success() {
            return Err(failed(process.log_text().lines().next().unwrap_or("without a reason").to_string()));
        }
        if !new.path().join(self.file).is_file() {
            return Err(failed(format!("it has no {}", self.file)));
        }
        match fs::rename(new.path(), &folder) {
            // Another program may have been quicker.
            Err(error) if !folder.exists() => Err(because(error)),
            _ => Ok(folder),
        }
    }
}

impl Registry {
    /// The command that installs a package, and none that it depends on, into a folder. Nothing of it is run.
    fn command(&self, name: &str, version: &str, folder: &Path) -> Result<Command, String> {
        Ok(match self {
            Self::Npm => {
                let mut command = Command::new(find_program("npm")?);
                command.args(["install", "--ignore-scripts", "--no-save", "--no-package-lock", "--no-audit"]);
                command.args(["--no-fund", "--no-update-notifier", "--fetch-retries=0", "--prefix"]).arg(folder);
                command.arg(format!("{name}@{version}"));
                command
            }
            Self::PyPi => {
                let mut command = Command::new(find_program("python3")?);
                command.args(["-m", "pip", "install", "--no-deps", "--only-binary", ":all:", "--no-compile"]);
                command.args(["--disable-pip-version-check", "--retries", "0", "--target"]).arg(folder);
                command.arg(format!("{name}=={version}"));
                command
            }
        })
    }
}
