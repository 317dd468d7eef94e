//! What a server counts, as Prometheus reads it.

use crate::world::{Machine, until};

#[test]
fn what_happened_is_counted_and_nobody_is_named() {
    let name = "a-host-of-its-own";
    let machine = Machine::new();
    let server = machine.start_with(|start| start.env("OSAPI_AGENT_NAME", name));
    let api = server.api();
    let done = api.shell("true").is(200).json()["job_id"].as_str().unwrap().to_owned();
    api.shell("exit 3").is(200);
    // The answer may be there before the server has counted what it stored.
    let page = until("both reports are counted", || {
        let page = api.get("/metrics").is(200);
        (page.metrics()["osapi_reports_stored_total"] == 2.0).then_some(page)
    });
    let metrics = page.metrics();
    for (sample, value) in [
        ("osapi_agents{state=\"ready\"}", 1.0),
        ("osapi_agents{state=\"silent\"}", 0.0),
        ("osapi_jobs{status=\"completed\"}", 1.0),
        ("osapi_jobs{status=\"failed\"}", 1.0),
        ("osapi_jobs{status=\"running\"}", 0.0),
        ("osapi_denials_total", 0.0),
        ("osapi_agents_denials", 0.0),
        ("osapi_key_ring_serial", 1.0),
        ("osapi_store_durability{durability=\"synced\"}", 1.0),
        ("osapi_store_durability{durability=\"unknown\"}", 0.0),
        ("osapi_store_rolled_back", 0.0),
        ("osapi_store_up", 1.0),
        ("osapi_bus_up", 1.0),
        ("osapi_ready", 1.0),
    ] {
        assert_eq!(metrics.get(sample), Some(&value), "{sample}: {page}");
    }
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains(name) && !text.contains(&done), "{text}");

    api.send("DELETE", &format!("/v1/jobs/{done}"), &[], b"").is(204);
    let metrics = api.get("/metrics").is(200).metrics();
    assert_eq!(metrics["osapi_jobs{status=\"completed\"}"], 0.0);
    assert_eq!(metrics["osapi_reports_stored_total"], 2.0, "what was counted stays counted");
}

#[test]
fn only_who_may_read_the_health_reads_metrics() {
    let machine = Machine::new();
    let server = machine.start();
    let api = server.api();
    api.without_token().get("/metrics").refuses(401, "token_missing");
    let generate = |permissions: &[&str]| {
        let args = ["token", "generate", "-u", "scraper"].iter().chain(permissions).copied();
        machine.osapi(args).run().exits(0).line()
    };
    let others = generate(&["-p", "agent:read", "-p", "job:read", "-p", "node:read"]);
    let refused = api.with_token(&others).get("/metrics").refuses(403, "permission_denied");
    assert_eq!(refused.json()["missing_permission"], "health:read");
    api.with_token(&generate(&["-p", "health:read"])).get("/metrics").is(200).metrics();
}
