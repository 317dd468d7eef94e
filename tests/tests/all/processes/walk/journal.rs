//! What an agent's journal says while the agent is dead.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::Value;

/// How far each job got.
pub(super) type Stages = BTreeMap<String, Stage>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Accepted,
    Starting,
    Running,
    Ended,
    Acknowledged,
    Closed,
}

impl Stage {
    /// Whether its command may have been started, and nobody knows how it ended.
    pub(super) fn is_lost(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

/// Reads a copy, so that nothing is repaired before the agent does it.
pub(super) fn stages(data_dir: &Path) -> Stages {
    const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
    let copy = data_dir.join("copy.redb");
    fs::copy(data_dir.join("agent/journal.redb"), &copy).expect("it has a journal");
    let stages = {
        let db = Database::open(&copy).expect("a crash leaves a journal that can be read");
        let read = db.begin_read().expect("it is open");
        let records = read.open_table(RECORDS).expect("it was made with the journal");
        let row = |row: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), _>| {
            let (job, record) = row.expect("a record can be read");
            (job.value().to_owned(), stage(record.value()))
        };
        records.iter().expect("a table can be read").map(row).collect()
    };
    fs::remove_file(copy).expect("it was made here");
    stages
}

fn stage(record: &[u8]) -> Stage {
    let record: Value = serde_json::from_slice(record).expect("a record is JSON");
    let stage = &record["stage"];
    let name = stage.as_str().or_else(|| stage.as_object()?.keys().next().map(String::as_str));
    match name.expect("a stage has a name") {
        "accepted" => Stage::Accepted,
        "starting" => Stage::Starting,
        "running" => Stage::Running,
        "ended" if stage["ended"]["keep_until"].is_null() => Stage::Ended,
        "ended" => Stage::Acknowledged,
        "closed" => Stage::Closed,
        other => panic!("an unknown stage: {other}"),
    }
}
