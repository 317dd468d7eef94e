//! Opening the file: the right one, whole, and nobody else's; or making a new one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableError};
use rustix::fs::Advice;

use super::super::{Binding, Header, JournalError};
use super::mark::Mark;
use super::{COMMITS_KEY, HEADER, HEADER_KEY, Opener, RECORDS, REPORTS, State, codec};
use crate::backend::Source;
use crate::id::Nonce;

/// Memory for pages of the file, in bytes. The journal is small, and a start reads it once.
const CACHE: usize = 2 * 1024 * 1024;

/// Why a journal was not opened. What it remembers is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be read or made.
    #[error("cannot open journal {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("journal {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is no journal, or not a whole one.
    #[error("journal {} is damaged: restore it, or move it away and register the host anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Source,
    },
    /// A later build wrote it.
    #[error("journal {} was written by a newer build", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What is newer.
        #[source]
        source: Source,
    },
    /// It belongs to another fleet, name, key or machine.
    #[error("journal {} belongs to another {what}: {found}, not {expected}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs: `fleet`, `name`, `key` or `machine`.
        what: &'static str,
        /// What the journal says.
        found: String,
        /// What this agent is.
        expected: String,
    },
}

/// Makes a journal if nothing is at `path`.
pub(super) fn create_if_missing(path: &Path, binding: &Binding) -> Result<(), OpenError> {
    let there = path.try_exists().map_err(|source| io_error(path, source))?;
    if there { Ok(()) } else { create(path, binding) }
}

/// Opens what is at `path`, if it is this agent's.
pub(super) fn open(
    opener: &dyn Opener,
    path: &Path,
    binding: &Binding,
) -> Result<(Database, State), OpenError> {
    let db = open_file(opener, path)?;
    let state = read_state(path, &db)?;
    check_binding(path, &state.header.binding, binding)?;
    Ok((db, state))
}

/// The note beside the journal, which must have every commit that was noted.
pub(super) fn check_mark(path: &Path, found: &State) -> Result<Mark, OpenError> {
    let mark = Mark::open(path, found.header.journal).map_err(|err| io_error(path, err))?;
    if found.commits < mark.found {
        let (commits, synced) = (found.commits, mark.found);
        let what = format!("it has {commits} commits, and {synced} were synced");
        return Err(damaged(path, what));
    }
    Ok(mark)
}

/// What is found after a failed commit is what was known before, with that commit or without it.
pub(super) fn check_successor(path: &Path, known: &State, found: &State) -> Result<(), OpenError> {
    let is_same = known.header.journal == found.header.journal;
    let may_be = [known.commits, known.commits + 1];
    if is_same && may_be.contains(&found.commits) {
        return Ok(());
    }
    Err(damaged(path, "it is not the one that was written before"))
}

/// Makes a complete journal under another name and links it into place, unless another process was faster.
fn create(path: &Path, binding: &Binding) -> Result<(), OpenError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.new", Nonce::random()));
    let unfinished = PathBuf::from(unfinished);
    let made = write_new(&unfinished, &Header::new(binding.clone()))
        .and_then(|()| link_into_place(&unfinished, path));
    let cleared = match fs::remove_file(&unfinished) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    };
    made.and(cleared).map_err(|source| io_error(path, source))
}

fn write_new(path: &Path, header: &Header) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let write = || -> Result<(), redb::Error> {
        let db =
            Builder::new().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)?;
        let write = db.begin_write()?;
        write.open_table(HEADER)?.insert(HEADER_KEY, codec::encode(header).as_slice())?;
        write.open_table(RECORDS)?;
        write.open_table(REPORTS)?;
        write.commit()?;
        Ok(())
    };
    write().map_err(|err| match err {
        redb::Error::Io(err) => err,
        err => io::Error::other(err),
    })
}

fn link_into_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        linked => linked?,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The file as redb opens it.
#[derive(Debug)]
pub(super) struct Disk;

impl Opener for Disk {
    fn open(&self, path: &Path) -> Result<Database, DatabaseError> {
        builder().open(path)
    }
}

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// Has the next reader read the disk. Advice: the kernel follows it for what was written, or given up.
pub(super) fn forget_cached(path: &Path) -> Result<(), OpenError> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
        .map_err(|source| io_error(path, source.into()))
}

fn open_file(opener: &dyn Opener, path: &Path) -> Result<Database, OpenError> {
    // redb calls an empty file a new database; here it is one that lost what was in it.
    let size = fs::metadata(path).map_err(|source| io_error(path, source))?.len();
    if size == 0 {
        return Err(damaged(path, "file is empty"));
    }
    let open = || opener.open(path);
    // redb may panic on a file whose pages were altered outside it.
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(|err| database_error(path, err)),
        Err(_) => Err(damaged(path, "its pages do not fit together")),
    }
}

fn database_error(path: &Path, err: DatabaseError) -> OpenError {
    let path_buf = path.to_owned();
    match err {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { path: path_buf }
        }
        DatabaseError::UpgradeRequired(_) => {
            OpenError::Newer { path: path_buf, source: Box::new(err) }
        }
        // redb tells "no database" by an error of this kind.
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(
                source.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            io_error(path, source)
        }
        err => damaged(path, err),
    }
}

fn read_state(path: &Path, db: &Database) -> Result<State, OpenError> {
    let read = || -> Result<_, redb::Error> {
        let read = db.begin_read()?;
        let table = match read.open_table(HEADER) {
            Err(TableError::TableDoesNotExist(_)) => return Ok((None, None)),
            table => table?,
        };
        let value = |key| table.get(key).map(|value| value.map(|value| value.value().to_vec()));
        Ok((value(HEADER_KEY)?, value(COMMITS_KEY)?))
    };
    let (header, commits) = read().map_err(|err| damaged(path, err))?;
    let header = header.ok_or_else(|| damaged(path, "it has no header"))?;
    let header = codec::decode(HEADER_KEY, &header).map_err(|err| unreadable(path, err))?;
    // Builds before the count was kept did not count.
    let commits =
        commits.map_or(Ok(0), |bytes| bytes.as_slice().try_into().map(u64::from_be_bytes));
    let commits = commits.map_err(|_| damaged(path, "its number of commits is none"))?;
    Ok(State { header, commits })
}

/// A record that is not as this build writes it.
pub(super) fn unreadable(path: &Path, err: JournalError) -> OpenError {
    match err {
        JournalError::Newer { .. } => {
            OpenError::Newer { path: path.to_owned(), source: Box::new(err) }
        }
        err => damaged(path, err),
    }
}

fn check_binding(path: &Path, found: &Binding, expected: &Binding) -> Result<(), OpenError> {
    let differs = |what, found: String, expected: String| {
        let path = path.to_owned();
        (found != expected).then_some(OpenError::Foreign { path, what, found, expected })
    };
    let fleet = differs("fleet", found.fleet.to_string(), expected.fleet.to_string());
    let machine = || differs("machine", found.machine.clone(), expected.machine.clone());
    let name = || differs("name", found.name.to_string(), expected.name.to_string());
    let key = || differs("key", found.key.to_string(), expected.key.to_string());
    fleet.or_else(machine).or_else(name).or_else(key).map_or(Ok(()), Err)
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}

fn damaged(path: &Path, source: impl Into<Source>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), source: source.into() }
}
