//! Every form of the language, and what it means.

use super::{TestHost, meant};
use crate::job::target::Target;

fn fleet() -> Vec<TestHost> {
    vec![
        TestHost::new("db-1", "DB-1.example.com", &["group=db.main", "env=prod", "rack=r1"]),
        TestHost::new("db-2", "db-2.example.com", &["group=db.replica", "env=dev", "rack=r2"]),
        TestHost::new("web", "web.example.com", &[]),
        TestHost::new("web-01", "web-01.example.com", &["group=web.dev", "env=dev", "rack=r1"]),
        TestHost::new("web-02", "web-02.example.com", &["group=web.dev.us-east", "env=prod"]),
        TestHost::new("web-07", "web-07.example.com", &["group=web.device", "env=prod"]),
        TestHost::new("web-12", "web-12.example.com", &["group=web", "env=prod", "rack=r12"]),
        TestHost::new("web-120", "web-120.example.com", &["group=webs", "env=prod"]),
    ]
}

#[test]
fn every_form_means_what_the_documentation_says() {
    let fleet = fleet();
    for (text, hosts) in [
        ("web-01", "web-01"),
        ("web-01,db-1", "db-1 web-01"),
        ("db-*", "db-1 db-2"),
        ("web-??", "web-01 web-02 web-07 web-12"),
        ("*-1*", "db-1 web-12 web-120"),
        ("w*b*2", "web-02 web-12"),
        ("web-[01-07]", "web-01 web-02 web-07"),
        ("web-[1-12]", "web-12"),
        ("web-[1-12]*", "web-12 web-120"),
        ("web-[01,12]", "web-01 web-12"),
        ("web-[01-02,07-09]", "web-01 web-02 web-07"),
        ("web-[0-1][0-2]", "web-01 web-02 web-12"),
        ("web-[100-200]", "web-120"),
        ("web-[7]", ""),
        ("group:web", "web-01 web-02 web-07 web-12"),
        ("group:web.dev", "web-01 web-02"),
        ("group:web.dev.us-east", "web-02"),
        ("group:web.*", "web-01 web-02 web-07"),
        ("group:*.main", "db-1"),
        ("group:w*", "web-01 web-02 web-07 web-12 web-120"),
        ("group:*", "db-1 db-2 web-01 web-02 web-07 web-12 web-120"),
        ("rack:r[1-2]", "db-1 db-2 web-01"),
        ("group:web&env:prod", "web-02 web-07 web-12"),
        ("group:web&!env:prod", "web-01"),
        ("!env:prod&group:web", "web-01"),
        ("group:web&web-0?&!web-07", "web-01 web-02"),
        ("_all,!group:*", "web"),
        ("_all&env:dev", "db-2 web-01"),
        ("web-[01-20],db-*,!web-07", "db-1 db-2 web-01 web-02 web-12"),
        ("!web-07,web-[01-20],db-*", "db-1 db-2 web-01 web-02 web-12"),
        ("web-[01-20],!web-07,web-07", "web-01 web-02 web-12"),
        ("_all,!group:web&!group:db", "web web-120"),
        ("_all,!group:web,!group:db", "web web-120"),
        ("db-*&env:prod,web-07", "db-1 web-07"),
        ("db-1.example.com", "db-1"),
        ("WEB.example.COM,db-2", "db-2 web"),
        ("web*,!web.example.com", "web-01 web-02 web-07 web-12 web-120"),
        (" web-01 , db-* & ! env:dev ", "db-1 web-01"),
        ("Web-01", ""),
        ("env:Prod", ""),
        ("Env:prod", ""),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!(meant(&target, &fleet).join(" "), hosts, "{text}");
        let written = target.to_string();
        assert_eq!(written.parse::<Target>().as_ref(), Ok(&target), "{text} is {written}");
    }
}

#[test]
fn what_is_one_host_or_all_of_them_is_known_as_such() {
    assert_eq!("_any".parse(), Ok(Target::Any));
    for text in ["_all", " _all "] {
        assert_eq!(text.parse(), Ok(Target::All));
    }
    for text in ["web-01", " web-01"] {
        assert_eq!(text.parse(), Ok(Target::Host("web-01".parse().unwrap())));
    }
    for text in
        ["web-01,web-02", "web-01&env:prod", "web-01,!web-02", "_all,!web-01", "a.b", "web-*"]
    {
        assert!(matches!(text.parse(), Ok(Target::Hosts(_))), "{text}");
    }
}

#[test]
fn a_target_is_written_in_one_form() {
    for (text, written) in [
        ("web-01 ,db-1", "web-01,db-1"),
        ("!web-07,web-*", "web-*,!web-07"),
        ("!a&web-*", "web-*&!a"),
        ("_all,!a&!b", "_all,!a,!b"),
        ("web-**", "web-*"),
        ("web-[01-01,3]", "web-[01,3]"),
        ("group:web.d*", "group:web.d*"),
        ("A.Example.COM", "A.Example.COM"),
    ] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), written);
    }
}

#[test]
fn who_names_everyone_is_asked() {
    for text in
        ["_all", "_all,!web-07", "web-01,_all", "_all&env:prod", "*", "**", "?*", "*&env:prod,db-1"]
    {
        assert!(text.parse::<Target>().unwrap().names_everyone(), "{text}");
    }
    for text in
        ["_any", "web-01", "web-*", "group:*", "web-01,!db-*", "web-01,!*", "??*", "?", "a.b"]
    {
        assert!(!text.parse::<Target>().unwrap().names_everyone(), "{text}");
    }
}

#[test]
fn matching_is_bounded() {
    let hosts = [TestHost::new(&"a".repeat(63), "x", &[&format!("k={}", "a".repeat(128))])];
    for (text, is_meant) in [
        (format!("{}b", "*a".repeat(62)), false),
        (format!("{}a", "*a".repeat(62)), true),
        (format!("k:{}b", "*a".repeat(127)), false),
        (format!("k:{}", "*a".repeat(128)), true),
        (format!("{}b", "*".repeat(4000)), false),
        (vec!["*a*a*a*a*a*a*a*b"; 240].join(","), false),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!(!meant(&target, &hosts).is_empty(), is_meant, "{text}");
    }
}
