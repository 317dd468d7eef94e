//! A user of this host, by the files passwd(5) and group(5). Other sources of names (nsswitch.conf(5)) are not asked: that would run
//! code of theirs, which may block for minutes, inside the agent.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};

use crate::job::UserName;
use crate::job::report::{Failure, Step};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A user as whom commands can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) name: String,
    pub(super) home: String,
    /// What a process has to take on to become it; none for the agent's own user.
    pub(super) credentials: Option<Credentials>,
}

/// What makes a process one of a user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// All groups, the first one among them.
    pub(super) groups: Vec<Gid>,
}

impl Account {
    /// The effective user of this process.
    pub(super) fn current() -> Self {
        let passwd = fs::read(PASSWD).unwrap_or_default();
        let uid = geteuid().as_raw();
        let entry = Entry::by_uid(&passwd, uid).unwrap_or_else(|| Entry::unlisted(uid));
        Self { uid, name: entry.name, home: entry.home, credentials: None }
    }

    /// The user `name`. Blocks.
    ///
    /// # Errors
    /// When there is none, or this process may not become it.
    pub(super) fn named(name: &UserName) -> Result<Self, Failure> {
        let failed = |err: &io::Error| failure(&format!("cannot become {name}"), err);
        let passwd = fs::read(PASSWD).map_err(|err| failed(&err))?;
        let entry = Entry::of(&passwd, name).ok_or_else(|| {
            let message = format!("there is no user '{name}' in {PASSWD}");
            let errno = Some(Errno::NOENT.raw_os_error());
            Failure { step: Some(Step::User), errno, ..Failure::new("start_failed", message) }
        })?;
        let (own, uid) = (geteuid(), entry.uid);
        let credentials = match own.as_raw() == uid {
            true => None,
            // Whoever has only some of root's capabilities could not end what it started.
            false if !own.is_root() => return Err(failed(&Errno::PERM.into())),
            false => {
                let groups = fs::read(GROUP).map_err(|err| failed(&err))?;
                Some(entry.credentials(&groups))
            }
        };
        Ok(Self { uid, name: entry.name, home: entry.home, credentials })
    }
}

/// Says why a command does not run as the user that was asked for.
pub(super) fn failure(what: &str, err: &io::Error) -> Failure {
    let message = format!("{what}: {}", super::program::reason(err));
    let (step, errno) = (Some(Step::User), err.raw_os_error());
    Failure { step, errno, ..Failure::new("start_failed", message) }
}

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

impl Entry {
    /// The user of that name or number. One that is in no file goes by its number.
    fn of(passwd: &[u8], user: &UserName) -> Option<Self> {
        match user.uid() {
            Some(uid) => Some(Self::by_uid(passwd, uid).unwrap_or_else(|| Self::unlisted(uid))),
            None => entries(passwd).find(|entry| entry.name == user.as_str()),
        }
    }

    fn by_uid(passwd: &[u8], uid: u32) -> Option<Self> {
        entries(passwd).find(|entry| entry.uid == uid)
    }

    /// It has a group of its own number, and no home.
    fn unlisted(uid: u32) -> Self {
        let (name, home) = match uid {
            0 => ("root".to_owned(), "/root"),
            _ => (uid.to_string(), "/"),
        };
        Self { name, uid, gid: uid, home: home.to_owned() }
    }

    fn credentials(&self, groups: &[u8]) -> Credentials {
        let mut gids = vec![self.gid];
        gids.extend(groups_of(groups, &self.name));
        gids.sort_unstable();
        gids.dedup();
        Credentials {
            uid: Uid::from_raw(self.uid),
            gid: Gid::from_raw(self.gid),
            groups: gids.into_iter().map(Gid::from_raw).collect(),
        }
    }
}

/// The entries of a passwd(5). What is no entry is passed over.
fn entries(passwd: &[u8]) -> impl Iterator<Item = Entry> {
    passwd.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
        let home = fields.nth(1)?;
        Some(Entry { name: text(name), uid, gid, home: text(home) })
    })
}

/// The groups of which `user` is a member, by a group(5).
fn groups_of(groups: &[u8], user: &str) -> impl Iterator<Item = u32> {
    groups.split(|byte| *byte == b'\n').filter_map(move |line| {
        let mut fields = line.split(|byte| *byte == b':');
        let gid = number(fields.nth(2)?)?;
        let mut members = fields.next()?.split(|byte| *byte == b',');
        members.any(|member| member.trim_ascii() == user.as_bytes()).then_some(gid)
    })
}

/// Digits alone: `-1` and `+1` stand for something else in some programs. The largest number stands for "leave it as it is" in
/// setresuid(2), which would be root.
fn number(field: &[u8]) -> Option<u32> {
    let is_plain = field.iter().all(u8::is_ascii_digit);
    let number = is_plain.then(|| std::str::from_utf8(field).ok()?.parse().ok()).flatten();
    number.filter(|number| *number != u32::MAX)
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        broken\n\
        gr\xfc\xdfe:x:7:7::/home/gr\xfc\xdfe:/bin/sh\n\
        minus:x:-1:5::/:\n\
        same:x:4294967295:5::/:\n\
        same-group:x:6:4294967295::/:\n\
        :x:8:8::/nameless:\n\
        web:x:33:30:web:/var/www:/bin/false\n\
        web-too:x:33:31::/elsewhere:\n";
    const GROUP: &[u8] =
        b"adm:x:4:root, web\n\xff:x:9:web\nweb:x:30:\nwebs:x:34:webmaster\nlast:x:35:a,web";

    fn entry(user: &str) -> Option<Entry> {
        Entry::of(PASSWD, &user.parse().unwrap())
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let web = Entry { name: "web".into(), uid: 33, gid: 30, home: "/var/www".into() };
        assert_eq!(entry("web"), Some(web.clone()));
        assert_eq!(entry("33"), Some(web), "the first of two");
        assert_eq!(entry("web-too").unwrap().uid, 33);
        assert_eq!(entry("7").unwrap().gid, 7, "bytes that are no text do no harm");
        for absent in ["we", "minus", "same", "same-group", "broken", "x"] {
            assert_eq!(entry(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_number_without_an_entry_has_nothing_but_itself() {
        let unlisted = Entry { name: "4711".into(), uid: 4711, gid: 4711, home: "/".into() };
        assert_eq!(entry("4711"), Some(unlisted.clone()));
        assert_eq!(unlisted.credentials(GROUP).groups, [Gid::from_raw(4711)]);
        assert_eq!(Entry::of(b"", &"0".parse().unwrap()).unwrap().home, "/root");
    }

    #[test]
    fn its_groups_are_its_first_one_and_those_that_list_it() {
        let Credentials { uid, gid, groups } = entry("web").unwrap().credentials(GROUP);
        assert_eq!((uid.as_raw(), gid.as_raw()), (33, 30));
        assert_eq!(groups.iter().map(|gid| gid.as_raw()).collect::<Vec<_>>(), [4, 9, 30, 35]);
    }

    #[test]
    fn nobody_of_that_name_is_said_so() {
        let failure = Account::named(&"no-such-user".parse().unwrap()).unwrap_err();
        assert_eq!((failure.step, failure.errno), (Some(Step::User), Some(2)));
        assert!(failure.message.contains("'no-such-user'"), "{failure}");
    }
}
