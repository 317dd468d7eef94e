//! A broker with TLS: its authority travels with what API servers and hosts are given.
//!
//! The files in `tls/` are an authority whose key nobody has, and a certificate of it for `localhost`, for both ends (OpenSSL 3):
//! `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500` for the first, `req` and `x509 -req` with
//! `subjectAltName=DNS:localhost` and `extendedKeyUsage=serverAuth,clientAuth` for the second.

use std::fs;

use osapi_tests::binary;

use super::{admin, server};
use crate::world::{Daemon, Machine, built, workspace};

fn file(name: &str) -> String {
    let path = workspace().join("tests/tests/all/operators/tls").join(name);
    path.to_str().unwrap().to_owned()
}

#[test]
fn api_servers_and_hosts_trust_the_authority_that_they_were_given_and_no_other() {
    let machine = Machine::new();
    let (cert, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &ca];
    admin(&machine, &[&["nats", "config", "--out", "nats"], &tls[..]].concat()).run().exits(0);
    // A port that the kernel chooses.
    let broker = ["-c", "nats/nats.conf", "-a", "127.0.0.1", "-p", "-1"];
    let mut broker = Daemon::until(machine.run(binary::path(), broker), "Server is ready");
    let said = broker.until_says("Listening for client connections on ");
    let (_, port) = said.rsplit_once(':').unwrap();
    let url = format!("tls://localhost:{port}");

    let server = || server(&machine, "nats/server/server.yaml").env("OSAPI_NATS_SERVERS", &url);
    let _server = Daemon::until(server(), "ready: the store was read");
    let invite = ["agent", "invite", "web-01", "--out", "web-01.join", "--server", &url];
    admin(&machine, &invite).run().exits(0);
    let agent =
        |args: &[&str]| machine.run(&built("osapi-agent"), ["--data-dir", "host"]).args(args);
    // The name in the address is not the one in the certificate.
    let address = format!("tls://127.0.0.1:{port}");
    let join = || agent(&["--join", "web-01.join"]);
    let other_name = join().env("OSAPI_NATS_SERVERS", &address).run().exits(125);
    other_name.explains(&["TLS with NATS", "CA certificate", "name in the address"]);
    assert!(!machine.tmp().join("host/agent").exists());
    assert!(Daemon::until(join(), "has joined fleet").stop().0.success());
    assert!(Daemon::until(agent(&[]), "takes jobs").stop().0.success());

    // The system's authorities do not vouch for it, and nothing is said in the clear in their place.
    let yaml = machine.tmp().join("nats/server/server.yaml");
    let text = fs::read_to_string(&yaml).unwrap();
    fs::write(&yaml, text.replace("    ca: ca.pem\n", "")).unwrap();
    server().run().exits(125).prints("").explains(&["TLS with NATS", "CA certificate"]);
}
