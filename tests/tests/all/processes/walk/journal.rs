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

/// How far each job got.
pub(super) fn stages(data_dir: &Path) -> Stages {
    records(data_dir).iter().map(|(job, record)| (job.clone(), stage(record))).collect()
}

/// Whether a job that was just journaled as accepted has a claim for which the agent has yet to ask. What is journaled once more because of a
/// cancel, it may have asked for before.
pub(super) fn is_unclaimed(data_dir: &Path, job: &str) -> bool {
    let records = records(data_dir);
    let record = &records[job];
    let is_fresh = |accepted: &Value| accepted["cancelled"] != true;
    !record["nonce"].is_null() && record["stage"].get("accepted").is_some_and(is_fresh)
}

/// Reads a copy, so that nothing is repaired before the agent does it.
fn records(data_dir: &Path) -> BTreeMap<String, Value> {
    const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
    let copy = data_dir.join("copy.redb");
    fs::copy(data_dir.join("agent/journal.redb"), &copy).expect("it has a journal");
    let records = {
        let db = Database::open(&copy).expect("a crash leaves a journal that can be read");
        let read = db.begin_read().expect("it is open");
        let records = read.open_table(RECORDS).expect("it was made with the journal");
        let row = |row: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), _>| {
            let (job, record) = row.expect("a record can be read");
            let record = serde_json::from_slice(record.value()).expect("a record is JSON");
            (job.value().to_owned(), record)
        };
        records.iter().expect("a table can be read").map(row).collect()
    };
    fs::remove_file(copy).expect("it was made here");
    records
}

fn stage(record: &Value) -> Stage {
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
