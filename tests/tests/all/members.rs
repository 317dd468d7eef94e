//! Members of the fleet: how they are removed.

use std::fs;

use crate::world::Machine;

#[test]
fn an_agent_is_removed_once_that_is_confirmed_and_comes_back_as_another() {
    let machine = Machine::new();
    let server = machine.start();
    let agents = server.api().get("/v1/agents").is(200).json();
    let (name, key) = (&agents["agents"][0]["name"], &agents["agents"][0]["key_id"]);
    let name = name.as_str().unwrap();
    machine
        .osapi(["agent", "remove", name])
        .run()
        .exits(2)
        .explains(&["has to be confirmed", "--yes"]);
    machine.osapi(["agent", "get", name]).run().exits(0);
    machine
        .osapi(["agent", "remove", name, "--yes"])
        .run()
        .exits(0)
        .prints(&format!("{name} is removed: its key is refused from now on\n"));
    machine.osapi(["agent", "get", name]).run().exits(125).explains(&["agent_not_found"]);
    machine.osapi(["agent", "remove", name, "-y"]).run().exits(125).explains(&["agent_not_found"]);
    machine
        .osapi(["exec", "-T", name, "--", "true"])
        .run()
        .exits(125)
        .explains(&["host_not_found"]);
    server.stop();
    let agent = machine.data_dir().join("agent");
    let start = machine.osapi(["start"]).run().exits(125).prints("");
    let ran =
        start.explains(&["not let in", "was removed from the fleet", agent.to_str().unwrap()]);
    assert!(!ran.err().contains("was not ready within"), "{ran}");
    fs::rename(agent, machine.path("former")).unwrap();
    let server = machine.start();
    let agents = server.api().get("/v1/agents").is(200).json();
    assert_eq!(agents["agents"][0]["name"], name);
    assert_ne!(agents["agents"][0]["key_id"], *key);
    machine.osapi(["exec", "-T", name, "--", "true"]).run().exits(0);
}

#[test]
fn only_who_may_removes_agents() {
    let machine = Machine::new();
    let server = machine.start();
    let token =
        machine.osapi(["token", "generate", "-u", "reader", "-r", "write"]).run().exits(0).line();
    let api = server.api().with_token(&token);
    let name = api.get("/v1/agents").is(200).json()["agents"][0]["name"].to_string();
    let path = format!("/v1/agents/{}", name.trim_matches('"'));
    let refused = api.send("DELETE", &path, &[], b"").refuses(403, "permission_denied");
    assert_eq!(refused.json()["missing_permission"], "agent:write");
}
