//! What the steps are done with.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use bytes::Bytes;
use osapi_client::Client;
use osapi_core::backend::embedded::{EmbeddedStore, Limits};
use osapi_core::backend::{Bucket, Key, Store as _};
use tempfile::TempDir;
use tokio::time::Instant;

use super::step::Step;
use crate::error::Failure;
use crate::node::{self, Node};
use crate::plan::Plan;
use crate::program::{self, Program, true_command};

/// What is written at once.
const BLOCK: [u8; 4096] = [0x5a; 4096];
/// Blocks of the file that they are written to, which is full from the start: so a sync has no new size to record.
const BLOCKS: u64 = 256;
/// Size of a created record, about that of a job's record with its signature.
const RECORD: [u8; 700] = [0x5a; 700];

/// What the steps are done with.
pub(super) struct Bench {
    program: Program,
    node: Node,
    client: Client,
    file: File,
    store: EmbeddedStore,
    taken: u64,
    dir: TempDir,
}

impl Bench {
    /// Starts a node, and makes a file and a store on the same disk.
    ///
    /// # Errors
    /// When something cannot be made.
    pub(super) fn start(plan: &Plan, program: &Program) -> Result<Self, Failure> {
        let dir = node::directory(plan)?;
        let file = File::create_new(dir.path().join("file")).map_err(Failure::io("make a file"))?;
        for block in 0..BLOCKS {
            file.write_all_at(&BLOCK, block * BLOCK.len() as u64)
                .map_err(Failure::io("fill a file"))?;
        }
        file.sync_all().map_err(Failure::io("sync a file"))?;
        let store = EmbeddedStore::open(&dir.path().join("store.redb"), Limits::default())?;
        let node = Node::start(plan, program)?;
        let client = node.client();
        Ok(Self { program: program.clone(), node, client, file, store, taken: 0, dir })
    }

    /// Takes one step, and how long it took.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn take(&mut self, step: Step) -> Result<Duration, Failure> {
        self.taken += 1;
        let begun = Instant::now();
        match step {
            Step::Spawn => program::run(&mut true_command()),
            Step::Sync => self.sync(),
            Step::Create => self.create().await,
            Step::Ping => self.client.health().await.map(drop).map_err(Failure::from),
            Step::Call => node::run(&self.client, "true", &[]).await,
            Step::Version => self.osapi(&["--version"]),
            Step::Exec => self.osapi(&["exec", "--", "true"]),
            Step::Local => self.osapi(&["exec", "--local", "--", "true"]),
        }?;
        Ok(begun.elapsed())
    }

    fn sync(&self) -> Result<(), Failure> {
        let place = self.taken % BLOCKS * BLOCK.len() as u64;
        self.file.write_all_at(&BLOCK, place).map_err(Failure::io("write to a file"))?;
        self.file.sync_data().map_err(Failure::io("sync a file"))
    }

    async fn create(&self) -> Result<(), Failure> {
        let key = Key::of(&[&self.taken]);
        self.store.create(Bucket::Jobs, &key, Bytes::from_static(&RECORD)).await?;
        Ok(())
    }

    fn osapi(&self, arguments: &[&str]) -> Result<(), Failure> {
        // `--local` makes its data directory where temporary files go: on the same disk as the other.
        let mut call = self.program.call(self.node.home());
        program::run(call.env("TMPDIR", self.dir.path()).args(arguments))
    }

    /// Ends the node.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        self.store.close().await;
        self.node.stop()
    }
}
