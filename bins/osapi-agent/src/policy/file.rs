//! The file with the policy: root's alone, and nothing in it that is not understood.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use osapi_service::config;
use rustix::fs::OFlags;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Policy, Rule};

/// The policy that is in force if the configuration names none; it need not exist.
pub const DEFAULT_FILE: &str = "/etc/osapi/policy.yaml";

/// Largest file, in bytes.
const FILE_MAX: u64 = 256 * 1024;
/// Whose file it has to be.
const ROOT: u32 = 0;
/// Write access for the group or for others. An access list (acl(5)) shows in the group's.
const WRITABLE: u32 = 0o022;
/// In a directory with this bit, only the owner of an entry can replace it.
const STICKY: u32 = 0o1000;

/// Why a policy is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The system refuses.
    #[error("cannot {what} policy '{}'", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A link leads there, or the path is not written in full.
    #[error("policy '{}' is really '{}': name that", path.display(), real.display())]
    Detour {
        /// As it is named.
        path: PathBuf,
        /// Where it is.
        real: PathBuf,
    },
    /// A link on the way there leads nowhere, as one into a file system that is not mounted: what is behind it is not known.
    #[error("policy '{}' cannot be found: '{at}' is a link that leads nowhere", path.display(), at = at.display())]
    Adrift {
        /// The policy.
        path: PathBuf,
        /// The link.
        at: PathBuf,
    },
    /// A directory, a device.
    #[error("policy '{}' is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It, or a directory above it, is not root's.
    #[error("policy '{}' is not safe: '{at}' belongs to user {owner}, not to root: run chown root '{at}'", path.display(), at = at.display())]
    Owner {
        /// The policy.
        path: PathBuf,
        /// What belongs to somebody.
        at: PathBuf,
        /// To whom.
        owner: u32,
    },
    /// Others than root can write it, or can replace it in a directory above it.
    #[error("policy '{}' is not safe: others can write '{at}' (mode {mode:04o}): run chmod go-w '{at}'", path.display(), at = at.display())]
    Writable {
        /// The policy.
        path: PathBuf,
        /// What others can write.
        at: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not what it should be.
    #[error("policy '{}' is larger than {max} bytes", .0.display(), max = FILE_MAX)]
    TooLarge(PathBuf),
    /// No YAML, a key that is not known, or a value of another type: file, line, column and an excerpt.
    #[error("policy '{}' is not valid: {message}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong and where, in several lines.
        message: String,
    },
    /// Everything that is wrong with its rules, each with its place.
    #[error("policy is not valid:{}", lines(.0))]
    Invalid(Vec<String>),
}

fn lines(flaws: &[String]) -> String {
    flaws.iter().map(|flaw| format!("\n  {flaw}")).collect()
}

/// The policy in the file that was `named`, or else in [`DEFAULT_FILE`], if that exists. Blocks.
///
/// # Errors
/// When the file is not root's alone, or anything in it is not understood.
pub fn load(named: Option<&Path>) -> Result<Option<Policy>, PolicyError> {
    match named {
        Some(path) => read(path, ROOT).map(Some),
        None => read_if_there(Path::new(DEFAULT_FILE), ROOT),
    }
}

/// The policy in the file at `path`, which is `owner`'s alone; none only if it is certain that there is no such file.
pub(super) fn read_if_there(path: &Path, owner: u32) -> Result<Option<Policy>, PolicyError> {
    match read(path, owner) {
        Err(PolicyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            match link_on_the_way(path) {
                Some(at) => Err(PolicyError::Adrift { path: path.to_owned(), at }),
                None => Ok(None),
            }
        }
        policy => policy.map(Some),
    }
}

/// The first link among `path` and the directories above it.
fn link_on_the_way(path: &Path) -> Option<PathBuf> {
    let steps: Vec<_> = path.ancestors().collect();
    let is_link =
        |at: &&&Path| fs::symlink_metadata(at).is_ok_and(|found| found.file_type().is_symlink());
    steps.iter().rev().find(is_link).map(|at| at.to_path_buf())
}

/// The policy in the file at `path`, which is `owner`'s alone.
pub(super) fn read(path: &Path, owner: u32) -> Result<Policy, PolicyError> {
    let text = read_text(path, owner)?;
    parse(&text, path)
}

fn read_text(path: &Path, owner: u32) -> Result<String, PolicyError> {
    let failed = |what| move |source| PolicyError::Io { what, path: path.to_owned(), source };
    let full = std::path::absolute(path).map_err(failed("find"))?;
    let real = fs::canonicalize(&full).map_err(failed("find"))?;
    if real != full {
        return Err(PolicyError::Detour { path: path.to_owned(), real });
    }
    for dir in real.ancestors().skip(1) {
        let metadata = fs::metadata(dir).map_err(failed("inspect"))?;
        check(path, dir, &metadata, owner, metadata.mode() & STICKY != 0)?;
    }
    // A link in its place would have been another path, and opening a pipe would wait for its writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&real);
    let file = file.map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("inspect"))?;
    if !metadata.is_file() {
        return Err(PolicyError::NotAFile(path.to_owned()));
    }
    check(path, &real, &metadata, owner, false)?;
    read_bounded(file, path).map_err(failed("read"))?
}

fn read_bounded(file: File, path: &Path) -> io::Result<Result<String, PolicyError>> {
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text)?;
    let is_small = text.len() as u64 <= FILE_MAX;
    Ok(if is_small { Ok(text) } else { Err(PolicyError::TooLarge(path.to_owned())) })
}

/// Whether nobody but root and `owner` can change what is `at`. Directories above may be root's in any case.
fn check(
    path: &Path,
    at: &Path,
    metadata: &Metadata,
    owner: u32,
    is_sticky: bool,
) -> Result<(), PolicyError> {
    let (path, at) = (path.to_owned(), at.to_owned());
    let mode = metadata.mode() & 0o7777;
    if metadata.uid() != owner && metadata.uid() != ROOT {
        return Err(PolicyError::Owner { path, at, owner: metadata.uid() });
    }
    if mode & WRITABLE != 0 && !is_sticky {
        return Err(PolicyError::Writable { path, at, mode });
    }
    Ok(())
}

/// What is in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    rules: Vec<Spanned<Rule>>,
}

/// The policy that is written in `text`, which is in the file at `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<Policy, PolicyError> {
    let Document { rules } = serde_saphyr::from_str(text).map_err(|error| PolicyError::Yaml {
        path: path.to_owned(),
        message: config::message(&error, path),
    })?;
    let (mut names, mut flaws) = (BTreeSet::new(), Vec::new());
    for rule in &rules {
        let Spanned { value, referenced, .. } = rule;
        let place = (path.display(), referenced.line(), referenced.column());
        let mut tell = |flaw: &str| {
            let ((file, line, column), name) = (&place, value.name().escape_debug());
            flaws.push(format!("{file}:{line}:{column}: rule '{name}': {flaw}"));
        };
        value.flaws().iter().for_each(|flaw| tell(flaw));
        if !names.insert(value.name()) {
            tell("another rule has this name");
        }
    }
    if flaws.is_empty() {
        Ok(Policy { rules: rules.into_iter().map(|rule| rule.value).collect() })
    } else {
        Err(PolicyError::Invalid(flaws))
    }
}
