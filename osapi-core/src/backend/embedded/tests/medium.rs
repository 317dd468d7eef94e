//! A disk in memory that outlives the store on it, can fail, and can be made to wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use crate::backend::embedded::{EmbeddedStore, Limits};
use crate::eventually::eventually;

type BackendIoError = std::io::Error;

pub(super) async fn until(condition: impl Fn() -> bool) {
    eventually(async || condition()).await;
}

/// A handle; clones share the bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Medium(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: InMemoryBackend,
    /// How many more syncs are well; `None` for all.
    good: Mutex<Option<u32>>,
    held: Mutex<bool>,
    /// Whether a sync waits.
    waits: AtomicBool,
    moved: Condvar,
}

impl Medium {
    /// A store on it.
    pub(super) fn open(&self, limits: Limits) -> EmbeddedStore {
        EmbeddedStore::on(self.clone(), limits).unwrap()
    }

    /// Syncs fail from now on, or no longer.
    pub(super) fn fail(&self, failing: bool) {
        *self.0.good.lock().unwrap() = failing.then_some(0);
    }

    /// Syncs fail after so many more.
    pub(super) fn fail_after(&self, good: u32) {
        *self.0.good.lock().unwrap() = Some(good);
    }

    /// Syncs wait until [`Medium::release`].
    pub(super) fn hold(&self) {
        *self.0.held.lock().unwrap() = true;
    }

    /// Whether a sync waits.
    pub(super) fn waits(&self) -> bool {
        self.0.waits.load(Ordering::SeqCst)
    }

    /// Syncs no longer wait.
    pub(super) fn release(&self) {
        *self.0.held.lock().unwrap() = false;
        self.0.moved.notify_all();
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> Result<u64, BackendIoError> {
        self.0.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), BackendIoError> {
        self.0.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), BackendIoError> {
        self.0.bytes.set_len(len)
    }

    fn sync_data(&self) -> Result<(), BackendIoError> {
        let mut held = self.0.held.lock().unwrap();
        while *held {
            self.0.waits.store(true, Ordering::SeqCst);
            held = self.0.moved.wait(held).unwrap();
        }
        drop(held);
        self.0.waits.store(false, Ordering::SeqCst);
        if let Some(good) = self.0.good.lock().unwrap().as_mut() {
            let left = good.checked_sub(1);
            *good = left.ok_or_else(|| std::io::Error::other("the disk failed"))?;
        }
        self.0.bytes.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), BackendIoError> {
        self.0.bytes.write(offset, data)
    }
}
