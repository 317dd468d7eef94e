//! The data directory: where it is, what is in it, and that one process at a time has it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Why there is no data directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// None was given, and there is no home directory.
    #[error(
        "cannot tell where the data directory is: give --data-dir, or set XDG_DATA_HOME or HOME"
    )]
    Unknown,
    /// It cannot be made or opened.
    #[error("cannot use data directory '{}'", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No write permission, or a read-only file system.
    #[error("data directory '{}' is not writable", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else has this name.
    #[error("data directory '{}' is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// Another user could change what is in it.
    #[error("data directory '{}' belongs to user {owner}, not to user {user} who runs this", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Its group or everybody has access.
    #[error("data directory '{0}' is open to others (mode {mode:04o}): run chmod 700 '{0}'", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process has it.
    #[error("data directory '{}' is in use by another process{}", path.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, as far as it has said.
        pid: Option<u32>,
    },
}

/// Where a data directory is: `given`, else `/var/lib/osapi` for root, else `$XDG_DATA_HOME/osapi`, which is `~/.local/share/osapi`
/// by default (XDG Base Directory Specification).
///
/// # Errors
/// When there is no home directory either.
pub fn locate(given: Option<PathBuf>) -> Result<Layout, DataDirError> {
    let root = rustix::process::geteuid().is_root();
    let path = given.or_else(|| default_path(root, |name| std::env::var_os(name)));
    let path = path.ok_or(DataDirError::Unknown)?;
    // Made absolute at once: it must not move with the working directory.
    let absolute = std::path::absolute(&path);
    absolute.map(Layout).map_err(|source| DataDirError::Io { path, source })
}

fn default_path(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some("/var/lib/osapi".into());
    }
    // The specification has relative paths ignored.
    let directory = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || directory("HOME").map(|home| home.join(".local/share"));
    directory("XDG_DATA_HOME").or_else(home).map(|data| data.join("osapi"))
}

/// The places in a data directory. Having one says nothing about whether it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(PathBuf);

impl Layout {
    /// The data directory at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The keys of the fleet.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The keys of the fleet's broker.
    #[must_use]
    pub fn broker(&self) -> PathBuf {
        self.0.join("nats")
    }

    /// What belongs to this machine's agent: key, identity, journal.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.0.join("agent")
    }

    /// The credential of the local command line.
    #[must_use]
    pub fn credential(&self) -> PathBuf {
        self.0.join("cli.json")
    }

    fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}

/// A data directory that this process has for itself, until the value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataDir {
    layout: Layout,
    _lock: File,
}

impl DataDir {
    /// Takes the data directory at `layout`, which is made if there is none.
    ///
    /// # Errors
    /// When it cannot be made or written, is open to others, or is in use.
    pub fn open(layout: Layout) -> Result<Self, DataDirError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(layout.path());
        match created {
            // It is there, and no directory: said below.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created.map_err(|error| refused(error, &layout))?,
        }
        check(&layout)?;
        let lock = lock(&layout)?;
        Ok(Self { layout, _lock: lock })
    }

    /// The places in it.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

fn check(layout: &Layout) -> Result<(), DataDirError> {
    let path = || layout.path().to_owned();
    let metadata = fs::metadata(layout.path()).map_err(|error| refused(error, layout))?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_dir() {
        Err(DataDirError::NotADirectory(path()))
    } else if owner != user {
        Err(DataDirError::Owner { path: path(), owner, user })
    } else if mode & 0o077 != 0 {
        Err(DataDirError::Exposed { path: path(), mode })
    } else {
        Ok(())
    }
}

/// Locks the directory by a file in it (flock(2)): the kernel unlocks it when the process ends.
fn lock(layout: &Layout) -> Result<File, DataDirError> {
    let refused = |error| refused(error, layout);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(layout.lock()).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(refused)?;
            write!(file, "{}", std::process::id()).map_err(refused)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = (&mut file).take(32).read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.parse().ok());
            Err(DataDirError::InUse { path: layout.path().to_owned(), pid })
        }
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

fn refused(source: io::Error, layout: &Layout) -> DataDirError {
    let path = layout.path().to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DataDirError::NotWritable { path, source }
        }
        io::ErrorKind::NotADirectory => DataDirError::NotADirectory(path),
        _ => DataDirError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn text(result: Result<DataDir, DataDirError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn it_is_made_private_with_its_parents() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path().join("share/osapi"));
        let data = DataDir::open(layout.clone()).unwrap();
        let mode = fs::metadata(layout.path()).unwrap().mode() & 0o7777;
        assert_eq!((mode, data.layout()), (0o700, &layout));
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path().join("osapi"));
        let first = DataDir::open(layout.clone()).unwrap();
        let in_use = format!(
            "data directory '{}' is in use by another process (pid {})",
            layout.path().display(),
            std::process::id()
        );
        assert_eq!(text(DataDir::open(layout.clone())), in_use);
        drop(first);
        DataDir::open(layout).unwrap();
    }

    #[test]
    fn what_others_can_reach_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().display();
        assert_eq!(
            text(DataDir::open(layout)),
            format!(
                "data directory '{path}' is open to others (mode 0755): run chmod 700 '{path}'"
            )
        );
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let text = text(DataDir::open(Layout::at(&path)));
            assert_eq!(text, format!("data directory '{}' is not a directory", path.display()));
        }
    }

    #[test]
    fn refusals_of_the_system_are_told_apart() {
        let layout = Layout::at("/x");
        for (error, text) in [
            (rustix::io::Errno::ACCESS, "data directory '/x' is not writable"),
            (rustix::io::Errno::ROFS, "data directory '/x' is not writable"),
            (rustix::io::Errno::NOSPC, "cannot use data directory '/x'"),
        ] {
            assert_eq!(refused(error.into(), &layout).to_string(), text);
        }
    }

    #[test]
    fn the_default_follows_the_specification() {
        let variables = |xdg: Option<&'static str>, home: Option<&'static str>| {
            move |name: &str| match name {
                "XDG_DATA_HOME" => xdg.map(OsString::from),
                "HOME" => home.map(OsString::from),
                other => panic!("{other}"),
            }
        };
        for (root, xdg, home, path) in [
            (true, Some("/data"), Some("/root"), Some("/var/lib/osapi")),
            (false, Some("/data"), Some("/home/a"), Some("/data/osapi")),
            (false, Some("data"), Some("/home/a"), Some("/home/a/.local/share/osapi")),
            (false, Some(""), Some("/home/a"), Some("/home/a/.local/share/osapi")),
            (false, None, Some("/home/a"), Some("/home/a/.local/share/osapi")),
            (false, None, None, None),
        ] {
            assert_eq!(default_path(root, variables(xdg, home)), path.map(PathBuf::from));
        }
    }

    #[test]
    fn a_given_path_is_made_absolute() {
        let layout = locate(Some("state".into())).unwrap();
        assert_eq!(layout.path(), std::env::current_dir().unwrap().join("state"));
    }
}
