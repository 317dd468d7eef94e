use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use osapi_core::auth::permission::{Permission, Permissions};
use osapi_core::auth::role::RoleName;
use osapi_core::job::Labels;

use super::*;

fn load_with(yaml: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("osapi.yaml");
    fs::write(&path, yaml).unwrap();
    let variables =
        variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let loaded = load(&Source::Given(path), variables, Permissions::built_in());
    loaded.map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
}

fn config(yaml: &str) -> Config {
    load_with(yaml, &[]).unwrap().config
}

fn refused(yaml: &str) -> String {
    load_with(yaml, &[]).unwrap_err()
}

#[test]
fn nothing_written_is_every_default() {
    let sections = "api:\n  server:\n    security:\nstore:\njobs:\nagent:\nlog:\n";
    for yaml in ["", "# nothing\n", "---\n", "{}\n", sections] {
        assert_eq!(config(yaml), Config::default(), "{yaml:?}");
    }
    let config = Config::default();
    assert_eq!(config.api.server.address(), "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.store.retention, Duration::from_secs(86_400));
    assert_eq!((config.agent.slots, config.agent.output_kept), (10, 10 << 20));
    assert!(bounds::violations(&config).is_empty());
}

#[test]
fn every_key_is_read() {
    let yaml = "
api:
  server:
    host: '::1'
    port: 0
    max_connections: 7
    header_timeout: 5s
    body_timeout: 1m
    drain: 0s
    keys: keys
nats:
  servers: [nats://10.0.0.1:4222, 'tls://[::1]:4222']
  namespace: fleet-1
  credentials: server.creds
  tls: {ca: /etc/ca.pem, cert: c.pem, key: k.pem, required: true}
  replicas: 3
  system_credentials: secret/system.creds
store: {retention: 48h}
jobs: {max_retained: 5, max_output_bytes: 1GiB}
agent: {name: web-01, labels: {group: web.dev, rack: 12, release: 1.10}, slots: 3, output_kept: 64KiB, drain: 1m30s}
log: {level: debug, format: json}
";
    let Config { api, nats, store, jobs, agent, log } = config(yaml);
    let seconds = Duration::from_secs;
    assert_eq!(api.server.address(), "[::1]:0".parse().unwrap());
    assert_eq!(api.server.max_connections, 7);
    assert_eq!((api.server.header_timeout, api.server.body_timeout), (seconds(5), seconds(60)));
    assert_eq!(api.server.drain, Duration::ZERO);
    assert_eq!(nats.servers, ["nats://10.0.0.1:4222", "tls://[::1]:4222"]);
    assert_eq!((nats.namespace, nats.replicas), (Some("fleet-1".parse().unwrap()), 3));
    assert!(nats.tls.required && nats.nkey.is_none() && nats.tls.cert.is_some());
    assert_eq!(store.retention, seconds(48 * 3600));
    assert_eq!(jobs, Jobs { max_retained: 5, max_output_bytes: 1 << 30 });
    assert_eq!(agent.name, Some("web-01".parse().unwrap()));
    let labels = ["group=web.dev", "rack=12", "release=1.10"].map(|text| text.parse().unwrap());
    assert_eq!(agent.labels(), Labels::of(labels).unwrap());
    assert_eq!((agent.slots, agent.output_kept, agent.drain), (3, 65_536, seconds(90)));
    assert_eq!(log, Log { level: Level::Debug, format: Format::Json });
}

#[test]
fn paths_are_found_from_where_the_file_is_and_those_of_variables_from_here() {
    let yaml = "api: {server: {keys: keys}}\nnats: {credentials: a/b, tls: {ca: /etc/ca.pem}}";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("osapi.yaml");
    fs::write(&path, yaml).unwrap();
    let variable = ("OSAPI_NATS_SYSTEM_CREDENTIALS".into(), "c".into());
    let loaded = load(&Source::Given(path), [variable], Permissions::built_in()).unwrap();
    let Config { api, nats, .. } = loaded.config;
    assert_eq!(api.server.keys, Some(dir.path().join("keys")));
    assert_eq!(nats.credentials, Some(dir.path().join("a/b")));
    assert_eq!(nats.tls.ca, Some("/etc/ca.pem".into()));
    assert_eq!(nats.system_credentials, Some("c".into()));
}

#[test]
fn the_broker_has_one_login_and_what_belongs_together_comes_together() {
    let yaml = "nats:
  namespace: my fleet
";
    let rule = "invalid namespace 'my fleet': must be 1 to 32 letters, digits, '_' or '-'";
    assert!(refused(yaml).contains(rule), "{}", refused(yaml));
    let yaml = "nats:
  credentials: a
  nkey: b
  user: c
  tls: {key: k}
  replicas: 2
  system_credentials: s
  monitoring: http://127.0.0.1:8222
  srevers: x
";
    assert_eq!(
        refused(yaml),
        "configuration is not valid:
  DIR/osapi.yaml:9:3: unknown key 'nats.srevers': did you mean 'servers'?
  DIR/osapi.yaml:6:3: nats.replicas must be 1, 3 or 5, not 2
  DIR/osapi.yaml:3:3: nats.nkey must be the only login, not given beside nats.credentials
  DIR/osapi.yaml:4:3: nats.user must be given together with nats.password_file, not alone
  DIR/osapi.yaml:5:9: nats.tls.key must be given together with nats.tls.cert, not alone
  DIR/osapi.yaml:8:3: nats.monitoring must be the only place where durability is read, not given beside nats.system_credentials"
    );
    for (yaml, text) in [
        ("nats: {servers: {a: b}}", "must be a list of texts, or texts with commas between them"),
        ("nats: {tls: {required: maybe}}", "must be true or false"),
    ] {
        assert!(refused(yaml).contains(text), "{}", refused(yaml));
    }
}

#[test]
fn lists_and_switches_can_be_variables() {
    let variables = [
        ("OSAPI_NATS_SERVERS", "nats://a:4222, nats://b:4222"),
        ("OSAPI_NATS_TLS_REQUIRED", "true"),
        ("OSAPI_NATS_NAMESPACE", "x"),
    ];
    let nats = load_with("", &variables).unwrap().config.nats;
    assert_eq!(nats.servers, ["nats://a:4222", "nats://b:4222"]);
    assert!(nats.tls.required && nats.namespace.is_some());
    let error = load_with("", &[("OSAPI_NATS_TLS_REQUIRED", "1")]).unwrap_err();
    assert!(
        error.contains("OSAPI_NATS_TLS_REQUIRED: nats.tls.required must be true or false"),
        "{error}"
    );
}

#[test]
fn what_is_written_out_is_read_back() {
    let yaml = "api: {server: {security: {roles: {ops: {permissions: [node:read]}}}}}\nagent: {name: a, labels: {group: web}}";
    let config = config(yaml);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(super::tests::config(&json), config, "JSON is YAML");
    assert!(json.contains(r#""retention":"24h""#) && json.contains(r#""output_kept":10485760"#));
}

#[test]
fn custom_roles_grant_what_they_name() {
    let yaml = "
api:
  server:
    security:
      roles:
        ops:
          permissions: [command:execute, node:read, health:read]
";
    let roles = load_with(yaml, &[]).unwrap().roles;
    let ops: RoleName = "ops".parse().unwrap();
    let granted = roles.expand([&ops], &[]).to_string();
    assert_eq!(granted, "command:execute, health:read, node:read");
    assert!(roles.expand([&RoleName::ADMIN], &[]).contains(&Permission::AUDIT_READ));
}

#[test]
fn a_role_may_name_a_registered_permission() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("osapi.yaml");
    fs::write(&path, "api: {server: {security: {roles: {b: {permissions: ['backup:run']}}}}}")
        .unwrap();
    let mut permissions = Permissions::built_in();
    assert!(load(&Source::Given(path.clone()), [], permissions.clone()).is_err());
    permissions.register("backup:run".parse().unwrap(), "run backups").unwrap();
    assert!(load(&Source::Given(path), [], permissions).is_ok());
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_place() {
    let yaml = "
api:
  server:
    prot: 9090
    max_connections: 0
    security:
      roles:
        admin: {permissions: [node:read]}
        'o p': {}
        ops:
          permissions: [node:raed]
          permission: [node:read]
stroe: {}
port: 80
store: {retention: 5s}
agent:
  slots: 2000
  output_kept: 1
  colour: red
";
    let known = "agent:read, agent:write, audit:read, command:execute, health:read, job:read, \
                 job:write, key:write, node:read, token:write";
    let expected = format!(
        "configuration is not valid:
  OSAPI_AGENT_DRAIN: agent.drain must be a duration with its unit (ms, s, m or h), such as 30s, 5m or 24h, not '7'
  DIR/osapi.yaml:4:5: unknown key 'api.server.prot': did you mean 'port'?
  DIR/osapi.yaml:12:11: unknown key 'api.server.security.roles.ops.permission': did you mean 'permissions'?
  DIR/osapi.yaml:13:1: unknown key 'stroe': did you mean 'store'?
  DIR/osapi.yaml:14:1: unknown key 'port': did you mean 'api.server.port'?
  DIR/osapi.yaml:19:3: unknown key 'agent.colour': known here are drain, labels, limits, name, output_kept, policy, slots
  DIR/osapi.yaml:5:5: api.server.max_connections must be 1 to 65536, not 0
  DIR/osapi.yaml:15:9: store.retention must be 1m to 8760h, not 5s
  OSAPI_JOBS_MAX_RETAINED: jobs.max_retained must be 1 to 10000000, not 0
  DIR/osapi.yaml:17:3: agent.slots must be 1 to 1000, not 2000
  DIR/osapi.yaml:18:3: agent.output_kept must be 4KiB to 1GiB, not 1
  DIR/osapi.yaml:8:9: role 'admin' is built in and cannot be redefined: choose another name
  DIR/osapi.yaml:9:9: invalid role name 'o p': must be 1 to 64 letters, digits, '_' or '-'
  DIR/osapi.yaml:10:9: role 'ops' names the unknown permission 'node:raed': known are {known}; did you mean 'node:read'?"
    );
    let variables = [("OSAPI_JOBS_MAX_RETAINED", "0"), ("OSAPI_AGENT_DRAIN", "7")];
    assert_eq!(load_with(yaml, &variables).unwrap_err(), expected);
}

#[test]
fn limits_are_written_as_for_a_command() {
    let yaml = "agent:\n  limits:\n    open-files: 256\n    cpu: 1.5\n    memory: 512M\n";
    let limits = load_with(yaml, &[]).unwrap().config.agent.limits();
    assert_eq!(limits.to_string(), "open-files=256 memory=512MiB cpu=1.5");
    assert_eq!(
        refused("agent:\n  limits:\n    stack: 1\n    pids: 0\n"),
        "configuration is not valid:
  DIR/osapi.yaml:4:5: agent.limits: pids must be a number, 1 to 4194304, not '0'
  DIR/osapi.yaml:3:5: agent.limits: 'stack' is not limited: known are open-files, processes, file-size, core, memory, cpu, pids"
    );
}

#[test]
fn labels_that_are_none_are_shown_with_their_places() {
    let yaml = "agent:\n  labels:\n    group: web..dev\n    a.b: c\n    env: prod\n    'x y': z\n";
    assert_eq!(
        refused(yaml),
        "configuration is not valid:
  DIR/osapi.yaml:4:5: agent.labels: invalid label key 'a.b': must be 1 to 63 letters, digits, '_' or '-'
  DIR/osapi.yaml:3:5: agent.labels: invalid label value 'web..dev': must be segments of letters, digits, '_' or '-' joined by dots, 1 to 128 characters
  DIR/osapi.yaml:6:5: agent.labels: invalid label key 'x y': must be 1 to 63 letters, digits, '_' or '-'"
    );
    let many: String = (0..17).map(|n| format!("    k{n}: v\n")).collect();
    assert_eq!(
        refused(&format!("agent:\n  labels:\n{many}")),
        "configuration is not valid:
  DIR/osapi.yaml:2:3: agent.labels: 17 labels: a host may have at most 16"
    );
    for (yaml, text) in [
        ("agent: {labels: [group]}", "expected mapping start"),
        ("agent: {labels: {group: {web: dev}}}", "--> DIR/osapi.yaml:1:25"),
        ("agent: {labels: {a: b, a: c}}", "duplicate mapping key"),
    ] {
        let error = refused(yaml);
        assert!(error.contains(text), "{yaml}: {error}");
    }
}

#[test]
fn a_port_out_of_bounds_hides_nothing_else() {
    assert_eq!(
        refused("api: {server: {port: 70000}}\nagent: {slots: 0, colour: red}"),
        "configuration is not valid:
  DIR/osapi.yaml:2:19: unknown key 'agent.colour': known here are drain, labels, limits, name, output_kept, policy, slots
  DIR/osapi.yaml:1:16: api.server.port must be 0 to 65535, not 70000
  DIR/osapi.yaml:2:9: agent.slots must be 1 to 1000, not 0"
    );
}

#[test]
fn a_mistake_of_type_is_shown_with_its_place() {
    assert_eq!(
        refused("api:\n  server:\n    port: abc\n"),
        "configuration file 'DIR/osapi.yaml' is not valid: line 3 column 11: must be a whole number, not 'abc'
 --> DIR/osapi.yaml:3:11
  |
1 | api:
2 |   server:
3 |     port: abc
  |           ^ must be a whole number, not 'abc'"
    );
    for (yaml, text) in [
        (
            "api: {server: {host: localhost}}",
            "must be an IP address such as 127.0.0.1 or ::1, not 'localhost'",
        ),
        ("agent: {slots: -1}", "must be a whole number, not -1"),
        ("agent: {slots: 1.5}", "must be a whole number, not 1.5"),
        (
            "agent: {output_kept: 10 parsecs}",
            "must be a size in bytes such as 1048576, 64KiB or 10MiB, not '10 parsecs'",
        ),
        ("agent: {name: a.b}", "invalid agent name 'a.b'"),
        (
            "store: {retention: 2d}",
            "must be a duration with its unit (ms, s, m or h), such as 30s, 5m or 24h, not '2d'",
        ),
        (
            "log: {level: inof}",
            "unknown variant `inof`, expected one of off, error, warn, info, debug, trace",
        ),
        ("api: 3", "expected mapping start"),
        ("log: [1", "unclosed bracket"),
        ("log: {}\nlog: {}", "duplicate mapping key"),
        ("a: 1\n---\nb: 1", "multiple"),
    ] {
        let error = refused(yaml);
        assert!(error.contains(text), "{yaml}: {error}");
        assert!(error.contains("--> DIR/osapi.yaml:"), "{yaml}: {error}");
    }
}

#[test]
fn variables_override_the_file() {
    let yaml = "api: {server: {port: 9090}}\nagent: {slots: 3}";
    let variables = [
        ("OSAPI_API_SERVER_PORT", "7070"),
        ("OSAPI_AGENT_NAME", "web-02"),
        ("OSAPI_AGENT_OUTPUT_KEPT", "1MiB"),
        ("OSAPI_STORE_RETENTION", "1h"),
        ("OSAPI_LOG_FORMAT", "json"),
        ("OSAPI_URL", "http://x"),
        ("OSAPI_TEST_ANYTHING", "1"),
        ("PATH", "/bin"),
    ];
    let loaded = load_with(yaml, &variables).unwrap();
    let Config { api, store, agent, log, .. } = loaded.config;
    assert_eq!((api.server.port, agent.slots), (7070, 3));
    assert_eq!(agent.name, Some("web-02".parse().unwrap()));
    assert_eq!((agent.output_kept, store.retention), (1 << 20, Duration::from_secs(3600)));
    assert_eq!(log.format, Format::Json);
    assert_eq!(loaded.unknown_variables, []);
}

#[test]
fn a_variable_repairs_a_value_of_the_file() {
    let loaded = load_with("agent: {slots: 0}", &[("OSAPI_AGENT_SLOTS", "1")]);
    assert_eq!(loaded.unwrap().config.agent.slots, 1);
}

#[test]
fn variables_that_mean_nothing_are_told() {
    let variables = [("OSAPI_API_SERVER_PROT", "1"), ("OSAPI_TOKNE", "x"), ("OSAPI_FRUIT", "x")];
    let unknown = load_with("", &variables).unwrap().unknown_variables;
    let texts: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    let nothing = "means nothing";
    assert_eq!(
        texts,
        [
            format!(
                "environment variable OSAPI_API_SERVER_PROT {nothing}: did you mean OSAPI_API_SERVER_PORT?"
            ),
            format!("environment variable OSAPI_FRUIT {nothing}"),
            format!("environment variable OSAPI_TOKNE {nothing}: did you mean OSAPI_TOKEN?"),
        ]
    );
}

#[test]
fn only_a_file_that_was_given_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.yaml");
    let load = |source| load(&source, [], Permissions::built_in());
    let loaded = load(Source::IfPresent(path.clone())).unwrap();
    assert_eq!((loaded.config, loaded.file), (Config::default(), None));
    let error = load(Source::Given(path.clone())).unwrap_err();
    let text = format!("cannot read configuration file '{}'", path.display());
    assert_eq!(error.to_string(), text);

    fs::write(&path, "log: [").unwrap();
    assert!(load(Source::IfPresent(path)).is_err(), "a file that is there counts");
    assert_eq!(Source::new(None, DEFAULT_FILE), Source::IfPresent(DEFAULT_FILE.into()));
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("osapi.yaml");
    for (bytes, kind) in [
        (vec![0xff; 10], std::io::ErrorKind::InvalidData),
        (vec![b'#'; 2 << 20], std::io::ErrorKind::FileTooLarge),
    ] {
        fs::write(&path, bytes).unwrap();
        match load(&Source::Given(path.clone()), [], Permissions::built_in()) {
            Err(ConfigError::Read { source, .. }) => assert_eq!(source.kind(), kind),
            other => panic!("{other:?}"),
        }
    }
}

/// A file of the documentation.
fn documentation(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

#[test]
fn the_sample_configurations_are_ones() {
    let mut names = Vec::new();
    for entry in fs::read_dir(documentation("samples")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = load(&Source::Given(path.clone()), [], Permissions::built_in());
        loaded.unwrap_or_else(|error| panic!("{error}"));
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["agent.yaml", "osapi.yaml", "server.yaml"]);
}

#[test]
fn every_key_and_its_variable_are_documented() {
    let text = fs::read_to_string(documentation("configuration.md")).unwrap();
    for (variable, key) in variables() {
        let row = format!("| `{key}` | `{variable}` |");
        assert!(text.contains(&row), "{row} is not in docs/configuration.md");
    }
}
