//! Making and opening the file, and what can be wrong with it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, StorageBackend};

use super::layout::{self, BUCKETS, KEYS, LOG, META, META_FORMAT, META_ID, META_KIND};
use super::limits::Limits;
use crate::backend::Source;
use crate::id::{InvalidId, StoreId};

/// First bytes of every redb file, see its design document.
const REDB: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Why a store was not opened. No record in the file is changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open, or this one a second time.
    #[error("store {} is in use: stop the process that has it open, or choose another data directory", .0.display())]
    InUse(PathBuf),
    /// A newer build wrote it.
    #[error("store {} has format {found} and this build reads up to {}: use the newer build that wrote it", path.display(), layout::FORMAT)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is some other file.
    #[error("{} is not a store: choose another path, or move the file away to begin an empty store", .0.display())]
    NotAStore(PathBuf),
    /// It is a store that cannot be read.
    #[error("store {} is damaged: restore a copy, or move the file away to begin an empty store", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Source,
    },
    /// The operating system refused.
    #[error("store {} cannot be opened for reading and writing", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

/// What is wrong with a file, where redb does not say it.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("the file is empty")]
    Empty,
    #[error("reading it panicked: {0}")]
    Panicked(String),
    #[error("its format version has {0} bytes instead of 4")]
    Format(usize),
}

/// An open database that is a store.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) id: StoreId,
}

/// Opens the store in `path`, or makes it.
pub(super) fn open(path: &Path, limits: &Limits) -> Result<Opened, OpenError> {
    match open_existing(path, limits) {
        Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            create(path, limits)
        }
        result => result,
    }
}

/// Opens or makes a store on a backend.
pub(super) fn on(
    path: &Path,
    backend: impl StorageBackend,
    limits: &Limits,
) -> Result<Opened, OpenError> {
    let database = database(path, backend, limits)?;
    prepare(database, path)
}

fn open_existing(path: &Path, limits: &Limits) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    // redb would make a new database of an empty file; a store is never empty, as it is complete before it gets its name.
    if file.metadata().map_err(io)?.len() == 0 {
        return Err(OpenError::damaged(path, Damage::Empty));
    }
    let mut first = [0; REDB.len()];
    match file.read_exact(&mut first) {
        Ok(()) if &first == REDB => {}
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(io(error)),
        _ => return Err(OpenError::NotAStore(path.to_owned())),
    }
    let backend = FileBackend::new(file).map_err(|error| refused(path, error))?;
    let opened = read(database(path, backend, limits)?, path)?;
    Ok(opened)
}

/// Makes the store under a name of its own and then gives it the right one, so that a crash leaves either nothing or a whole store.
fn create(path: &Path, limits: &Limits) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let id = StoreId::random();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{id}.new"));
    let unfinished = Unfinished(PathBuf::from(name));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished.0)
        .map_err(io)?;
    let backend = FileBackend::new(file).map_err(|error| refused(path, error))?;
    let opened = initialise(database(path, backend, limits)?, path, id)?;
    // Unlike a rename, this replaces nothing.
    match std::fs::hard_link(&unfinished.0, path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return open_existing(path, limits);
        }
        Err(error) => return Err(io(error)),
    }
    drop(unfinished);
    sync_directory(path).map_err(io)?;
    Ok(opened)
}

/// A file that is removed unless it has got its name; then only the other name is.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), error = %error, "an unfinished store could not be removed");
        }
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

fn database(
    path: &Path,
    backend: impl StorageBackend,
    limits: &Limits,
) -> Result<Database, OpenError> {
    guarded(path, || {
        Database::builder()
            .set_cache_size(limits.cache_bytes)
            // redb trusts a file that was closed properly and does not check what it reads later; the damage shall show now.
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(|error| refused(path, error))
    })
}

/// redb may panic on a damaged file.
fn guarded<T>(path: &Path, open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(OpenError::damaged(path, Damage::Panicked(text.to_owned())))
    })
}

/// A database without any table is one whose making was interrupted, or a new one in memory.
fn prepare(database: Database, path: &Path) -> Result<Opened, OpenError> {
    let empty =
        guarded(path, || tables(&database).map_err(|error| OpenError::damaged(path, error)))? == 0;
    if empty { initialise(database, path, StoreId::random()) } else { read(database, path) }
}

fn tables(database: &Database) -> Result<usize, redb::Error> {
    Ok(database.begin_read()?.list_tables()?.count())
}

fn initialise(database: Database, path: &Path, id: StoreId) -> Result<Opened, OpenError> {
    let write = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(META_KIND, layout::KIND)?;
            meta.insert(META_FORMAT, &layout::FORMAT.to_le_bytes()[..])?;
            meta.insert(META_ID, id.to_string().as_bytes())?;
            transaction.open_table(LOG)?;
            transaction.open_table(KEYS)?;
            transaction.open_table(BUCKETS)?;
        }
        Ok(transaction.commit()?)
    };
    write().map_err(|error| failed(path, error))?;
    Ok(Opened { database, id })
}

/// Reads what the file says of itself.
fn read(database: Database, path: &Path) -> Result<Opened, OpenError> {
    let id = guarded(path, || read_meta(&database, path))?;
    Ok(Opened { database, id })
}

fn read_meta(database: &Database, path: &Path) -> Result<StoreId, OpenError> {
    let not_a_store = || OpenError::NotAStore(path.to_owned());
    let failed = |error: redb::Error| failed(path, error);
    let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::Storage(error)) => return Err(failed(error.into())),
        Err(_) => return Err(not_a_store()),
    };
    let value = |name| -> Result<Option<Vec<u8>>, OpenError> {
        let found = meta.get(name).map_err(|error| failed(error.into()))?;
        Ok(found.map(|value| value.value().to_vec()))
    };
    if value(META_KIND)?.as_deref() != Some(layout::KIND) {
        return Err(not_a_store());
    }
    let format = value(META_FORMAT)?.unwrap_or_default();
    let format = <[u8; 4]>::try_from(format)
        .map_err(|bytes| OpenError::damaged(path, Damage::Format(bytes.len())))?;
    let found = u32::from_le_bytes(format);
    if found > layout::FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found });
    }
    let id = value(META_ID)?.unwrap_or_default();
    let id = String::from_utf8_lossy(&id);
    id.parse().map_err(|error: InvalidId| OpenError::damaged(path, error))
}

/// What redb says of the file as a whole.
fn refused(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse(path.to_owned())
        }
        DatabaseError::Storage(error) => failed(path, error.into()),
        error => OpenError::damaged(path, error),
    }
}

/// What redb says when it reads or writes: these kinds of I/O errors come from what is in the file and not from the disk.
fn failed(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source)
            if !matches!(
                source.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput
            ) =>
        {
            OpenError::Io { path: path.to_owned(), source }
        }
        error => OpenError::damaged(path, error),
    }
}

impl OpenError {
    /// The store in `path` cannot be read because of `source`.
    pub(super) fn damaged(path: &Path, source: impl Into<Source>) -> Self {
        Self::Damaged { path: path.to_owned(), source: source.into() }
    }
}
