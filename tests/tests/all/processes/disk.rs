//! A host whose disk is full, or has been given back in an older state: it starts nothing that it could not journal, and says so.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::clients::{Request, rows, runs, settled};
use super::fleet::{Fleet, Host};
use crate::world::{Api, Invocation, until};

/// Bytes of the small disk.
const DISK: &str = "size=4m,mode=700";

/// A disk of its own for a host. Dropping it takes it away.
struct Disk {
    place: PathBuf,
}

impl Disk {
    fn at(place: &Path) -> Self {
        fs::create_dir_all(place).expect("its parent is there");
        let mount = Invocation::new("/usr/bin/mount").args(["-t", "tmpfs", "-o", DISK, "none"]);
        let done = mount.args([place]).run();
        assert!(
            done.code() == 0,
            "a small disk is needed for this test: run the tests as root, where mount(8) may mount a tmpfs: {done}"
        );
        Self { place: place.to_owned() }
    }

    /// Leaves no room on it.
    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("there is room for a name");
        let full = loop {
            if let Err(err) = file.write_all(&[7; 4096]) {
                break err;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    }

    fn clear(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Invocation::new("/usr/bin/umount").args(["--lazy".as_ref(), self.place.as_os_str()]).run();
    }
}

/// Whether the host can be given work, by what the fleet shows.
fn state(api: &Api, host: &str) -> Value {
    api.get(&format!("/v1/agents/{host}")).is(200).json()["state"].clone()
}

fn until_state(api: &Api, host: &str, expected: &str) {
    until(&format!("{host} is {expected}"), || (state(api, host) == expected).then_some(()));
}

/// A job for the host, whatever becomes of it.
fn ask(fleet: &Fleet, api: &Api, host: &str, n: usize) -> String {
    let request = Request::exec(host, &fleet.marks.command(), &format!("{host}-{n}")).waiting(0);
    let job = request.ask(api).expect("it is there").is(202).json();
    job["job_id"].as_str().expect("a text").to_owned()
}

#[test]
fn on_a_full_disk_nothing_runs_unjournaled_and_it_goes_on_when_there_is_room() {
    let mut fleet = Fleet::start(1, &["roomy"]);
    let api = fleet.apis().remove(0);
    let mut host = fleet.host_at("full");
    let disk = Disk::at(&host.data_dir);
    host.join(&fleet.invite("full"));
    host.until_ready();
    runs(&api, &fleet, "full", "before");

    disk.fill();
    let mut jobs = Vec::new();
    until("the journal has no more room", || {
        if state(&api, "full") == "not_ready" {
            return Some(());
        }
        jobs.push(ask(&fleet, &api, "full", jobs.len()));
        None
    });
    host.until_says("journal cannot be written, no new job is taken until it can be");
    assert!(host.said().contains("No space left on device"), "{}", host.said());
    let list = fleet.osapi(["agent", "list"]).run().exits(0);
    assert!(list.out().contains("not_ready"), "{list}");
    // What comes now waits, or is refused; the others are not disturbed.
    let late = ask(&fleet, &api, "full", jobs.len());
    assert_eq!(fleet.marks.of(&late), [""; 0]);
    runs(&api, &fleet, "roomy", "meanwhile");

    disk.clear();
    until_state(&api, "full", "ready");
    host.until_says("journal can be written again");
    runs(&api, &fleet, "full", "after");
    jobs.push(late);
    for job in &jobs {
        let row = rows(&settled(&api, job)["results"]).next().expect("one host").clone();
        let ran = fleet.marks.of(job).len();
        let is_told = match row["status"].as_str() {
            Some("succeeded") => ran == 1,
            Some("expired" | "no_answer") => ran == 0,
            _ => false,
        };
        assert!(is_told, "it ran {ran} times: {row}");
    }
    fleet.hosts.push(host);
    drop(fleet);
    drop(disk);
}

#[test]
fn a_journal_that_was_put_back_is_refused_also_after_a_crash() {
    let mut fleet = Fleet::start(1, &["a"]);
    let api = fleet.apis().remove(0);
    let journal = fleet.hosts[0].data_dir.join("agent/journal.redb");
    let older = fleet.machine.path("older");
    runs(&api, &fleet, "a", "first");
    fleet.hosts[0].kill();
    fs::copy(&journal, &older).unwrap();
    fleet.hosts[0].restart();
    runs(&api, &fleet, "a", "second");
    fleet.hosts[0].kill();

    let latest = fs::read(&journal).unwrap();
    fs::copy(&older, &journal).unwrap();
    for _ in 0..2 {
        let ran = fleet.hosts[0].agent(&[]).run().exits(125);
        ran.explains(&[journal.to_str().unwrap(), "damaged", "were synced"]);
    }
    fs::write(&journal, latest).unwrap();
    fleet.hosts[0].restart();
    runs(&api, &fleet, "a", "third");
    assert!(fleet.marks.all().values().all(|hosts| hosts.len() == 1));
}

#[test]
fn a_second_agent_on_a_host_does_nothing() {
    let fleet = Fleet::start(1, &["a"]);
    let api = fleet.apis().remove(0);
    let first: &Host = &fleet.hosts[0];
    for _ in 0..2 {
        first.agent(&[]).run().exits(125).explains(&["in use by another process"]);
    }
    runs(&api, &fleet, "a", "first");
    assert_eq!(state(&api, "a"), "ready");
}
