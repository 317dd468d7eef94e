//! Files that only their owner may read: made so, checked so, and never seen half written.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Why a private file is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// The system refuses.
    #[error("cannot {what} '{}'", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A directory, a link, a device.
    #[error("'{}' is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Somebody else could change it.
    #[error("'{}' belongs to user {owner}, not to user {user} who runs this", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Its group or everybody has access.
    #[error("'{0}' is open to others (mode {mode:04o}): run chmod 600 '{0}'", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Bytes that are no UTF-8.
    #[error("'{}' is not text", .0.display())]
    NotText(PathBuf),
    /// Not what it should be.
    #[error("'{}' is larger than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        max: usize,
    },
}

impl PrivateFileError {
    /// Whether there is something at this path already.
    #[must_use]
    pub fn already_exists(&self) -> bool {
        self.is(io::ErrorKind::AlreadyExists)
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is(io::ErrorKind::NotFound)
    }

    fn is(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == kind)
    }
}

/// Names what failed on which path.
pub(crate) fn failed<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> PrivateFileError + use<'a> {
    move |source| PrivateFileError::Io { what, path: path.to_owned(), source }
}

/// The bytes of the file at `path`, which nobody else can read or change.
///
/// # Errors
/// When there is none, it is no regular file, it is open to others, or it is larger than `max` bytes.
pub fn read(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    // A link could lead anywhere, and opening a pipe would wait for its writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match file {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(PrivateFileError::NotAFile(path.to_owned()));
        }
        file => file.map_err(failed("open", path))?,
    };
    check(path, &file)?;
    // Room for everything from the start, so that growing leaves no copies in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 1));
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() > max {
        return Err(PrivateFileError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

fn check(path: &Path, file: &File) -> Result<(), PrivateFileError> {
    let path = || path.to_owned();
    let metadata = file.metadata().map_err(failed("inspect", &path()))?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        Err(PrivateFileError::NotAFile(path()))
    } else if owner != user && owner != 0 {
        Err(PrivateFileError::Owner { path: path(), owner, user })
    } else if mode & 0o077 != 0 {
        Err(PrivateFileError::Exposed { path: path(), mode })
    } else {
        Ok(())
    }
}

/// Makes the directory `dir`, which is not there, with `files` in it, each a name, which may have directories before it, and a text:
/// all of it, or nothing, whenever the power fails. Nobody else does so at the same time.
///
/// # Errors
/// When the directory is there already, or cannot be made.
pub fn create_dir(dir: &Path, files: &[(&str, impl AsRef<str>)]) -> Result<(), PrivateFileError> {
    let draft = draft_of(dir);
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &draft)(error));
        }
        _ => {}
    }
    let written =
        fill(&draft, files).and_then(|()| fs::rename(&draft, dir).map_err(failed("create", dir)));
    if written.is_err() {
        // Best effort: the next one to make it removes the draft first.
        fs::remove_dir_all(&draft).ok();
    }
    written?;
    sync_parent(dir)
}

/// A name beside `dir` that only a draft of it has.
fn draft_of(dir: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(".osapi-draft");
    dir.with_file_name(name)
}

fn fill(dir: &Path, files: &[(&str, impl AsRef<str>)]) -> Result<(), PrivateFileError> {
    let mut made = BTreeSet::from([dir.to_owned()]);
    let make =
        |path: &Path| DirBuilder::new().mode(0o700).create(path).map_err(failed("create", path));
    make(dir)?;
    for (name, text) in files {
        let path = dir.join(name);
        let mut missing: Vec<_> =
            path.ancestors().skip(1).take_while(|dir| !made.contains(*dir)).collect();
        while let Some(parent) = missing.pop() {
            make(parent)?;
            made.insert(parent.to_owned());
        }
        create(&path, text.as_ref())?;
    }
    made.iter().try_for_each(|dir| sync_dir(dir))
}

/// Makes the file at `path`, which is not there, or nothing.
///
/// # Errors
/// When the file is there already, or cannot be written.
pub fn create_new(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    let created = create(path, text).and_then(|()| sync_parent(path));
    if let Err(PrivateFileError::Io { source, .. }) = &created
        && source.kind() != io::ErrorKind::AlreadyExists
    {
        // What is half written is ours; if it cannot be removed either, the first error says why.
        fs::remove_file(path).ok();
    }
    created
}

/// Replaces the file at `path` by one line of text: readers see the old one or the new one.
pub(crate) fn replace(path: &Path, line: &str) -> Result<(), PrivateFileError> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &draft)(error));
        }
        _ => {}
    }
    create(&draft, line)?;
    fs::rename(&draft, path).map_err(failed("replace", path))?;
    sync_parent(path)
}

/// Puts the file `from` in the place of `to`, for good.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), PrivateFileError> {
    fs::rename(from, to).map_err(failed("replace", to))?;
    sync_parent(to)
}

fn create(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    let failed = |error| failed("create", path)(error);
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = options.map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    if !text.ends_with('\n') {
        file.write_all(b"\n").map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}

fn sync_parent(path: &Path) -> Result<(), PrivateFileError> {
    // The parent of a bare name is where this process runs.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// A new name is on the disk once its directory is (fsync(2)).
fn sync_dir(path: &Path) -> Result<(), PrivateFileError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_replaced_file_is_private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::write(dir.path().join("a.new"), "left by a crash").unwrap();
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(**read(&path, 10).unwrap(), *b"two\n");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_others_can_reach_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        replace(&path, "secret").unwrap();
        for open in [0o640, 0o604, 0o620, 0o610, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let text = format!(
                "'{0}' is open to others (mode {open:04o}): run chmod 600 '{0}'",
                path.display()
            );
            assert_eq!(read(&path, 10).unwrap_err().to_string(), text);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path, 10).is_ok());
    }

    #[test]
    fn links_directories_and_large_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a"), dir.path().join("link"));
        replace(&path, "secret").unwrap();
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link, 10), Err(PrivateFileError::NotAFile(at)) if at == link));
        assert!(matches!(read(dir.path(), 10), Err(PrivateFileError::NotAFile(_))));
        assert!(matches!(read(&path, 6), Err(PrivateFileError::TooLarge { max: 6, .. })));
        assert_eq!(read(&path, 7).unwrap().len(), 7);
        assert!(read(&dir.path().join("none"), 1).unwrap_err().is_missing());
    }

    #[test]
    fn a_directory_is_made_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let draft = dir.path().join(".keys.osapi-draft");
        fs::create_dir(&draft).unwrap();
        fs::write(draft.join("a"), "left by a crash").unwrap();
        create_dir(&keys, &[("a", "1"), ("c/d/e", "2"), ("c/f", "3")]).unwrap();
        assert_eq!(fs::read_to_string(keys.join("c/d/e")).unwrap(), "2\n");
        for (path, expected) in [("", 0o700), ("a", 0o600), ("c/d", 0o700), ("c/f", 0o600)] {
            assert_eq!(mode(&keys.join(path)), expected, "{path}");
        }
        assert!(create_dir(&keys, &[("a", "3")]).is_err(), "what is there stays");
        assert_eq!(fs::read_to_string(keys.join("a")).unwrap(), "1\n");
        let twice = create_dir(&dir.path().join("x"), &[("a", "1"), ("a", "2")]);
        twice.unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing half done is left");
    }

    #[test]
    fn a_new_file_is_private_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.join");
        create_new(&path, "one").unwrap();
        assert_eq!(mode(&path), 0o600);
        create_new(&path, "two").unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        assert!(create_new(&dir.path().join("none/a"), "x").is_err());
    }
}
