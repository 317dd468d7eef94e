//! Many commands at once.

use std::thread;

use crate::world::{Machine, until};

#[test]
fn more_commands_than_slots_all_run() {
    const COMMANDS: usize = 30;
    let machine = Machine::new();
    let server = machine.start();
    let api = server.api();
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = (0..COMMANDS)
            .map(|n| (n, api.clone()))
            .map(|(n, api)| scope.spawn(move || (n, api.shell(&format!("sleep 0.2; echo {n}")))))
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for (n, answer) in answers {
        let row = answer.is(200).host();
        assert_eq!(
            (&row["status"], &row["stdout"]),
            (&"succeeded".into(), &format!("{n}\n").into()),
            "{row}"
        );
    }
    assert_eq!(api.jobs().len(), COMMANDS);
}

#[test]
fn long_commands_do_not_delay_a_short_one() {
    const LONG: usize = 9;
    let machine = Machine::new();
    let server = machine.start();
    let long: Vec<_> = (0..LONG)
        .map(|_| {
            machine
                .osapi(["exec", "--detach", "--timeout", "300", "--", "sleep", "300"])
                .run()
                .line()
        })
        .collect();
    let running = || {
        let agents = server.api().get("/v1/agents").is(200).json();
        agents["agents"][0]["running"].as_u64()
    };
    let status =
        |job: &str| server.api().get(&format!("/v1/jobs/{job}")).is(200).json()["status"].clone();
    until("they run", || long.iter().all(|job| status(job) == "running").then_some(()));
    assert_eq!(server.api().shell("echo short").is(200).host()["stdout"], "short\n");
    assert!(long.iter().all(|job| status(job) == "running"), "the short one waited for a long one");
    assert!(running().is_some_and(|running| running <= LONG as u64 + 1));
    for job in &long {
        machine.osapi(["job", "cancel", job]).run().exits(0);
    }
    for job in &long {
        let job = server.api().get(&format!("/v1/jobs/{job}?wait=60")).is(200).json();
        assert_eq!(job["status"], "cancelled");
    }
}
